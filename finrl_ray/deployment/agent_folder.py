"""A deployed agent as one folder: whole or known to be damaged, and read without running its code.

It needs neither the search that it comes from nor Ray. Everything in it is listed in manifest.json
with size and SHA-256, but for what grows afterwards: the forward record and the bars seen since.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.agents.model_files import ENSEMBLE_FILE, MODEL_FILE
from finrl_ray.agents.normalization import STATISTICS_MEMBER, VECNORMALIZE_FILE
from finrl_ray.config.dump import dump_config
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.bars import check_reproduced, plain_bars, read_bars, write_bars
from finrl_ray.deployment.feature_ranges import FeatureRanges, feature_ranges
from finrl_ray.deployment.own_code import (
    CODE_FOLDER,
    code_facts,
    opened_code,
    remember_algorithms,
)
from finrl_ray.env.scaling import ObservationScaling
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.copy import copy_tree
from finrl_ray.files.manifest import (
    MANIFEST_FILE,
    find_damage,
    fingerprint,
    read_folder_manifest,
    write_folder_manifest,
)
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.support.values import to_json

FORMAT = "finrl_ray agent 1"
AGENT_FILE = "agent.json"
CONFIG_FILE = "config.yaml"
SCALING_FILE = "scaling.json"
BARS_FILE = "bars.parquet"
RANGES_FILE = "features.npz"
MEMBERS_FOLDER = "members"
RECORD_FILE = "forward.jsonl"
PAPER_FOLDER = "paper"
GROWING = (RECORD_FILE, PAPER_FOLDER)
"""What is written after deployment, beside files whose names begin with a dot."""
ALIKE = "observation"
"""Key of the one scaling of an agent all of whose models see the same."""
_FOLDERS = "folders"
_MAPPINGS = ("verdict", "backtest", "versions")
_OWN_FACTS = frozenset(
    {"format", "algorithm", "tickers", "features", "trained", "data_hash", "members", CODE_FOLDER}
)


@dataclass(frozen=True, kw_only=True, eq=False)
class AgentFolder:
    """What an agent's folder holds, read and checked; the model is not loaded.

    Parameters
    ----------
    path : the folder
    config : of the trial
    facts : of `agent.json`
    bars : raw rows of the source up to the end of training, in FinRL's long format
    scalings : of observations, by view; one under `observation` unless the models of an ensemble
        see different things; empty where observations are not scaled
    ranges : of each feature over the rows of training
    code : the user's own, not imported
    sha256 : of the manifest, with which the forward record begins
    """

    path: Path
    config: ExperimentConfig
    facts: Mapping[str, Any]
    bars: pd.DataFrame
    scalings: Mapping[str, ObservationScaling]
    ranges: FeatureRanges
    code: CodeFiles
    sha256: str

    @property
    def model_path(self) -> Path:
        """The model's zip file, or the folder of an ensemble."""
        members = self.path / MEMBERS_FOLDER
        return members if self.facts["members"] else self.path / MODEL_FILE


def write_agent(
    target: str | Path,
    *,
    config: ExperimentConfig,
    model: str | Path,
    bars: pd.DataFrame,
    trained: MarketData,
    until: str | None = None,
    scalings: Mapping[str, ObservationScaling] | ObservationScaling | None = None,
    code: CodeFiles | None = None,
    facts: Mapping[str, Any] | None = None,
    extra_files: Sequence[str | Path] = (),
) -> Path:
    """Write an agent's folder; it is the whole of it, or not there.

    Parameters
    ----------
    target : a folder that does not exist yet, or is empty
    config : of the trial, with its own options (`config_of_sample`); of an ensemble that of the
        search, whose features are all that a member may see
    model : the zip file that `save_model` has written, with SB3's `vecnormalize.pkl` beside it
        where the statistics are not inside; or the folder that `save_ensemble` has written
    bars : rows of the source in FinRL's long format, from its first one; those at or after the end
        of training are left out
    trained : the rows that the model was trained on, with the features that it sees
    until : first date that was not trained on; None: right after the last row of `trained`
    scalings : fitted on `trained`; of an ensemble by `view` of its members
    code : the user's own files that the config names
    facts : more for `agent.json`, in plain values: trial, sample, seed, versions, verdict, source
    extra_files : copied into the folder under their names

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SearchError
        If there is something in the folder already.
    ConfigError
        If facts have names that this function writes, or a scaling is missing or not needed.
    DataError
        If `trained` is not what the bars give.
    OSError
        If it cannot be written.
    """
    target, model = Path(target), Path(model)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SearchError(
            f"{target} exists already, and what an agent has said must not be overwritten; give "
            "another folder, or move it away"
        )
    taken = sorted(_OWN_FACTS & set(facts or {}))
    if taken:
        raise ConfigError(f"facts must not have {', '.join(taken)}, which are written anyway")
    known = _by_view(scalings)
    kept = plain_bars(bars, config.data, until=_last_instant(trained, until))
    check_reproduced(kept, config.data, trained)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "agent"
        folder.mkdir()
        members = _copy_model(model, folder)
        _check_scalings(config, known, members)
        dump_config(config, folder / CONFIG_FILE)
        write_bars(kept, folder / BARS_FILE)
        with_close = config.env.observation == "finrl"
        feature_ranges(trained, with_close=with_close).write(folder / RANGES_FILE)
        _write_json(folder / SCALING_FILE, {view: one.to_dict() for view, one in known.items()})
        files = code or CodeFiles()
        own = code_facts(config, files)
        if own:
            files.write(folder / CODE_FOLDER)
        for extra in map(Path, extra_files):
            shutil.copyfile(extra, folder / extra.name)
        content = {
            "format": FORMAT,
            "algorithm": config.agent.algorithm,
            "tickers": list(trained.tickers),
            "features": list(trained.feature_names),
            "trained": {
                "first": date_label(trained.dates[0]),
                "last": date_label(trained.dates[-1]),
                "until": _label_after(trained) if until is None else str(until),
                "rows": trained.n_periods,
            },
            "data_hash": trained.content_hash,
            "members": members,
            **own,
            **(facts or {}),
        }
        _write_json(folder / AGENT_FILE, content)
        folders = {MEMBERS_FOLDER: _manifest_hash(folder / MEMBERS_FOLDER)} if members else {}
        write_folder_manifest(folder, **{_FOLDERS: folders})
        read_agent_folder(folder)  # what is handed over can be read
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rmdir()
        copy_tree(folder, target)
    return target


