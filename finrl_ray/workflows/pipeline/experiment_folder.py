"""The folder of one training run: where it is made, and the facts that it is reproduced from."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.search.folder.folder import versions
from finrl_ray.search.folder.lock import sole_process
from finrl_ray.search.folder.names import BEST_MODEL_FOLDER
from finrl_ray.support.values import to_json

TENSORBOARD_FOLDER = "tensorboard"
CHECKPOINTS_FOLDER = "checkpoints"
EVAL_LOGS_FOLDER = "eval_logs"
PLOTS_FOLDER = "plots"
METRICS_FILE = "metrics.json"
FACTS_FILE = "config.json"
SUBFOLDERS = (
    TENSORBOARD_FOLDER,
    CHECKPOINTS_FOLDER,
    BEST_MODEL_FOLDER,
    EVAL_LOGS_FOLDER,
    PLOTS_FOLDER,
)
_GIT_TIMEOUT_S = 5.0
_NAMES_TRIED = 10


def new_experiment_folder(root: str | Path, name: str) -> Path:
    """Make `<root>/<name>_<date>_<time>_<4 hex digits>` with its sub-folders; return it, absolute.

    The digits keep runs apart that start within the same second.

    Raises
    ------
    SearchError
        If `name` cannot name a folder, or the folder cannot be made.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise SearchError(f"experiment_name must be the name of a folder, got {name!r}")
    parent = Path(root).expanduser().absolute()
    stamp = f"{datetime.now().astimezone():%Y%m%d_%H%M%S}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        path = _free_folder(parent, f"{name}_{stamp}")
        make_subfolders(path)
    except OSError as error:
        raise SearchError(f"a folder for the run cannot be made in {parent}: {error}") from error
    return path


def _free_folder(parent: Path, beginning: str) -> Path:
    """Make and return `<beginning>_<4 hex digits>`; digits that another run has drawn are redrawn.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    for _ in range(_NAMES_TRIED):
        path = parent / f"{beginning}_{secrets.token_hex(2)}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{_NAMES_TRIED} names that begin with {beginning} are taken")


def make_subfolders(path: Path) -> None:
    """Make the sub-folders of a run where they are missing."""
    for name in SUBFOLDERS:
        (path / name).mkdir(exist_ok=True)


def write_facts(path: Path, arguments: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Write what the run was started with: arguments, data, versions, the code's git commit."""
    facts = {
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "arguments": dict(arguments),
        "data": dict(data),
        "versions": versions(),
        "git_commit": git_commit(Path.cwd()),
    }
    write_json(path / FACTS_FILE, facts)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, complete or not at all.

    NaN and infinite numbers become null; objects that JSON does not know, their text.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(content) + "\n", encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """Return what `write_json` writes: equal content gives equal text, also in another process."""
    return json.dumps(to_json(content, infinity_as_text=False), indent=2, default=_description)


def _description(value: Any) -> str:
    # an object's address is another one in each process
    return re.sub(r" at 0x[0-9a-fA-F]+", "", str(value))


@contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that no second process trains in it.

    Raises
    ------
    SearchError
        If another process holds it.
    """
    refusal = f"another process is training in {folder}; wait until it has ended, or stop it"
    with sole_process(folder, refusal):
        yield


def git_commit(folder: Path) -> str | None:
    """Return the commit that `folder` is at, with `+changes` if files differ from it.

    None outside a git repository, or where git is not installed.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
