"""Every number that a report explains has its meaning, and docs/glossary.md has them all."""

from finrl_ray.metrics.registry import MEASURES, SHOWN
from finrl_ray.report.glossary import OF_ACCOUNTS, OF_VERDICTS, TERMS, meaning
from finrl_ray.report.pages.verdict import _FIGURES_OF_VERDICT


def test_every_measure_and_every_figure_of_a_verdict_has_a_meaning() -> None:
    assert set(MEASURES) <= set(OF_ACCOUNTS)
    assert set(OF_ACCOUNTS) <= set(SHOWN)
    assert {key for key, *_ in _FIGURES_OF_VERDICT} == set(OF_VERDICTS)


def test_meanings_are_sentences_and_stand_in_a_table() -> None:
    for term in TERMS.values():
        assert term.meaning.endswith(".")
        assert "|" not in term.title + term.meaning
        assert len(term.meaning) < 350
    assert len({term.title for term in TERMS.values()}) >= len(TERMS) - 2


def test_what_nobody_has_described_has_no_meaning() -> None:
    assert meaning("ulcer_index") == ""
    assert "market" in meaning("appraisal_ratio")
