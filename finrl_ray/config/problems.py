"""What is wrong with a config, in words: key by key what came, what must hold, the nearest name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from finrl_ray.config.checks import key_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import known_keys
from finrl_ray.config.tagged_sections import tagged_keys
from finrl_ray.config.zoo_keys import ZOO_KEYS
from finrl_ray.errors import shortened
from finrl_ray.support.text import closest, did_you_mean

MOST_PROBLEMS = 100
_ANY_SECTION = ("type", "name", "kind")
_MEANT: Mapping[str, tuple[str, ...]] = {
    **{f"agent.{name}": ("agent.algorithm",) for name in (*_ANY_SECTION, "model")},
    **{f"data.{name}": ("data.source",) for name in (*_ANY_SECTION, "path", "file")},
    **{f"validation.{name}": ("validation.scheme",) for name in _ANY_SECTION},
    **{f"search.{name}": ("search.scheduler.type",) for name in _ANY_SECTION},
    "search.algorithm": ("search.searcher",),
}
"""Names that people give in a section, and the key that they mean."""


def explain(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each of pydantic's errors."""
    lines = []
    errors = [_of_the_tag(error) for error in errors]
    texts = _texts_for_lists(errors)
    for error in errors:
        location = _location(error)
        key = ".".join(location)
        if key in texts:
            lines.append(texts[key])
        elif error["type"] == "unexpected_keyword_argument":
            lines.append(f"unknown key {key!r}{_nearest(location)}")
        elif error["type"] == "value_error":
            lines.append(f"{key}: {error['ctx']['error']}" if key else str(error["ctx"]["error"]))
        else:
            message = _plain_words(error["msg"])
            lines.append(
                f"{key} must be {message}, got {shortened(error['input'])}{_nearest_choice(error)}"
            )
    return lines


def listed_problems(lines: Sequence[str], where: str) -> str:
    """Return one message of all lines, cut after `MOST_PROBLEMS` of them."""
    unique = list(dict.fromkeys(lines))
    if len(unique) > MOST_PROBLEMS:
        unique[MOST_PROBLEMS:] = [f"and {len(unique) - MOST_PROBLEMS:,} more"]
    return f"{where}: " + (
        "; ".join(unique) if len(unique) < 2 else "\n  - " + "\n  - ".join(unique)
    )


def _of_the_tag(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an error of a section's tag as one of the key that it is."""
    section = dict(tagged_keys(ExperimentConfig)).get(".".join(map(str, error["loc"])))
    if section is None or not error["type"].startswith(("union_tag", "model_attributes")):
        return error
    if not isinstance(error["input"], Mapping):
        return {**error, "msg": "an object"}
    names = [repr(tag) for tag in section.variants]
    expected = f"{', '.join(names[:-1])} or {names[-1]}"
    return {
        "type": "literal_error",
        "loc": (*error["loc"], "", section.mark.key),
        "msg": expected,
        "input": error["input"][section.mark.key],
        "ctx": {"expected": expected},
    }


def _location(error: Mapping[str, Any]) -> list[str]:
    parts = [key_of(part) for part in error["loc"] if isinstance(part, str) and "[" not in part]
    for key, _ in tagged_keys(ExperimentConfig):
        depth = key.count(".") + 1
        if ".".join(parts[:depth]) == key:
            del parts[depth : depth + 1]  # the tag that pydantic has chosen the class by
    # the last part may be what pydantic calls one of the types that a key can have
    key, of = ".".join(parts), ".".join(parts[:-1])
    known = known_keys()
    a_value = of in known and not any(other.startswith(f"{of}.") for other in known)
    alternative = key not in known and a_value and error["type"].endswith("_type")
    return parts[:-1] if alternative else parts


def _texts_for_lists(errors: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what to say of each key that needs a list and has one text, such as tickers: AAPL."""
    types: dict[str, set[str]] = {}
    given: dict[str, Any] = {}
    for error in errors:
        key = ".".join(_location(error))
        types.setdefault(key, set()).add(error["type"])
        given[key] = error["input"]
    return {
        key: f"{key} must be a list such as [{given[key][:60]}], got {shortened(given[key])}"
        for key, found in types.items()
        if "tuple_type" in found
        and found <= {"tuple_type", "literal_error"}
        and isinstance(given[key], str)
    }


def _plain_words(message: str) -> str:
    """Return pydantic's message as what comes after "must be"."""
    if message == "Field required" or "should have" in message:
        return "a list of two dates such as [2010-01-01, 2011-01-01], either of them null"
    return message.removeprefix("Input should be ").replace("a valid array", "a list")


def _nearest(location: Sequence[str]) -> str:
    known = list(known_keys())
    parent = ".".join(location[:-1])
    siblings = [key for key in known if key.rpartition(".")[0] == parent]
    spellings = [*known, *(f"agent.{name}" for name in ZOO_KEYS)]
    elsewhere = [key for key in spellings if key.rpartition(".")[2] == location[-1]]
    beside = [key for key in spellings if key.rpartition(".")[0] == parent]
    if location[-1] in _ANY_SECTION:
        # what bears such a name in another section is something else
        elsewhere = spellings = []
    close = list(_MEANT.get(".".join(location), ())) or elsewhere
    close = close or closest_key(location[-1], beside, 0.6)
    close = close or closest_key(location[-1], spellings, 0.75)
    return f". Did you mean {close[0]!r}?" if close else f"; known keys here: {siblings}"


def closest_key(name: str, keys: Sequence[str], cutoff: float) -> list[str]:
    """Return the key whose last part is spelt most like `name`; none if none is."""
    # the last part alone: what all keys of a section begin with makes strangers look alike
    by_name = {key.rpartition(".")[2]: key for key in reversed(keys)}
    found = closest(name, by_name, cutoff)
    return [] if found is None else [by_name[found]]


def _nearest_choice(error: Mapping[str, Any]) -> str:
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    hint = did_you_mean(str(error["input"]), choices, 0.5)
    return f".{hint}" if hint else ""
