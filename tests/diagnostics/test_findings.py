"""Findings as they are collected, and the one report of them."""

import pytest

from finrl_ray.diagnostics.findings import DATA, Finding, FindingList, FindingsReport
from finrl_ray.errors import ConfigError, DataError


def report(*findings: tuple[str, str, str]) -> FindingsReport:
    return FindingsReport(
        tuple(Finding(level=level, where=where, what=what) for level, where, what in findings)
    )


def test_what_an_earlier_check_has_said_is_not_said_again() -> None:
    heard: list[Finding] = []
    findings = FindingList(heard.append)
    findings.error("agent", "gamma must be <= 1")
    findings.error("search", "it cannot start: gamma must be <= 1")
    findings.warning("search", "it cannot start: gamma must be <= 1")
    for _ in range(2):
        findings.note("data", "no volumes")
        findings.ok("env", "two walks agree")
    assert [(item.level, item.where) for item in findings] == [
        ("error", "agent"),
        ("warning", "search"),
        ("note", "data"),
        ("ok", "env"),
    ]
    assert heard == list(findings)
    assert findings.has_error("agent")
    assert not findings.has_error("search")
    assert findings.of_level("note") == 1


def test_a_finding_added_as_it_is_may_hold_another_ones_words() -> None:
    findings = FindingList()
    for what in ("close of A is NaN", "adj_close of A is NaN", "close of A is NaN"):
        findings.add(Finding(level="error", where=DATA, what=what))
    assert len(findings) == 2


@pytest.mark.parametrize(
    ("levels", "last_line"),
    [
        ((), "healthy"),
        (("note", "ok"), "healthy"),
        (("warning",), "healthy, with 1 warning"),
        (("error", "warning", "warning"), "1 error and 2 warnings: repair the errors before you "),
        (("error", "error"), "2 errors: repair the errors before you train"),
    ],
)
def test_the_last_line(levels: tuple[str, ...], last_line: str) -> None:
    found = report(*((level, "x", str(number)) for number, level in enumerate(levels)))
    assert found.summary().startswith(last_line)
    assert found.healthy is ("error" not in levels)


def test_sentences_by_level() -> None:
    found = report(("error", DATA, "a"), ("warning", "env", "b"), ("note", "env", "c"))
    assert (found.errors, found.warnings, found.notes) == (("a",), ("b",), ("c",))
    assert found.of("ok") == ()


def test_errors_are_raised_as_one() -> None:
    report(("warning", "env", "b")).raise_errors("the setup")
    with pytest.raises(DataError, match=r"^the setup has a problem:\n  - a$"):
        report(("error", DATA, "a")).raise_errors("the setup")
    with pytest.raises(ConfigError, match=r"^the setup has 2 problems:\n  - a\n  - b$"):
        report(("error", DATA, "a"), ("error", "env", "b")).raise_errors("the setup")
