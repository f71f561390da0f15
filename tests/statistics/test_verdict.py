"""From the active returns of all trials to a word: known answers, limits, odd inputs."""

import json
import math

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics.detectable_sharpe import detectable_sharpe
from finrl_ray.statistics.verdict import Verdict, judge
from finrl_ray.statistics.verdict_text import detectable_sentence, headline, verdict_sentences


def noise(t: int = 252, n: int = 100, seed: int = 0) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).standard_normal((t, n))


def planted() -> np.ndarray:
    values = noise()
    values[:, 0] += 4 * 0.01 / math.sqrt(252)
    return values


def best(values: np.ndarray) -> int:
    return int(np.argmax(values.mean(axis=0) / values.std(axis=0, ddof=1)))


def test_the_best_of_noise() -> None:
    values = noise()
    assert best(values) == 48
    found = judge(values, 48, n_trials=100)
    assert found.kind == "no evidence of skill"
    for name, value, digits in (
        ("sharpe_annual", 2.748589, 6),
        ("skew", -0.322823, 6),
        ("kurtosis", 3.092514, 6),
        ("psr", 0.995975, 6),
        ("luck_annual", 2.804906, 6),
        ("dsr", 0.478350, 6),
        ("sidak_p", 0.331924, 6),
        ("min_backtest_years", 0.848, 3),
        ("pbo", 0.535897, 6),
        ("effective_trials", 99.93, 2),
    ):
        assert getattr(found, name) == pytest.approx(value, abs=0.51 * 10**-digits), name
    assert found.spa_p == pytest.approx(0.116, abs=0.03)
    assert found.min_track_record_periods == math.inf


def test_planted_skill() -> None:
    found = judge(planted(), 0, n_trials=100)
    assert found.kind == "evidence"
    for name, value, digits in (
        ("sharpe_annual", 5.455992, 6),
        ("kurtosis", 3.611594, 6),
        ("luck_annual", 3.106410, 6),
        ("dsr", 0.988373, 6),
        ("min_track_record_periods", 132.88, 2),
        ("pbo", 0.050971, 6),
    ):
        assert getattr(found, name) == pytest.approx(value, abs=0.51 * 10**-digits), name
    assert found.sidak_p == pytest.approx(7e-6, abs=5e-7)
    assert found.spa_p == 0.0


@pytest.mark.parametrize(
    ("t", "n", "evidence", "weak"),
    [(252, 1, 1.65, 1.65), (252, 10, 3.24, 2.57), (252, 100, 4.21, 3.28), (1260, 100, 1.87, 1.47)],
)
def test_what_it_takes(t, n, evidence, weak) -> None:
    found = detectable_sharpe(t, n)
    assert (found.evidence, found.weak) == (
        pytest.approx(evidence, abs=0.0051),
        pytest.approx(weak, abs=0.0055),
    )
    with pytest.raises(ValueError, match="n_periods must be >= 2"):
        detectable_sharpe(1, n)
    assert f"{evidence:.2f}" in detectable_sentence(found, t, n)


def test_what_it_takes_is_what_the_rule_asks() -> None:
    """A winner a little above what is announced passes the deflation, a little below does not."""
    values = noise(252, 100, seed=4)
    ratios = values.mean(axis=0) / values.std(axis=0, ddof=1)
    needed = detectable_sharpe(252, 100).evidence / math.sqrt(252)
    for factor, passes in ((1.12, True), (0.88, False)):
        shifted = values - values.mean(axis=0) + values.std(axis=0, ddof=1) * ratios
        own = shifted[:, 0] - shifted[:, 0].mean()
        shifted[:, 0] = own + own.std(ddof=1) * needed * factor
        assert (judge(shifted, 0, n_trials=100).dsr >= 0.95) == passes


