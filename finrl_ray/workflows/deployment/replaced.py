"""An agent's new folder in the place of an older one, of which nothing that grew is lost."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from finrl_ray.deployment.agent_folder import AGENT_FILE, GROWING
from finrl_ray.deployment.forward_record import sole_writer
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
def new_folder(target: Path, kept: Path, *, agent: str | None = None) -> Iterator[Path]:
    """Yield a place for an agent's folder that takes the place of `target` when the block succeeds.

    Until then, and if the block fails, what was there stays. It is kept if it has a forward record
    or bars that it has seen by then, or if `agent` is given; else it is deleted.

    Parameters
    ----------
    target : the folder
    kept : from `dated_name`, where what was there goes
    agent : SHA-256 of the manifest of the agent that must still be there

    Raises
    ------
    SearchError
        If another agent was put there meanwhile, its record is being written for long, or a folder
        cannot be renamed; what was there is then there again, or where the error says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".agent_") as scratch:
        place = Path(scratch) / target.name
        yield place
        with _nothing_grows(target, agent):
            grown = any(os.path.lexists(target / name) for name in GROWING)
            _exchange(place, target, kept)
        if os.path.lexists(kept) and not grown and agent is None:
            kept.rename(Path(scratch) / "old")


def _nothing_grows(target: Path, agent: str | None) -> contextlib.AbstractContextManager[None]:
    """Keep `signal` from writing into a folder while another takes its place."""
    # Windows renames no folder with an open file, so that whoever writes there holds it already
    if os.name == "nt" or (agent is None and not (target / AGENT_FILE).is_file()):
        return contextlib.nullcontext()
    return sole_writer(target, agent)


def _exchange(place: Path, target: Path, kept: Path) -> None:
    """Put a folder in the place of another, which is renamed; or leave all as it was."""
    older = os.path.lexists(target)
    try:
        if older:
            target.rename(kept)
    except OSError as error:
        raise SearchError(
            f"{target} must be renamed to {kept.name} to put the new agent in its place: {error}; "
            "it stays as it was. Close what uses it, then ask again"
        ) from error
    try:
        place.rename(target)
    except OSError as error:
        where = "nothing was there before"
        if older:
            where = "the one that was there is there again"
            try:
                kept.rename(target)
            except OSError:
                where = f"the one that was there lies in {kept}: rename it back"
        raise SearchError(
            f"the new agent must be renamed to {target}: {error}; {where}. Then ask again"
        ) from error


def dated_name(target: Path) -> Path:
    """Return a path beside a folder, with its name and the time, at which there is nothing."""
    stamp = f"{datetime.now().astimezone():%Y%m%d_%H%M%S}"
    names = (f"{target.name}_{stamp}{more}" for more in ("", *(f"_{n}" for n in range(2, 1000))))
    return next(path for path in map(target.with_name, names) if not os.path.lexists(path))