def read_agent_folder(path: str | Path) -> AgentFolder:
    """Return what is in an agent's folder after every file was checked; nothing of it is run.

    Raises
    ------
    SearchError
        If there is no such folder, or a file is missing, damaged, changed or added.
    ConfigError, DataError
        If a file cannot be read for another reason.
    """
    folder = Path(path)
    if not (folder / AGENT_FILE).is_file():
        raise SearchError(
            f"{folder} is no agent's folder: it has no {AGENT_FILE}; `finrl-ray deploy SEARCH` "
            "writes one, by default into agent/ of the search"
        )
    damage = find_agent_damage(folder)
    if damage:
        raise SearchError(
            f"the agent in {folder} is not what was deployed: {damage}; put back a copy, or deploy "
            "it again"
        )
    # before all else: whoever reads on while the agent is replaced is known by the older hash
    sha256 = _manifest_hash(folder)
    facts = _read_facts(folder)
    remember_algorithms(facts)
    ranges = FeatureRanges.read(folder / RANGES_FILE)
    return AgentFolder(
        path=folder,
        config=load_config(folder / CONFIG_FILE),
        facts=facts,
        bars=_read_own_bars(folder / BARS_FILE),
        scalings=_read_scalings(folder / SCALING_FILE),
        ranges=ranges,
        code=opened_code(folder, facts),
        sha256=sha256,
    )


def find_agent_damage(folder: Path) -> str:
    """Return how an agent's folder differs from its manifests, or an empty text if it is whole.

    A symbolic link in the place of what is written after deployment counts as damage: what is
    written would go elsewhere.
    """
    damage = _find_link(folder) or find_damage(folder)
    if damage:
        return damage
    content = read_folder_manifest(folder)
    folders: dict[str, str] = content.get(_FOLDERS, {})
    if not isinstance(folders, Mapping) or not set(folders) <= {MEMBERS_FOLDER}:
        return f"{MANIFEST_FILE} must list {MEMBERS_FOLDER} alone as a folder, with its SHA-256"
    listed = {*content["files"], MANIFEST_FILE, *folders, *GROWING, CODE_FOLDER}
    added = _added(folder, listed)
    for name, digest in folders.items():
        inner = folder / name
        if inner.is_symlink():
            return f"{name} is a symbolic link"
        damage = find_damage(inner)
        if damage:
            return f"{name}/: {damage}"
        if _manifest_hash(inner) != digest:
            return f"{name}/{MANIFEST_FILE} does not match its checksum"
        inside = {*read_folder_manifest(inner)["files"], MANIFEST_FILE}
        added = added or [f"{name}/{one}" for one in _added(inner, inside)]
    return f"{added[0]} was added" if added else ""


def _find_link(folder: Path) -> str:
    written = [p for p in folder.iterdir() if p.name in GROWING or p.name.startswith(".")]
    paper = folder / PAPER_FOLDER
    inside = list(paper.iterdir()) if paper.is_dir() and not paper.is_symlink() else []
    links = sorted(p.relative_to(folder).as_posix() for p in (*written, *inside) if p.is_symlink())
    if not links:
        return ""
    return f"{links[0]} is a symbolic link, through which files elsewhere would be written"


def _added(folder: Path, listed: set[str]) -> list[str]:
    return sorted(
        p.name for p in folder.iterdir() if p.name not in listed and not p.name.startswith(".")
    )


def _by_view(
    scalings: Mapping[str, ObservationScaling] | ObservationScaling | None,
) -> dict[str, ObservationScaling]:
    if scalings is None:
        return {}
    return {ALIKE: scalings} if isinstance(scalings, ObservationScaling) else dict(scalings)


