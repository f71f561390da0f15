"""Parsing the lines of a journal into events, and checking them.

A journal may come from somebody else: lines have a largest length, fields their types, and no path
leads out of the search's folder.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from pydantic_core import from_json

from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import MB, parse_json, require_regular
from finrl_ray.files.contained_path import checked_folder_name, checked_relative_path

JOURNAL_FILE = "journal.jsonl"
LINE_BYTES = 16 * MB
JOURNAL_BYTES = 4 << 30
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TrialState = Literal["running", "completed", "stopped", "rejected", "failed", "interrupted"]

Event = dict[str, Any]
Check = Callable[[Any], bool]


def read_lines(path: Path) -> Iterator[Event]:
    """Yield the events of a journal that are whole; half a line of a killed driver is left out.

    Each has its number, `n`.

    Raises
    ------
    SearchError
        If it is no regular file, is too large to be a journal, or names a path out of its folder.
    """
    try:
        require_regular(path, JOURNAL_BYTES)
        with path.open("rb") as file:
            number = 0
            for place, line in enumerate(_lines(file, path), start=1):
                event = _event(line, number)
                if event is None:
                    continue
                number = event["n"]
                _check_paths(event, f"{path}, line {place},")
                yield event
    except FileNotFoundError:
        return
    except OSError as error:
        raise SearchError(f"{path} cannot be read: {error}") from error


def _lines(file: Any, path: Path) -> Iterator[bytes]:
    first = True
    while line := file.readline(LINE_BYTES + 1):
        if len(line) > LINE_BYTES:
            raise SearchError(
                f"{path} has a line of more than {LINE_BYTES:,} bytes: it is not the journal of a "
                "search, or is damaged; put back a copy of it"
            )
        yield line.removeprefix(_BYTE_ORDER_MARK) if first else line
        first = False


def _event(line: bytes, before: int) -> Event | None:
    """Return the event of a line, or None if it is damaged."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        event = _parsed(line)
        event.setdefault("n", before + 1)
        if is_well_formed(event):
            return dict(event)
    return None


def _parsed(line: bytes) -> Any:
    try:
        # half the time of Python's own, to which whatever it does not take is left
        return from_json(line)
    except ValueError:
        return parse_json(line.decode("utf-8", errors="replace"))


def is_well_formed(event: Mapping[str, Any]) -> bool:
    """Return whether an event's fields are of the types that are written.

    One of a kind that is not known, from a later version, is.
    """
    if not (_is_count(event["n"]) and isinstance(event["event"], str)):
        return False
    needed = _FIELDS.get(event["event"], {})
    present = all([check(event[name]) for name, check in needed.items()])
    return present and all(
        [check(event[name]) for name, check in _OPTIONAL.items() if name in event]
    )


def _check_paths(event: Event, where: str) -> None:
    for name in ("trial_id", "donor"):
        if name in event:
            checked_folder_name(event[name], f"{where} {name}")
    for name in ("path", "checkpoint"):
        if name in event:
            event[name] = checked_relative_path(event[name], where)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < 1e12  # NaN is not


def _is_sample(value: Any) -> bool:
    return isinstance(value, dict)


def _is_number(value: Any) -> bool:
    if value is None or isinstance(value, float):
        return True
    return isinstance(value, int) and abs(value) < 2**63


def _is_metrics(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_count(value.get("timesteps")):
        return False
    # nearly all are real numbers, which may be anywhere but in a text
    others = [(k, v) for k, v in value.items() if type(v) is not float or k in _TEXTS]
    return all(_is_metric(k, v) for k, v in others)


def _is_metric(name: str, value: Any) -> bool:
    if name in _TEXTS:
        return value is None or _is_text(value)
    return _is_number(value) if name.startswith("eval/") or name in _NUMBERS else True


_TEXTS = ("stop_reason", "notes")
_NUMBERS = ("objective", "eval_objective", "seed", "folds", "paths")
_FIELDS: Mapping[str, Mapping[str, Check]] = MappingProxyType(
    {
        "search": {"state": _is_text},
        "created": {"trial_id": _is_text, "index": _is_count, "sample": _is_sample},
        "start": {"trial_id": _is_text},
        "result": {"trial_id": _is_text, "metrics": _is_metrics},
        "checkpoint": {"trial_id": _is_text, "timesteps": _is_count, "path": _is_text},
        "exploit": {
            "trial_id": _is_text,
            "timesteps": _is_count,
            "donor": _is_text,
            "sample": _is_sample,
            "checkpoint": _is_text,
        },
        "recover": {"trial_id": _is_text},
        "note": {"trial_id": _is_text, "text": _is_text},
        "end": {
            "trial_id": _is_text,
            "state": lambda value: value in get_args(TrialState),
            "reason": _is_text,
        },
        "back": {"to": _is_count},
    }
)
_OPTIONAL: Mapping[str, Check] = MappingProxyType(
    {
        "time": _is_time,
        "index": _is_count,
        "sample": _is_sample,
        "iteration": _is_count,
        "decision": _is_text,
        "ended_by": _is_text,
        "error": _is_text,
    }
)
