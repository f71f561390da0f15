"""An agent's new folder in the place of an older one, of which nothing that grew is lost."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from finrl_ray.deployment.agent_folder import AGENT_FILE, GROWING
from finrl_ray.errors import SearchError
from finrl_ray.files.writable_folder import require_writable


def require_place(target: Path, *, replace: bool) -> None:
    """Refuse a place where an agent's folder cannot be put, before anything is trained.

    Parameters
    ----------
    target : the folder
    replace : whether an older agent may be there

    Raises
    ------
    SearchError
        If there is something that may not be replaced.
    ConfigError
        If nothing can be written there.
    """
    require_writable("the agent's folder (--out)", target.parent)
    if not os.path.lexists(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    if not (target / AGENT_FILE).is_file():
        raise SearchError(
            f"{target} is there already and is not the folder of an agent, so that it is never "
            "replaced; give another folder with --out"
        )
    if not replace:
        raise SearchError(
            f"{target} holds an agent already; add --replace to put the new one in its place (one "
            "with a forward record is kept beside it under a dated name), or give another folder "
            "with --out"
        )


@contextlib.contextmanager
def new_folder(target: Path, kept: Path | None = None) -> Iterator[Path]:
    """Yield a place for an agent's folder that takes the place of `target` when the block succeeds.

    Until then, and if the block fails, what was there stays.

    Parameters
    ----------
    target : the folder
    kept : where what was there goes; None: it is deleted
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".agent_") as scratch:
        place = Path(scratch) / target.name
        yield place
        if kept is not None:
            target.rename(kept)
        elif target.exists():
            target.rename(Path(scratch) / "old")
        place.rename(target)


def kept_name(target: Path) -> Path | None:
    """Return where the older agent is kept when it is replaced; None if it has no record."""
    if not any((target / name).exists() for name in GROWING):
        return None
    return dated_name(target)


def dated_name(target: Path) -> Path:
    """Return a path beside a folder, with its name and the time, at which there is nothing."""
    stamp = f"{datetime.now().astimezone():%Y%m%d_%H%M%S}"
    names = (f"{target.name}_{stamp}{more}" for more in ("", *(f"_{n}" for n in range(2, 1000))))
    return next(path for path in map(target.with_name, names) if not os.path.lexists(path))
