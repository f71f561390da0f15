"""Parts of messages, and that no text of the package leaves a plural open."""

import ast
import re
from pathlib import Path

import pytest

import finrl_ray
from finrl_ray.support.text import (
    and_list,
    closest,
    counted,
    did_you_mean,
    estimated_time,
    exact_time,
    listed,
    time_in_one_unit,
    times,
)

SOURCES = sorted(Path(finrl_ray.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 trials"), (1, "1 trial"), (2, "2 trials"), (1234, "1,234 trials")],
)
def test_counts(count: int, words: str) -> None:
    assert counted(count, "trial") == words


def test_a_plural_of_its_own() -> None:
    assert counted(2, "copy", "copies") == "2 copies"
    assert counted(1, "copy", "copies") == "1 copy"


@pytest.mark.parametrize(
    ("count", "words"),
    [(1.0, "1 GPU"), (0.5, "0.5 GPUs"), (2.0, "2 GPUs"), (1 / 3, "0.333333 GPUs")],
)
def test_counts_of_parts(count: float, words: str) -> None:
    assert counted(count, "GPU") == words


def test_times() -> None:
    assert [times(count) for count in (0, 1, 2, 1000)] == [
        "0 times",
        "once",
        "2 times",
        "1,000 times",
    ]


@pytest.mark.parametrize(
    ("seconds", "exact", "estimated", "short"),
    [
        (0.2, "0 s", "less than 1 s", "0 s"),
        (45, "45 s", "45 s", "45 s"),
        (89.4, "1 min 29 s", "89 s", "89 s"),
        (200, "3 min 20 s", "3 min", "3 min"),
        (3600, "1 h 0 min", "1 h", "60 min"),
        (5460, "1 h 31 min", "1 h 31 min", "1.5 h"),
        (187200, "52 h 0 min", "2 days 4 h", "52.0 h"),
    ],
)
def test_durations(seconds: float, exact: str, estimated: str, short: str) -> None:
    assert exact_time(seconds) == exact
    assert estimated_time(seconds) == estimated
    assert time_in_one_unit(seconds) == short


def test_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "['a', 'b']"
    assert listed("abcde", limit=2) == "['a', 'b', and 3 more]"


def test_the_closest_name_whatever_its_case() -> None:
    known = ("DRLAgent", "run_search", "RUN_SEARCH")
    assert closest("drlagent", known) == "DRLAgent"
    assert closest("run_serch", known) == "run_search"
    assert closest("zzz", known) is None
    assert closest("run_serch", known, cutoff=0.99) is None


def test_a_hint_is_a_sentence_of_its_own() -> None:
    assert did_you_mean("ahsa", ("asha", "pbt")) == " Did you mean 'asha'?"
    assert did_you_mean("zzz", ("asha", "pbt")) == ""


def test_names_are_suggested_in_one_place() -> None:
    home = Path(finrl_ray.__file__).parent / "support" / "text.py"
    users = [path for path in SOURCES if "difflib" in path.read_text(encoding="utf-8")]
    assert users == [home]


def test_no_text_leaves_the_plural_open() -> None:
    found = [
        f"{path.name}:{node.lineno}: {node.value!r}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"[a-z]\((s|es|ies)\)", node.value)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("items", "said"), [([3], "3"), ([3, 5], "3 and 5"), (["a", "b", "c"], "a, b and c")]
)
def test_items_are_named_as_in_a_sentence(items, said) -> None:
    assert and_list(items) == said
