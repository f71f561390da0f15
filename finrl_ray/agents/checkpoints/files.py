"""The files of a checkpoint, and the manifest that makes it whole.

The manifest, a small JSON file beside the model, is written last. It names every file with its size
and checksum, so a checkpoint that was cut short or damaged is told from a whole one.
"""

import json
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import psutil

from finrl_ray.agents.saved_models.attributes import algorithm_of
from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.bounded_reading import parse_json, read_json, read_member
from finrl_ray.files.manifest import find_file_damage, fingerprint
from finrl_ray.files.signature import is_own, signature
from finrl_ray.metrics.registry import Mode

logger = logging.getLogger(__name__)

FORMAT = "finrl_ray checkpoint 1"
MODEL, REPLAY_BUFFER, VECNORMALIZE = "model", "replay_buffer", "vecnormalize"

# {prefix}_{timesteps}_steps, as SB3 writes it, or {prefix}_{timesteps}_{seconds}s
_STEM = re.compile(r"(?P<prefix>.+)_(?P<timesteps>\d+)_(?:steps|(?P<seconds>\d+)s(?:_.*)?)")
_TEMPORARY = re.compile(
    r"\.(?P<prefix>.+?)_(?:replay_buffer_|vecnormalize_)?\d+_(?:steps|\d+s(?:_.*)?)"
    r"\.(?P<process>\d+)\.tmp\.(?:zip|pkl|json)"
)
"""Names that `atomic_path` writes under."""

_ZIP_ERRORS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What a damaged zip file raises."""

Writer: TypeAlias = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint on disk.

    Parameters
    ----------
    timesteps : of training when it was written
    model_path : SB3's zip file
    replay_buffer_path, vecnormalize_path : None where there is none
    elapsed_s : seconds of training until then, over all its starts; NaN where it is not known
    algorithm : SB3's class name, such as `"PPO"`; None where it is not known
    name_prefix : start of the file names
    metric : `name`, `value` (None: undefined) and `timesteps` of the evaluation; None without one
    """

    timesteps: int
    model_path: Path
    replay_buffer_path: Path | None
    vecnormalize_path: Path | None
    elapsed_s: float
    algorithm: str | None
    name_prefix: str
    metric: dict[str, Any] | None = None

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is, or would be."""
        return self.model_path.with_suffix(".json")

    @property
    def paths(self) -> list[Path]:
        """Every file but the manifest."""
        paths = (self.model_path, self.replay_buffer_path, self.vecnormalize_path)
        return [path for path in paths if path is not None]


def write_files(checkpoint: Checkpoint, writers: Mapping[Path, Writer]) -> None:
    """Write every file of a checkpoint, then its manifest; after an error none of them is left.

    Raises
    ------
    OSError
        If a file cannot be written. Files of an earlier checkpoint of the same name stay.
    """
    created = [path for path in (*writers, checkpoint.manifest_path) if not path.exists()]
    try:
        with ExitStack() as stack:
            files = {}
            for path, write in writers.items():
                temporary = stack.enter_context(atomic_path(path))
                write(temporary)
                files[path.name] = fingerprint(temporary)
        write_checkpoint_manifest(checkpoint, files)
    except OSError:
        for path in created:
            path.unlink(missing_ok=True)
        raise


def write_checkpoint_manifest(
    checkpoint: Checkpoint, files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the manifest, whole or not at all.

    Parameters
    ----------
    checkpoint : what it is of
    files : size and checksum, by file name
    """
    roles = {
        MODEL: checkpoint.model_path,
        REPLAY_BUFFER: checkpoint.replay_buffer_path,
        VECNORMALIZE: checkpoint.vecnormalize_path,
    }
    content = {
        "format": FORMAT,
        "timesteps": checkpoint.timesteps,
        "algorithm": checkpoint.algorithm,
        "name_prefix": checkpoint.name_prefix,
        "elapsed_s": checkpoint.elapsed_s,
        "metric": checkpoint.metric,
        "files": {
            role: {"name": path.name, **files[path.name]}
            for role, path in roles.items()
            if path is not None
        },
    }
    if checkpoint.replay_buffer_path is not None:
        # the one file of a checkpoint that is read as a pickle
        digest = str(files[checkpoint.replay_buffer_path.name]["sha256"])
        content["signature"] = signature(digest)
    with atomic_path(checkpoint.manifest_path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False), encoding="utf-8")


