"""The folder of one search: what is in it, how it is made, how it is opened again."""

import contextlib
import importlib.metadata
import json
import platform
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from finrl_ray.config.dump import dump_config
from finrl_ray.config.evaluation import settled_periods_per_year
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.npz import read_market_data, save_market_data
from finrl_ray.data.windows.folds import ValidationPlan, plan_validation
from finrl_ray.data.windows.split import Split, make_split
from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.disk_full import disk_full_error, is_disk_full
from finrl_ray.files.shown_path import shown_path
from finrl_ray.machine.available_cpus import available_cpus
from finrl_ray.machine.processor import processor_facts
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import active_code, named_code
from finrl_ray.search.folder.lock import sole_process
from finrl_ray.search.folder.names import (
    CODE_FOLDER,
    CONFIG_FILE,
    DATA_FILE,
    EXPERIMENT_FILE,
    RAY_FOLDER,
)
from finrl_ray.search.folder.own_code import (
    code_facts,
    named_in,
    opened_code,
    require_trusted_code,
    run_code,
)
from finrl_ray.search.folder.place import local_folder, remote_of
from finrl_ray.search.folder.sealed_config import open_config, seal_of
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.journal.records import TrialRecords, is_finished
from finrl_ray.support.learner_names import ROUNDING, ROUNDING_NOW

_PACKAGES = ("finrl-ray", "ray", "stable-baselines3", "torch", "numpy", "pandas", "numba", "optuna")


FolderKind = Literal["search", "confirmation", "train"]
_KINDS: Mapping[str, FolderKind] = {
    "search": "search",
    "confirmation": "confirmation",
    "train": "train",
}


@dataclass(frozen=True, kw_only=True)
class SearchFolder:
    """An opened search folder.

    Parameters
    ----------
    path : the folder
    config : as run
    market_data : all rows, the test window included
    split : the three windows
    kind : `search`; `confirmation` for new trainings of a search's best; or `train` for the one
        agent of `finrl-ray train`
    origin : where it was made
    remote : URL of the folder that has the checkpoints and a copy of everything else; empty if all
        of it is in `path`
    accepted : the sealed config; None in a folder that was made before configs were sealed
    config_hash : of the sealed keys of the config
    code : the user's own code that the config names; nothing of it has been imported
    """

    path: Path
    config: ExperimentConfig
    market_data: MarketData
    split: Split
    kind: FolderKind = "search"
    origin: Path = Path()
    remote: str = ""
    accepted: ExperimentConfig | None = None
    config_hash: str = ""
    code: CodeFiles = field(default_factory=CodeFiles)

    def run_code(self, *, trust: bool = False) -> None:
        """Make the search's own code what its references load in this process.

        Parameters
        ----------
        trust : also where somebody else has put it there

        Raises
        ------
        SearchError
            If somebody else has, and it is not trusted.
        """
        if own_references(self.config):
            facts = read_json(self.path / EXPERIMENT_FILE)
            require_trusted_code(self.path, facts, self.config, trust=trust)
        run_code(self.config, self.code)

    @property
    def runs_code_here(self) -> bool:
        """Whether this process runs the search's own code already, or it has none."""
        own = named_in(self.config)
        return not own or (named_code() == own and active_code().digest == self.code.digest)

    @property
    def train_data(self) -> MarketData:
        """The rows of the train window."""
        return self.split.train.cut(self.market_data)

    @property
    def validation_data(self) -> MarketData:
        """The rows of the validation window."""
        return self.split.validation.cut(self.market_data)

    @property
    def plan(self) -> ValidationPlan | None:
        """The folds of each trial; None where a trial trains once."""
        if not self.config.validation.has_paths:
            return None
        return plan_validation(self.market_data, self.split, self.config)

    @property
    def development(self) -> MarketData:
        """The rows of train and validation, and those between."""
        return self.market_data.rows(self.split.train.first_row, self.split.validation.stop_row)

    @property
    def final_train_data(self) -> MarketData:
        """The rows that the winner's model is trained on; with several folds also validation."""
        return self.development if self.config.validation.has_paths else self.train_data

    @property
    def periods_per_year(self) -> float:
        """Bars in a year, a number in the config of every search."""
        return settled_periods_per_year(self.config.evaluation)

    @property
    def ray_path(self) -> Path:
        """Ray Tune's own experiment folder."""
        return self.path / RAY_FOLDER

    @property
    def planned(self) -> int:
        """The number of trials that the whole search starts."""
        return planned_in(self.kind, self.config)

    def records(self) -> TrialRecords:
        """Return what the journal says at this moment."""
        return read_journal(self.path)

    def is_finished(self, records: TrialRecords) -> bool:
        """Return whether every planned trial has ended.

        Parameters
        ----------
        records : what the journal says
        """
        return is_finished(records, self.planned)


def planned_in(kind: str, config: ExperimentConfig) -> int:
    """Return the number of trials that a folder of this kind and config holds when it is finished.

    Parameters
    ----------
    kind : see `SearchFolder`
    config : of the folder
    """
    # the spaces of all algorithms, which take a second to import and are seldom needed here
    from finrl_ray.search.sampling.domains import planned_trials

    return 1 if kind == "train" else planned_trials(config)


