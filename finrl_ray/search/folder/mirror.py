"""The copy of a search's folder in an object store: kept while the search runs, fetched by its URL.

Checkpoints are in the store alone, below `ray/`; everything else is on the disk of the driver, and
copied in the background, so that a store that is away never holds the search up.
"""

import json
import logging
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.fs as pafs

from finrl_ray.errors import SearchError
from finrl_ray.files.atomic import atomic_path
from finrl_ray.files.contained_path import checked_relative_path
from finrl_ray.search.folder.names import (
    AGENT_FILE,
    CONFIG_FILE,
    DATA_FILE,
    EXPERIMENT_FILE,
    OPENINGS_FILE,
    RAY_FOLDER,
    SEGMENTS_FOLDER,
    SUBFOLDERS,
    TENSORBOARD_FOLDER,
)
from finrl_ray.search.journal.lines import JOURNAL_FILE
from finrl_ray.search.journal.state_files import STATE_FOLDER, TURNS, state_number
from finrl_ray.storage.object_store import in_words, open_store, read_file, write_file
from finrl_ray.storage.segments import SegmentedCopy, read_segments
from finrl_ray.storage.url import child_url, name_of

logger = logging.getLogger(__name__)

LOCAL_RUNS = Path("runs")
_EVERY_S = 2.0
_AWAY_PAUSE_S = 5.0
_LAST_S = 60.0
_ASK_S = 60.0
_LOOKS, _LOOK_AGAIN_S = 3, 0.01
# a copy takes at most this share of the time
_SHARE = 0.1
_TAIL_BYTES = 1 << 16
_FIRST = (CONFIG_FILE, EXPERIMENT_FILE, DATA_FILE)

Signature = tuple[int, int]


