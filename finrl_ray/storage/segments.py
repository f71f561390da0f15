"""A file that only grows, kept in an object store as numbered segments.

A store cannot append to a file, and writing a journal anew every two seconds would send it a
hundred times over. Each segment holds the bytes from one offset to another, and is named by both.
Small ones are written together as larger ones from time to time, so that their number stays small.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow.fs as pafs

from finrl_ray.errors import SearchError
from finrl_ray.storage.object_store import read_file, write_file

MERGED = 8
"""Segments of about one size that are written together as one of the next size."""
_SMALL_BYTES = 1 << 16
_LOOKS = 3
_NAME = re.compile(r"(\d{15})-(\d{15})\.part")

ReadRange = Callable[[int, int], bytes]
"""Returns the bytes of the local file from one offset to another."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Bytes of a file, from `start` up to `end`, in a file of the store.

    Parameters
    ----------
    path : in the store
    start, end : offsets in the whole file
    """

    path: str
    start: int
    end: int

    @property
    def level(self) -> int:
        """Its size, as the power of `MERGED` that it is above the smallest."""
        size = max(1, self.end - self.start)
        return max(0, int(math.log(size / _SMALL_BYTES, MERGED)) + 1) if size > _SMALL_BYTES else 0


def segment_path(folder: str, start: int, end: int) -> str:
    """Return where a segment lies, in the folder of all segments of its file."""
    return f"{folder}/{start:015d}-{end:015d}.part"


class SegmentedCopy:
    """The copy of a growing file in a store.

    Parameters
    ----------
    filesystem : of the store
    folder : of the segments, in the store
    former : path of the copy in one piece that earlier versions wrote
    """

    def __init__(self, filesystem: pafs.FileSystem, folder: str, former: str) -> None:
        self.filesystem = filesystem
        self.folder = folder
        self.former = former
        self.segments: list[Segment] | None = None

    def extend(self, length: int, read: ReadRange) -> None:
        """Bring the copy up to the first `length` bytes of the file.

        A kill at any moment leaves a copy of what was there, or of all of it.

        Parameters
        ----------
        length : bytes of the file that are to be copied
        read : returns a range of them

        Raises
        ------
        OSError
            If the store does not answer; the next call finds out what it has.
        """
        known, self.segments = self.segments, None
        if known is None:
            known = self._continued(length, read)
        end = known[-1].end if known else 0
        if end < length:
            known.append(self._write(end, length, read))
        self.segments = self._merged(known, read)

    def _continued(self, length: int, read: ReadRange) -> list[Segment]:
        """Return the segments to go on after: those there are, if the file begins as they say."""
        found, torn = _listed(self.filesystem, self.folder, self.former)
        chain, missing = _chain(found)
        end = chain[-1].end if chain else 0
        same = not missing and end <= length and self._is_copied(chain, read)
        if not same:
            # the whole anew, before what is there goes
            chain = [self._write(0, length, read)] if length else []
        kept = {segment.path for segment in chain}
        for segment in (*found, *torn):
            if segment.path not in kept:
                self.filesystem.delete_file(segment.path)
        return chain

    def _is_copied(self, chain: Sequence[Segment], read: ReadRange) -> bool:
        """Return whether the last segment is the file's; those before it cannot have changed."""
        if not chain:
            return True
        last = chain[-1]
        return read_file(self.filesystem, last.path) == read(last.start, last.end)

    def _write(self, start: int, end: int, read: ReadRange) -> Segment:
        segment = Segment(path=segment_path(self.folder, start, end), start=start, end=end)
        write_file(self.filesystem, segment.path, read(start, end))
        return segment

    def _merged(self, segments: list[Segment], read: ReadRange) -> list[Segment]:
        """Write the last segments together where there are many of a size."""
        while True:
            level = segments[-1].level if segments else 0
            count = 0
            while count < len(segments) and segments[-1 - count].level <= level:
                count += 1
            if count < MERGED:
                return segments
            first, together = segments[-count].start, segments[-count:]
            whole = self._write(first, segments[-1].end, read)
            segments = [*segments[:-count], whole]
            for segment in together:
                self.filesystem.delete_file(segment.path)


def read_segments(filesystem: pafs.FileSystem, folder: str, former: str) -> bytes | None:
    """Return the content of a file that `SegmentedCopy` has copied; None if there is nothing.

    Parameters
    ----------
    filesystem, folder, former : as of `SegmentedCopy`

    Raises
    ------
    SearchError
        If a segment is missing or cut, with its place.
    OSError
        If the store does not answer.
    """
    for look in range(_LOOKS):
        found, torn = _listed(filesystem, folder, former)
        chain, missing = _chain(found)
        if not missing and torn and (not chain or torn[-1].end > chain[-1].end):
            missing = f"{torn[-1].path} is cut: its name says how many bytes it should have"
        if missing:
            raise SearchError(
                f"the copy of a journal in {folder} is damaged: {missing}. Go on from the folder "
                "on the machine that ran the search, which copies it anew, or put the file back"
            )
        if not chain:
            return None
        parts = [read_file(filesystem, segment.path) for segment in chain]
        whole = [part for part in parts if part is not None]
        # where the search runs, segments may be written together while they are read
        if len(whole) == len(chain) or look == _LOOKS - 1:
            return _joined(chain, parts)
    return None


def _joined(chain: Sequence[Segment], parts: Sequence[bytes | None]) -> bytes:
    content = bytearray()
    for segment, part in zip(chain, parts, strict=True):
        if part is None:
            raise SearchError(
                f"{segment.path}, a part of a journal, has vanished while it was read"
            )
        content += part[len(content) - segment.start :]
    return bytes(content)


def _listed(
    filesystem: pafs.FileSystem, folder: str, former: str
) -> tuple[list[Segment], list[Segment]]:
    """Return the segments there are, and those that are not as long as their names say."""
    infos = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    found: list[Segment] = []
    torn: list[Segment] = []
    for info in infos:
        match = _NAME.fullmatch(info.base_name)
        if not info.is_file or match is None:
            continue
        start, end = map(int, match.groups())
        segment = Segment(path=info.path, start=start, end=end)
        (found if info.size == end - start else torn).append(segment)
    (info,) = filesystem.get_file_info([former])
    if info.is_file and info.size:
        found.append(Segment(path=former, start=0, end=info.size))
    return found, sorted(torn, key=lambda segment: segment.end)


def _chain(segments: Sequence[Segment]) -> tuple[list[Segment], str]:
    """Return the fewest segments that cover the file from its start, and what is missing."""
    chain: list[Segment] = []
    end = 0
    while True:
        following = [one for one in segments if one.start <= end < one.end]
        if not following:
            break
        chain.append(max(following, key=lambda one: one.end))
        end = chain[-1].end
    later = [one.start for one in segments if one.start > end]
    if not later:
        return chain, ""
    return chain, f"there is no file with the bytes from {end:,} to {min(later):,}"