def test_more_trials_that_failed_weigh_as_much_as_those_that_did_not() -> None:
    values = planted()[:, :20]
    few = judge(values, 0, n_trials=20)
    many = judge(values, 0, n_trials=400)
    assert many.dsr < few.dsr
    assert many.sidak_p > few.sidak_p
    assert (many.n_trials, many.n_with_returns) == (400, 20)


def test_few_trials_or_few_days_cannot_be_evidence() -> None:
    values = planted()[:, :9]
    found = judge(values, 0, n_trials=9)
    assert found.dsr >= 0.95
    assert math.isnan(found.pbo)
    assert found.kind == "weak evidence"
    assert any("9 trials; PBO needs" in note for note in found.notes)
    short = noise(50, 20)
    short[:, 0] += 0.01
    found = judge(short, 0, n_trials=20)
    assert found.kind == "weak evidence"
    assert any("50 days are too few" in note for note in found.notes)


def test_one_trial_is_not_deflated() -> None:
    found = judge(planted()[:, :1], 0, n_trials=1)
    assert found.dsr == found.psr
    assert any("no deflation possible" in note for note in found.notes)


@pytest.mark.parametrize(
    ("values", "winner", "n_trials", "note"),
    [
        (np.zeros((100, 3)), 0, 3, "nothing was traded"),
        (np.full((100, 3), 0.001), 1, 3, "no deviation"),
        (noise(2, 5), 0, 5, "2 returns"),
        (np.empty((0, 0)), None, 1, "no trial that can win"),
        (np.empty((100, 0)), None, 7, "no trial that can win"),
        (noise(100, 5), None, 6, "no trial that can win"),
    ],
)
def test_nothing_to_judge_is_no_evidence_and_says_why(values, winner, n_trials, note) -> None:
    found = judge(values, winner, n_trials=n_trials)
    assert found.kind == "no evidence of skill"
    assert any(note in line for line in found.notes)
    assert "there is nothing to judge" in headline(found) or found.sharpe_annual == 0.0
    assert Verdict.from_dict(json.loads(json.dumps(found.to_dict()))).notes == found.notes


def test_trials_that_never_traded_stand_beside_others() -> None:
    values = noise(252, 20)
    values[:, 5:10] = 0.0
    found = judge(values, best(values[:, :5]), n_trials=20)
    assert math.isfinite(found.dsr)
    assert found.kind == "no evidence of skill"
    same = np.repeat(values[:, :1], 20, axis=1)
    assert judge(same, 3, n_trials=20).kind == "no evidence of skill"


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(DataError, match="finite"):
        judge(np.array([[np.nan, 1.0]]), 0, n_trials=2)
    with pytest.raises(DataError, match=r"winner must be a column within 0\.\.4, got 5"):
        judge(noise(100, 5), 5, n_trials=5)
    with pytest.raises(DataError, match="n_trials must be >= 1 and >= the 5 trials"):
        judge(noise(100, 5), 0, n_trials=4)


def test_a_verdict_survives_json_and_words_hold_its_figures() -> None:
    found = judge(planted(), 0, n_trials=120)
    again = Verdict.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    text = "\n".join(verdict_sentences(found))
    assert text.startswith("evidence: the winner did better")
    for part in (
        "5.46",
        "started: 120 trials, of which 100 left returns",
        "PBO 0.05",
        "at least 0.95",
    ):
        assert part in text
    infinite = judge(noise(), 48, n_trials=100)
    assert Verdict.from_dict(json.loads(json.dumps(infinite.to_dict()))) == infinite


def test_trials_that_count_several_times_are_not_called_trials() -> None:
    """Population based training: 4 trials whose 2 exchanges began a set of values each."""
    found = judge(noise()[:, :4], 0, n_trials=6, periods_per_year=252.0)
    started = "\n".join(verdict_sentences(found, n_started=4))
    assert "started: 4 trials, of which 4 left returns; they count as 6, one for each" in started
    assert "6 trials, of which" not in started
    assert "started: 6 trials, of which 4 left returns; with" in "\n".join(
        verdict_sentences(found, n_started=6)
    )