class FolderMirror:
    """Copies what changes in a search's folder to its URL, in a thread of its own.

    A search can be resumed from what is there at any moment: of the two states, the one that is
    written over is the older one, and the journal that knows it comes right after it.

    Parameters
    ----------
    folder : the search's folder
    url : its copy; empty: nothing is done
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.copied: dict[str, Signature] = {}
        self.doomed: deque[str] = deque()
        self._turn = 0
        self._state = -1
        self._journal_first = True
        self._journal: SegmentedCopy | None = None
        self._filesystem: pafs.FileSystem | None = None
        self._root = ""
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._give_up_at = float("inf")

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles its callbacks, one of which deletes checkpoints through this object
        return {"folder": self.folder, "url": self.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __enter__(self) -> "FolderMirror":
        if self.url:
            self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Copy what is left, for a minute at most if the store is away."""
        if self._thread is None:
            return
        self._give_up_at = time.monotonic() + _LAST_S
        self._ending.set()
        self._thread.join(2 * _LAST_S)  # one request that is not answered may take as long again
        left = self.left()
        if left:
            logger.warning(
                "%s does not answer: %s %s only on this machine; `finrl-ray resume %s` copies "
                "them when it does",
                self.url.partition("?")[0],
                ", ".join(left[:5]) + (" and more" if len(left) > 5 else ""),
                "is" if len(left) == 1 else "are",
                self.folder,
            )
        self._thread = None

    def delete(self, path: str) -> None:
        """Delete a checkpoint of the store, by its path in the search's folder, some time soon."""
        self.doomed.append(path)

    def left(self) -> list[str]:
        """Return the names of files that are not copied as they are."""
        return sorted(
            name
            for name, seen in self._found().items()
            # of the states, those that fit the journal are copied with it, under other names
            if not name.startswith(f"{STATE_FOLDER}/") and self.copied.get(name) != seen
        )

    def _run(self) -> None:
        away = False
        while True:
            ending = self._ending.is_set()
            began = time.monotonic()
            try:
                self.copy()
                away = False
            except OSError as error:
                if not away:
                    logger.warning("%s; the search goes on", in_words(self.url, error))
                away = True
            if ending and (not away or time.monotonic() > self._give_up_at):
                return
            took = time.monotonic() - began
            pause = _AWAY_PAUSE_S if away else max(_EVERY_S, took / _SHARE)
            # when the search has ended nothing is left to wait for but the store
            if not self._ending.wait(pause) or not away:
                continue
            time.sleep(_EVERY_S)

    def copy(self) -> None:
        """Copy everything that has changed, and delete what is to be deleted.

        Raises
        ------
        OSError
            If the store does not answer.
        """
        if self._filesystem is None:
            self._filesystem, self._root = open_store(self.url, patience_s=0.0)
        found = self._found()
        for name in _FIRST:
            self._copy_file(name, found)
        self._copy_search(found)
        for name in found:
            if name != JOURNAL_FILE and not name.startswith(f"{STATE_FOLDER}/"):
                self._copy_file(name, found)
        while self.doomed:
            self._delete(self.doomed[0])
            self.doomed.popleft()

    def _found(self) -> dict[str, Signature]:
        found = {}
        agents = [path.parent.name for path in self.folder.glob(f"*/{AGENT_FILE}")]
        left_out = {RAY_FOLDER, TENSORBOARD_FOLDER, *agents}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder)
            hidden = any(part.startswith(".") for part in name.parts)
            if name.parts[0] in left_out or hidden or path.suffix == ".tmp":
                continue
            try:
                stat = path.stat()
            except FileNotFoundError:  # replaced under our eyes
                continue
            if path.is_file():
                found[name.as_posix()] = (stat.st_size, stat.st_mtime_ns)
        return found

    def _copy_file(self, name: str, found: dict[str, Signature]) -> None:
        if name not in found or self.copied.get(name) == found[name]:
            return
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            return
        self._write(name, content)
        self.copied[name] = found[name]

    def _copy_search(self, found: dict[str, Signature]) -> None:
        """Copy the newest state that the journal knows, and the journal."""
        if self.copied.get(JOURNAL_FILE) == found.get(JOURNAL_FILE):
            return
        # in this order: the driver writes a state before the journal's events that belong to it
        states = [self._read_state(name) for name in TURNS]
        length, last = whole_lines(self.folder / JOURNAL_FILE)
        fitting = [(number, content) for number, content in states if self._state < number <= last]
        newest = max(fitting, default=None)
        if self._journal_first:
            # what an earlier life left in the store fits at least the journal that we know
            self._copy_journal(length)
            self._journal_first = False
        if newest is not None:
            self._state, content = newest
            self._write(f"{STATE_FOLDER}/{TURNS[self._turn]}", content)
            self._turn = 1 - self._turn
        self._copy_journal(length)
        self.copied[JOURNAL_FILE] = found[JOURNAL_FILE]

    def _copy_journal(self, length: int) -> None:
        """Bring the segments in the store up to the first `length` bytes of the journal."""
        assert self._filesystem is not None
        if self._journal is None:
            self._journal = SegmentedCopy(self._filesystem, *_journal_places(self._root))

        def read(start: int, end: int) -> bytes:
            with (self.folder / JOURNAL_FILE).open("rb") as file:
                file.seek(start)
                return file.read(end - start)

        self._journal.extend(length, read)

    def _read_state(self, name: str) -> tuple[int, bytes]:
        number, content = -1, b""
        for _ in range(_LOOKS):
            try:
                content = (self.folder / STATE_FOLDER / name).read_bytes()
            except FileNotFoundError:
                break
            number = state_number(content)
            if number >= 0:
                break
            time.sleep(_LOOK_AGAIN_S)  # the driver may be writing it
        return number, content

    def _write(self, name: str, content: bytes) -> None:
        write_file(self._filesystem, f"{self._root}/{name}", content)

    def _delete(self, path: str) -> None:
        assert self._filesystem is not None
        place = f"{self._root}/{path}"
        (info,) = self._filesystem.get_file_info([place])
        if info.type == pafs.FileType.Directory:
            self._filesystem.delete_dir(place)


def _journal_places(root: str) -> tuple[str, str]:
    """Return where the segments of the journal are in a store, and the one file formerly."""
    return f"{root}/{SEGMENTS_FOLDER}", f"{root}/{JOURNAL_FILE}"


