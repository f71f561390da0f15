"""An ensemble on disk: the members' models as they are, and what each was trained under."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finrl_ray.agents.ensemble_model.model import ALIKE, EnsembleModel, Member
from finrl_ray.agents.model_files import ENSEMBLE_FILE
from finrl_ray.agents.models import load_model
from finrl_ray.agents.normalization import VECNORMALIZE_FILE, read_statistics
from finrl_ray.config.env import EnvConfig
from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.copy import copy_tree
from finrl_ray.files.manifest import find_damage, write_folder_manifest

FORMAT = 1
_STATISTICS = "_vecnormalize.pkl"


@dataclass(frozen=True, kw_only=True)
class SavedMember:
    """One member as `ensemble.json` has it.

    Parameters
    ----------
    file : its model, beside `ensemble.json`
    sha256 : of that file
    algorithm : name of its algorithm
    env : the options that it was trained under
    normalized : whether it was trained under VecNormalize, so that it needs its statistics
    view : key of what it sees
    trial : its number in the search
    rank : in the search, from 1
    sample : of the trial
    """

    file: str
    sha256: str
    algorithm: str
    env: EnvConfig
    normalized: bool
    view: str
    trial: int
    rank: int
    sample: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "SavedMember":
        """Return what `to_dict` described; lists of options are tuples again."""
        env: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["env"].items()
        }
        return cls(**{**content, "env": EnvConfig(**env)})


def save_ensemble(
    target: Path, members: Sequence[tuple[SavedMember, Path]], facts: Mapping[str, Any]
) -> None:
    """Write a folder with the members' models; the target is the whole of it, or what it was.

    Parameters
    ----------
    target : the folder
    members : what each is, its file's name and hash still open, and where its model lies; beside
        that may lie `vecnormalize.pkl`
    facts : plain values that are kept in `ensemble.json`
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder, written = Path(scratch), []
        for number, (member, model) in enumerate(members, start=1):
            name = f"member_{number}.zip"
            shutil.copyfile(model, folder / name)
            beside = model.with_name(VECNORMALIZE_FILE)
            if beside.is_file():
                shutil.copyfile(beside, folder / f"member_{number}{_STATISTICS}")
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            written.append({**member.to_dict(), "file": name, "sha256": digest})
        content = {"format": FORMAT, **facts, "members": written}
        text = json.dumps(content, indent=1, default=str) + "\n"
        (folder / ENSEMBLE_FILE).write_text(text, encoding="utf-8")
        write_folder_manifest(folder)
        copy_tree(folder, target)


def read_ensemble(folder: Path) -> tuple[list[SavedMember], dict[str, Any]]:
    """Return the members of an ensemble and the other facts of its file; loads no model.

    Raises
    ------
    SearchError
        If the folder has none, or something in it is damaged.
    """
    file = folder / ENSEMBLE_FILE
    if not file.is_file():
        raise SearchError(f"there is no {file}: the folder holds no ensemble of several models")
    damage = find_damage(folder)
    if damage:
        raise SearchError(
            f"the ensemble in {folder} is damaged: {damage}; delete the folder, and `finrl-ray "
            "resume` of its search writes it again"
        )
    content = read_json(file)
    if content.get("format") != FORMAT:
        raise SearchError(
            f"{file} has format {content.get('format')!r}, and this version of finrl-ray reads "
            f"{FORMAT}; use the version that wrote it"
        )
    try:
        members = [SavedMember.from_dict(one) for one in content.pop("members")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SearchError(f"{file} is damaged ({error!r})") from error
    return members, content


def load_ensemble(folder: str | Path, *, trust: bool = False) -> EnsembleModel:
    """Return the ensemble that a search with `search.ensemble` has left in `best_model/`.

    Parameters
    ----------
    folder : with `ensemble.json`
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If the folder has none, or something in it is damaged.
    ConfigError
        If a model needs trust.
    """
    folder = Path(folder)
    members, _ = read_ensemble(folder)
    files = [
        (member, folder / member.file, folder / f"member_{number}{_STATISTICS}")
        for number, member in enumerate(members, start=1)
    ]
    return load_members(files, trust=trust)


def load_members(
    files: Sequence[tuple[SavedMember, Path, Path | None]], *, trust: bool = False
) -> EnsembleModel:
    """Return the ensemble of some saved models.

    Parameters
    ----------
    files : of each member what it is, its model's file, and that of its statistics where they are
        not in the model's file; None: `vecnormalize.pkl` beside it
    trust : see `finrl_ray.agents.models.load_model`

    Raises
    ------
    SearchError
        If the statistics of a member that was trained under some are missing.
    ConfigError
        If a model is damaged, or needs trust.
    """
    loaded = []
    for member, file, beside in files:
        statistics = None
        if member.normalized:
            statistics = read_statistics(file, beside, trust=trust)
            if statistics is None:
                raise SearchError(
                    f"{file} has no statistics of VecNormalize, and trial {member.trial} was "
                    "trained under them"
                )
        loaded.append(
            Member(
                model=load_model(member.algorithm, file, device="cpu", trust=trust),
                env=member.env,
                statistics=statistics,
                view=member.view,
                name=f"trial {member.trial}",
            )
        )
    return EnsembleModel(loaded)


def view_names(keys: Sequence[object]) -> list[str]:
    """Return the view of each member, by what it sees: one name for all if that is the same."""
    different = list(dict.fromkeys(keys))
    if len(different) == 1:
        return [ALIKE] * len(keys)
    return [f"{ALIKE}_{different.index(key) + 1}" for key in keys]