def read_checkpoint_manifest(path: Path) -> tuple[Checkpoint, dict[str, dict[str, Any]]]:
    """Return the checkpoint of a manifest, and size and checksum by file name.

    Raises
    ------
    ValueError
        If the file is not a manifest, or is damaged.
    """
    try:
        content = read_json(path)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r} instead of {FORMAT!r}")
        files = content["files"]
        if any(PurePath(entry["name"]).name != entry["name"] for entry in files.values()):
            raise ValueError("it names a file of another folder")
        where = {role: path.with_name(entry["name"]) for role, entry in files.items()}
        checkpoint = Checkpoint(
            timesteps=int(content["timesteps"]),
            model_path=where[MODEL],
            replay_buffer_path=where.get(REPLAY_BUFFER),
            vecnormalize_path=where.get(VECNORMALIZE),
            elapsed_s=float(content["elapsed_s"]),
            algorithm=content["algorithm"],
            name_prefix=content["name_prefix"],
            metric=content["metric"],
        )
        if checkpoint.manifest_path != path or not _is_named_by(checkpoint.timesteps, path):
            raise ValueError(
                f"it is of {checkpoint.model_path.name} at {checkpoint.timesteps} timesteps"
            )
        fingerprints = {
            entry["name"]: {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])}
            for entry in files.values()
        }
    except (SearchError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a whole manifest: {error!r}") from error
    return checkpoint, fingerprints


def has_own_replay_buffer(checkpoint: Checkpoint) -> bool:
    """Return whether this user's own callback has written a checkpoint's replay buffer."""
    path = checkpoint.replay_buffer_path
    if path is None or not checkpoint.manifest_path.is_file():
        return False
    try:
        content = json.loads(checkpoint.manifest_path.read_text(encoding="utf-8"))
        return is_own(str(fingerprint(path)["sha256"]), str(content.get("signature", "")))
    except (OSError, ValueError, AttributeError):
        return False


def _is_named_by(timesteps: int, path: Path) -> bool:
    match = _STEM.fullmatch(path.stem)
    return match is not None and int(match["timesteps"]) == timesteps


def remove_leftovers(folder: Path, name_prefix: str) -> None:
    """Delete the temporary files of processes that were killed while they wrote a checkpoint."""
    for path in folder.glob(".*.tmp.*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match is None or match["prefix"] != name_prefix:
            continue
        process = int(match["process"])
        # in a container, the process that was killed may have had this one's number
        if process == os.getpid() or not psutil.pid_exists(process):
            logger.info("removing %s, which was never finished", path)
            path.unlink(missing_ok=True)


def find_checkpoints(folder: Path, name_prefix: str | None) -> Iterator[tuple[Checkpoint, str]]:
    """Yield each checkpoint of a folder, newest first, with what is wrong with it ("" if whole)."""
    found = []
    # a model that is missing altogether leaves its manifest
    models = {path.with_suffix(".zip") for path in folder.glob("*.json")} | {*folder.glob("*.zip")}
    for path in models:
        match = _STEM.fullmatch(path.stem)
        if match is None or path.name.startswith("."):
            continue
        if name_prefix is None or match["prefix"] == name_prefix:
            found.append((int(match["timesteps"]), _written_at(path), path))
    for _, _, path in sorted(found, reverse=True):
        try:
            yield _inspect(path)
        except OSError as error:  # a training process may be deleting it
            yield _without_manifest(path), f"it cannot be read: {error}"


def _inspect(model_path: Path) -> tuple[Checkpoint, str]:
    """Return the checkpoint of a model file, and what is wrong with it."""
    manifest = model_path.with_suffix(".json")
    plain = _without_manifest(model_path)
    if not manifest.exists():
        return plain, _damage_without_manifest(plain)
    try:
        checkpoint, files = read_checkpoint_manifest(manifest)
    except ValueError as error:
        return plain, f"{manifest.name} is damaged: {error}"
    damages = (find_file_damage(path, files[path.name]) for path in checkpoint.paths)
    return checkpoint, next(filter(None, damages), "")


def _without_manifest(model_path: Path) -> Checkpoint:
    """Return the checkpoint that SB3's own callback would have written under this name."""
    match = _STEM.fullmatch(model_path.stem)
    assert match is not None
    prefix, rest = match["prefix"], model_path.stem[match.end("prefix") + 1 :]

    def sibling(role: str) -> Path | None:
        path = model_path.with_name(f"{prefix}_{role}_{rest}.pkl")
        return path if path.is_file() else None

    return Checkpoint(
        timesteps=int(match["timesteps"]),
        model_path=model_path,
        replay_buffer_path=sibling(REPLAY_BUFFER),
        vecnormalize_path=sibling(VECNORMALIZE),
        elapsed_s=float(match["seconds"] or "nan"),
        algorithm=_algorithm(model_path),
        name_prefix=prefix,
    )


def _algorithm(model_path: Path) -> str | None:
    """Return SB3's class name of a model, judged by its attributes; None where they do not tell."""
    try:
        with zipfile.ZipFile(model_path) as archive:
            data = parse_json(read_member(archive, "data"))
        module = data["policy_class"]["__module__"]
    except (*_ZIP_ERRORS, KeyError, TypeError, ValueError):
        return None
    if not module.startswith(("stable_baselines3.", "sb3_contrib.")):
        return None
    return algorithm_of(data)


def _damage_without_manifest(checkpoint: Checkpoint) -> str:
    path = checkpoint.model_path
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
            names = archive.namelist()
    except _ZIP_ERRORS as error:
        return f"{path.name} is not a whole model: {error}"
    if bad is not None:
        return f"{path.name} is damaged at its entry {bad}"
    # the parameters are a zip file inside the model's: in a model that was cut short, zipfile may
    # find that one and take it for the whole
    if "data" not in names:
        return f"{path.name} is not a whole model: it has no entry 'data'"
    for pickle_path in checkpoint.paths[1:]:
        if not _ends_like_a_pickle(pickle_path):
            return f"{pickle_path.name} is cut short"
    return ""


def _ends_like_a_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 1, 0))
        return file.read(1) == b"."  # pickle's STOP