def whole_lines(path: Path) -> tuple[int, int]:
    """Return how many bytes of a journal are whole lines, and the number of the last event in them.

    Only its end is read, as far back as there is no event.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        block = _TAIL_BYTES
        while True:
            begin = max(0, size - block)
            file.seek(begin)
            content = file.read(size - begin)
            whole = content[: content.rfind(b"\n") + 1]
            # the first line may have begun before
            lines = whole.splitlines()[1 if begin else 0 :]
            number = _last_number(lines)
            if number or not begin:
                return begin + len(whole), number
            block *= 8


def _last_number(lines: Sequence[bytes]) -> int:
    for line in reversed(lines):
        try:
            return int(json.loads(line)["n"])
        except (ValueError, KeyError, TypeError):
            continue  # half a line of a killed driver
    return 0


def fetch_folder(url: str, runs: Path = LOCAL_RUNS) -> tuple[Path, str]:
    """Return a local folder for the search at a URL: the one there is, or a copy, in `runs`.

    Checkpoints stay where they are. The URL may also be that of a folder with one search in it.

    Returns
    -------
    folder : on this machine
    url : of the search

    Raises
    ------
    SearchError
        If there is no search, the store does not answer, or the local folder has gone another way.
    """
    try:
        url = _search_url(url)
        filesystem, root = open_store(url, patience_s=_ASK_S)
        folder = (runs / checked_relative_path(name_of(url), "a search's URL")).absolute()
        if not folder.is_dir() or _is_behind(folder, filesystem, root):
            _download(filesystem, root, folder)
        else:
            _take_openings(filesystem, root, folder)
    except OSError as error:
        raise SearchError(in_words(url, error)) from error
    return folder, url


def _search_url(url: str) -> str:
    filesystem, root = open_store(url, patience_s=_ASK_S)
    infos = filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True))
    if any(info.base_name == EXPERIMENT_FILE for info in infos):
        return url
    places = [child_url(url, i.base_name) for i in infos if not i.is_file]
    paths = [f"{i.path}/{EXPERIMENT_FILE}" for i in infos if not i.is_file]
    there = filesystem.get_file_info(paths) if paths else []
    found = [place for place, info in zip(places, there, strict=True) if info.is_file]
    if len(found) == 1:
        return found[0]
    raise SearchError(
        f"{url} is not the folder of a search: it has no {EXPERIMENT_FILE}, and there are "
        f"{len(found)} searches in it; give the URL that `finrl-ray tune` printed, its options "
        "after '?' included"
    )


def require_newest(folder: Path, url: str) -> None:
    """Check that a search has not gone on elsewhere, in another copy of its folder.

    Raises
    ------
    SearchError
        If the journal in the store knows more, or the store does not answer.
    """
    filesystem, root = open_store(url, patience_s=_ASK_S)
    try:
        behind = _is_behind(folder, filesystem, root)
    except OSError as error:
        raise SearchError(in_words(url, error)) from error
    if behind:
        raise SearchError(
            f"the search in {folder} has gone on elsewhere: its copy in the store knows more; go "
            f"on from there with `finrl-ray resume '{url}'`, in the folder above {folder.parent}"
        )


def _is_behind(folder: Path, filesystem: pafs.FileSystem, root: str) -> bool:
    there = read_segments(filesystem, *_journal_places(root)) or b""
    path = folder / JOURNAL_FILE
    here = path.read_bytes()[: whole_lines(path)[0]] if path.is_file() else b""
    if here.startswith(there):
        return False
    if there.startswith(here):
        return True
    raise SearchError(
        f"the search in {folder} and its copy in the store have gone different ways, on two "
        "machines; move the folder away to go on with the copy"
    )


def _download(filesystem: pafs.FileSystem, root: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    names = _remote_names(filesystem, root)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch") as scratch:
        fetched = Path(scratch) / folder.name
        for name in names:
            content = read_file(filesystem, f"{root}/{name}")
            if content is not None:
                path = fetched / checked_relative_path(name, f"the store at {root}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        journal = read_segments(filesystem, *_journal_places(root))
        if journal is not None:
            (fetched / JOURNAL_FILE).write_bytes(journal)
        if not folder.exists():
            fetched.rename(folder)
            return
        # the journal last: until then the states are those that it may be ahead of
        for path in sorted(fetched.rglob("*"), key=lambda path: path.name == JOURNAL_FILE):
            if path.is_file():
                target = folder / path.relative_to(fetched)
                target.parent.mkdir(exist_ok=True)
                path.replace(target)


def _remote_names(filesystem: pafs.FileSystem, root: str) -> list[str]:
    infos = filesystem.get_file_info(pafs.FileSelector(root))
    folders = {info.base_name for info in infos if not info.is_file} | set(SUBFOLDERS)
    for name in sorted(folders - {RAY_FOLDER, SEGMENTS_FOLDER}):
        selector = pafs.FileSelector(f"{root}/{name}", recursive=True, allow_not_found=True)
        infos += filesystem.get_file_info(selector)
    return [info.path.removeprefix(f"{root}/") for info in infos if info.is_file]


def _take_openings(filesystem: pafs.FileSystem, root: str, folder: Path) -> None:
    """Add openings of the test window on other machines: each one counts."""
    there = (read_file(filesystem, f"{root}/{OPENINGS_FILE}") or b"").decode().splitlines()
    path = folder / OPENINGS_FILE
    here = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    lines = [*here, *(line for line in there if line not in here)]
    if lines != here:
        with atomic_path(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
