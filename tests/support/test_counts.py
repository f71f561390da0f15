"""One thing, two things: counts in words, in every text of the package."""

import ast
import re
from pathlib import Path

import pytest

import finrl_ray
from finrl_ray.support.counts import counted, times

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


def test_times() -> None:
    assert [times(count) for count in (0, 1, 2, 1000)] == [
        "0 times",
        "once",
        "2 times",
        "1,000 times",
    ]


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