def discard_old(
    folder: Path, name_prefix: str, until: int, keep_last: int, keep_best: int, mode: Mode
) -> list[int]:
    """Delete all but the newest and the best checkpoints that have a manifest.

    Parameters
    ----------
    folder : of the checkpoints
    name_prefix : of those that are looked at
    until : timesteps; later checkpoints are another run's and are left alone
    keep_last, keep_best : how many of the newest, and of those with the best metric, are kept
    mode : whether more or less of the metric is better

    Returns
    -------
    list of int
        Timesteps of those deleted.

    Raises
    ------
    OSError
        If a file cannot be deleted.
    """
    found = _with_manifest(folder, name_prefix, until)
    judged = [c for c in found if c.metric and c.metric.get("value") is not None]
    judged.sort(key=lambda checkpoint: _rank(checkpoint, mode))
    kept = [*found[:keep_last], *judged[:keep_best]]
    discarded = [checkpoint for checkpoint in found if checkpoint not in kept]
    for checkpoint in discarded:
        for path in checkpoint.paths:
            path.unlink(missing_ok=True)
        # last, so that a deletion that was cut short is finished by the next one
        checkpoint.manifest_path.unlink(missing_ok=True)
    return [checkpoint.timesteps for checkpoint in discarded]


def elapsed_until(folder: Path, name_prefix: str, until: int) -> float:
    """Return the seconds of training that a folder's newest checkpoint tells of; 0.0 without one.

    Parameters
    ----------
    folder : of the checkpoints
    name_prefix : of those that are looked at
    until : timesteps; later checkpoints are another run's
    """
    found = _with_manifest(folder, name_prefix, until)
    return found[0].elapsed_s if found else 0.0


def _with_manifest(folder: Path, name_prefix: str, until: int) -> list[Checkpoint]:
    """Return the checkpoints that have a whole manifest, newest first."""
    found = []
    for path in folder.glob("*.json"):
        try:
            checkpoint, _ = read_checkpoint_manifest(path)
        except ValueError:
            continue  # not a manifest, or damaged
        if checkpoint.name_prefix == name_prefix and checkpoint.timesteps <= until:
            found.append((checkpoint.timesteps, _written_at(checkpoint.model_path), checkpoint))
    # two runs may have left checkpoints of the same timesteps, with different seconds
    found.sort(key=lambda entry: entry[:2], reverse=True)
    return [checkpoint for _, _, checkpoint in found]


def _written_at(model_path: Path) -> float:
    """Return when a model was written, in s; its manifest's time where there is no model."""
    for path in (model_path, model_path.with_suffix(".json")):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0


def _rank(checkpoint: Checkpoint, mode: Mode) -> float:
    assert checkpoint.metric is not None
    value = float(checkpoint.metric["value"])
    return -value if mode == "max" else value