def create_folder(
    config: ExperimentConfig,
    market_data: MarketData,
    split: Split,
    data_report: Mapping[str, Any],
    storage: Path,
    kind: FolderKind = "search",
    code: CodeFiles | None = None,
) -> SearchFolder:
    """Make a new folder `<name>_<time>_<4 hex digits>` with all that the search starts from.

    Parameters
    ----------
    config, market_data, split, data_report : what it starts from
    storage : the folder on this machine in which it is made
    kind : see `SearchFolder`
    code : the user's own code that the config names

    Raises
    ------
    SearchError
        If the folder cannot be made or written.
    """
    # it imports torch, which opening a folder does not need
    from finrl_ray.training.threads import threads_per_trial

    now = datetime.now().astimezone()
    stamp = f"{now:%Y%m%d_%H%M%S}_{secrets.token_hex(2)}"  # unique for parallel starts
    path = storage / f"{config.name}_{stamp}"
    with contextlib.suppress(RuntimeError):  # no such user: `~name` is then the name of a folder
        path = path.expanduser().absolute()
    remote = remote_of(config.search.storage_path, path.name)
    seal, code = seal_of(config), code or CodeFiles()
    facts = {
        "kind": kind,
        "path": str(path),
        "remote": remote,
        "created": now.isoformat(timespec="seconds"),
        "seed": config.seed,
        "data_hash": market_data.content_hash,
        "data": dict(data_report),
        "split": split.describe(),
        "versions": versions(),
        "processor": processor_facts(threads_per_trial(config)),
        **code_facts(config, code),
        **seal,
    }
    try:
        path.mkdir(parents=True)
        dump_config(config, path / CONFIG_FILE)
        save_market_data(market_data, path / DATA_FILE)
        code.write(path / CODE_FOLDER)
        (path / EXPERIMENT_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        shutil.rmtree(path, ignore_errors=True)  # a folder that is written in part is no search
        if is_disk_full(error):
            remedy = "Make room, then start the search again"
            raise disk_full_error(
                f"the search's folder {path}", error, [storage], remedy
            ) from error
        raise SearchError(f"the search's folder {path} cannot be written: {error}") from error
    return SearchFolder(
        path=path,
        config=config,
        market_data=market_data,
        split=split,
        kind=kind,
        origin=path,
        remote=remote,
        accepted=config,
        config_hash=seal["config_hash"],
        code=code,
    )


def open_folder(path: str | Path) -> SearchFolder:
    """Open the folder of an earlier search and check that its data and config are still its own.

    Parameters
    ----------
    path : the folder, or the URL of one; what is there besides checkpoints is then copied into
        `runs`, unless it is there already

    Raises
    ------
    SearchError
        If it is no search folder, its config was edited in what may not change, or the store does
        not answer.
    """
    folder, url = local_folder(path)
    if not folder.is_dir():
        raise SearchError(f"there is no folder {shown_path(folder)}")
    missing = [n for n in (CONFIG_FILE, EXPERIMENT_FILE, DATA_FILE) if not (folder / n).is_file()]
    if missing:
        raise SearchError(
            f"{shown_path(folder)} is not the folder of a search: it has no {', '.join(missing)}; "
            "give the folder that `finrl-ray tune` printed"
        )
    try:
        facts = read_json(folder / EXPERIMENT_FILE)
        expected, origin = str(facts["data_hash"]), str(facts["path"])
        kind = _KINDS[facts["kind"]]
        remote = url or str(facts.get("remote", ""))
    except (ValueError, KeyError, TypeError) as error:
        raise SearchError(f"{folder / EXPERIMENT_FILE} is damaged: {error!r}") from error
    opened = open_config(folder, facts)
    market_data = read_market_data(folder / DATA_FILE, expected)
    split = make_split(market_data, opened.config.split)
    return SearchFolder(
        path=folder,
        config=opened.config,
        market_data=market_data,
        split=split,
        kind=kind,
        origin=Path(origin),
        remote=remote,
        accepted=opened.accepted,
        config_hash=opened.digest,
        code=opened_code(folder, facts, opened.config),
    )


@contextlib.contextmanager
def sole_driver(folder: SearchFolder) -> Iterator[None]:
    """Hold the folder's lock, so that no second process runs the same search.

    Raises
    ------
    SearchError
        If another process holds it.
    """
    refusal = (
        f"another process is running the search in {folder.path}; watch it with "
        f"`finrl-ray show {folder.path}`"
    )
    with sole_process(folder.path, refusal):
        yield


def recorded_processor(folder: Path) -> dict[str, str]:
    """Return the processor on which a search began; empty for one of an earlier version."""
    known = read_json(folder / EXPERIMENT_FILE).get("processor")
    items = known.items() if isinstance(known, dict) else ()
    return {str(name): str(value) for name, value in items}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["cpu_count"] = str(available_cpus())
    found[ROUNDING] = ROUNDING_NOW
    return found