def _check_scalings(
    config: ExperimentConfig, scalings: Mapping[str, ObservationScaling], members: Sequence[Any]
) -> None:
    if members:
        return  # each member has options of its own
    wanted = {ALIKE} if config.env.scales_observations else set()
    if set(scalings) != wanted:
        raise ConfigError(
            f"scalings must be {'fitted_scaling(config.env, trained)' if wanted else None} for "
            f"env.observation {config.env.observation!r} and env.observation_scaling "
            f"{config.env.observation_scaling!r}, got {sorted(scalings) or None}"
        )


def _last_instant(trained: MarketData, until: str | None) -> pd.Timestamp:
    """Return the first instant whose rows are left out."""
    last = pd.Timestamp(trained.dates[-1])
    end = last + pd.Timedelta(1, "ns") if until is None else pd.Timestamp(until)
    if end <= last:
        raise ConfigError(
            f"until must be after the last row that was trained on, {last}, got {end}"
        )
    return end


def _label_after(trained: MarketData) -> str:
    """Return the first date after the rows of training, by the step from row to row."""
    steps = np.diff(trained.dates)
    step = np.median(steps).astype(steps.dtype) if steps.size else np.timedelta64(1, "D")
    return date_label(trained.dates[-1] + step)


def _copy_model(model: Path, folder: Path) -> list[int]:
    """Copy a model's files; return the trials of an ensemble, or none."""
    if model.is_dir():
        if not (model / ENSEMBLE_FILE).is_file():
            raise ConfigError(f"{model} must be a model's zip file or an ensemble's folder")
        shutil.copytree(model, folder / MEMBERS_FOLDER)
        return [int(one["trial"]) for one in read_json(model / ENSEMBLE_FILE)["members"]]
    shutil.copyfile(model, folder / MODEL_FILE)
    beside = model.with_name(VECNORMALIZE_FILE)
    if beside.is_file() and not _has_member(model, STATISTICS_MEMBER):
        shutil.copyfile(beside, folder / VECNORMALIZE_FILE)
    return []


def _has_member(file: Path, name: str) -> bool:
    with zipfile.ZipFile(file) as archive:
        return name in archive.namelist()


def _manifest_hash(folder: Path) -> str:
    return str(fingerprint(folder / MANIFEST_FILE)["sha256"])


def _write_json(path: Path, content: Any) -> None:
    plain = to_json(
        content, lambda value: value.tolist() if hasattr(value, "tolist") else str(value)
    )
    path.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read_own_bars(path: Path) -> pd.DataFrame:
    bars = read_bars(path)
    if bars.empty or bars["date"].dtype.kind != "M" or bars["date"].isna().any():
        raise SearchError(
            f"{path} must have bars, each with a date, got {len(bars)} rows with dates of type "
            f"{bars['date'].dtype}; put back what was deployed"
        )
    return bars


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = read_json(folder / AGENT_FILE)
        known = facts["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise SearchError(f"{folder / AGENT_FILE} cannot be read: {error!r}") from error
    if known != FORMAT:
        raise SearchError(
            f"{folder / AGENT_FILE} has format {known!r}, and this version of finrl-ray reads "
            f"{FORMAT!r}; use the version that wrote it"
        )
    missing = sorted(_OWN_FACTS - {CODE_FOLDER} - set(facts))
    if missing:
        raise SearchError(f"{folder / AGENT_FILE} lacks {', '.join(missing)}")
    names = [*facts["tickers"], *facts["features"]] if _are_lists(facts) else [None]
    if not all(isinstance(name, str) for name in names):
        raise SearchError(f"{folder / AGENT_FILE} must name tickers, features, members and rows")
    _check_trained(folder / AGENT_FILE, facts["trained"])
    for name in _MAPPINGS:
        if not isinstance(value := facts.get(name), Mapping | None):
            raise SearchError(
                f"{name} in {folder / AGENT_FILE} must be a mapping or null, got {value!r:.80}"
            )
    return facts


def _check_trained(path: Path, trained: Mapping[str, Any]) -> None:
    """Refuse what does not say on which rows an agent was trained."""
    named = [trained.get(name) for name in ("first", "last", "until")]
    try:
        first, last, until = (np.datetime64(str(one), "ns") for one in named)
        rows = trained.get("rows")
        whole = bool(first <= last < until) and type(rows) is int and rows > 0
    except ValueError:
        whole = False
    if not whole:
        raise SearchError(
            f"trained in {path} must have the dates first, last and until, in this order, and rows "
            f"above 0, got {str(dict(trained))[:200]}; put back what was deployed"
        )


def _are_lists(facts: Mapping[str, Any]) -> bool:
    lists = all(isinstance(facts[name], list) for name in ("tickers", "features", "members"))
    trained = facts["trained"]
    return lists and isinstance(trained, Mapping) and isinstance(trained.get("until"), str)


def _read_scalings(path: Path) -> dict[str, ObservationScaling]:
    try:
        content = read_json(path)
        return {view: ObservationScaling.from_dict(one) for view, one in content.items()}
    except (ConfigError, ValueError, TypeError, AttributeError, OSError) as error:
        raise SearchError(f"{path} cannot be read: {error}") from error
