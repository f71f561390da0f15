"""From the residual returns of all trials to a word: known answers, limits, odd inputs."""

import dataclasses
import json
import math

import numpy as np
import pytest

from finrl_ray.errors import DataError
from finrl_ray.statistics import verdict
from finrl_ray.statistics.dependence import dependence_factor
from finrl_ray.statistics.detectable_sharpe import detectable_sharpe
from finrl_ray.statistics.overfitting import deflated_sharpe_ratio, sidak_p_value
from finrl_ray.statistics.sharpe_inference import probabilistic_sharpe_ratio
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
        ("dependence", 1.0, 9),
        ("standard_error_annual", 1.037231, 6),
        ("luck_annual", 2.530603, 6),
        ("dsr", 0.583229, 6),
        ("sidak_p", 0.331924, 6),
        ("min_backtest_years", 0.848, 3),
        ("pbo", 0.535897, 6),
        ("effective_trials", 99.93, 2),
    ):
        assert getattr(found, name) == pytest.approx(value, abs=0.51 * 10**-digits), name
    assert found.spa_p == pytest.approx(0.116, abs=0.03)
    assert found.min_track_record_periods == pytest.approx(15376.16, abs=0.01)
    assert found.rule == "residual"


def test_planted_skill() -> None:
    found = judge(planted(), 0, n_trials=100)
    assert found.kind == "evidence"
    for name, value, digits in (
        ("sharpe_annual", 5.455992, 6),
        ("kurtosis", 3.611594, 6),
        ("luck_annual", 2.530603, 6),
        ("dsr", 0.997639, 6),
        ("min_track_record_periods", 86.07, 2),
        ("pbo", 0.050971, 6),
    ):
        assert getattr(found, name) == pytest.approx(value, abs=0.51 * 10**-digits), name
    assert found.sidak_p == pytest.approx(7e-6, abs=5e-7)
    assert found.spa_p == 0.0


@pytest.mark.parametrize(
    ("t", "n", "evidence", "weak"),
    [(252, 1, 1.65, 2.34), (252, 10, 3.24, 3.12), (252, 100, 4.21, 3.78), (1260, 100, 1.87, 1.67)],
)
def test_what_it_takes(t, n, evidence, weak) -> None:
    found = detectable_sharpe(t, n)
    assert (found.evidence, found.weak) == (
        pytest.approx(evidence, abs=0.0051),
        pytest.approx(weak, abs=0.0055),
    )
    with pytest.raises(ValueError, match="n_periods must be >= 2"):
        detectable_sharpe(1, n)
    said = detectable_sentence(found, t, n)
    assert f"{weak:.2f} for weak evidence" in said
    assert "evidence takes 60 returns" in detectable_sentence(found, 59, 20)
    # without a PBO nothing is called evidence, so that nothing else is promised
    assert (f"of about {evidence:.2f} (" in said) == (n >= 10)
    assert ("evidence takes a PBO, and that 10 trials with returns" in said) == (n < 10)


@pytest.mark.parametrize(
    ("n", "t", "luck", "evidence"),
    [(20, 252, 1.9007, 3.5695), (20, 504, 1.3440, 2.5155), (100, 504, 1.7894, 2.9638)],
)
def test_what_it_takes_as_worked_out_elsewhere(n, t, luck, evidence) -> None:
    found = detectable_sharpe(t, n)
    assert found.luck == pytest.approx(luck, abs=5.1e-5)
    assert found.evidence == pytest.approx(evidence, abs=5.1e-5)


@pytest.mark.parametrize(
    ("t", "n", "shape"),
    [
        (252, 20, {}),
        (504, 100, {}),
        (60, 3, {"dependence": 1.7}),
        (504, 20, {"dependence": 1.3, "skew": -1.5, "kurtosis": 9.0}),
    ],
)
def test_what_it_takes_is_the_rule_solved(t, n, shape) -> None:
    """At what is announced the deflated ratio is .95 and Sidak's p-value .01, to 1e-9."""
    found = detectable_sharpe(t, n, **shape)
    at = found.evidence / math.sqrt(252)
    assert deflated_sharpe_ratio(at, t, n_trials=n, **shape).dsr == pytest.approx(0.95, abs=1e-9)
    psr = probabilistic_sharpe_ratio(found.weak / math.sqrt(252), t, **shape)
    assert sidak_p_value(psr, n) == pytest.approx(0.01, abs=1e-9)


def test_where_nothing_can_be_evidence_only_weak_evidence_is_needed() -> None:
    """Five trials of four evaluations each count as 20, and leave too few series for a PBO."""
    needed = detectable_sharpe(252, 20)
    said = detectable_sentence(needed, 252, 20, n_series=5)
    assert "of about 3.33 for weak evidence (evidence takes a PBO, and that 10 trials" in said
    assert "3.57" not in said
    found = judge(noise(252, 5), 0, n_trials=20)
    after = "\n".join(verdict_sentences(found, n_started=5))
    assert "an appraisal ratio of about 3.33 would have been needed for weak evidence" in after
    assert "needed for evidence" not in after


def test_too_few_returns_never_suffice() -> None:
    found = detectable_sharpe(2, 20)
    assert found.evidence == found.weak == math.inf
    assert "more than can be shown" in detectable_sentence(found, 2, 20)


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


def test_what_is_announced_is_what_is_needed() -> None:
    """The verdict names what was announced for as many trials and days, whatever it has found."""
    for values, winner in ((noise(504, 20), 3), (np.zeros((504, 20)), 0), (noise(504, 20), None)):
        announced = detectable_sharpe(504, 20, 252.0)
        found = judge(values, winner, n_trials=20)
        assert found.needed_evidence_annual == announced.evidence
        assert found.needed_weak_annual == announced.weak
        said = "\n".join(verdict_sentences(found))
        assert f"about {announced.evidence:.2f} would have been needed for evidence" in said
        assert f"{announced.evidence:.2f}" in detectable_sentence(announced, 504, 20)


def test_dependence_raises_luck_and_error() -> None:
    values = noise(504, 20)
    for day in range(1, 504):
        values[day] += 0.5 * values[day - 1]
    winner = best(values)
    found = judge(values, winner, n_trials=20)
    assert found.dependence == dependence_factor(values[:, winner]) > 1.5
    root = math.sqrt(found.dependence)
    assert found.luck_annual == pytest.approx(1.3440034813 * root, rel=1e-9)
    assert found.needed_by_winner_annual > found.needed_evidence_annual
    assert "autocorrelation of the winner" in "\n".join(verdict_sentences(found))


def test_skill_is_not_taken_for_luck() -> None:
    """Half of the trials with an edge: their spread is no longer held against the best of them."""
    values = noise(504, 20)
    values[:, :10] += 4 * 0.01 / math.sqrt(252)
    found = judge(values, best(values), n_trials=20)
    ratios = values.mean(axis=0) / values.std(axis=0, ddof=1)
    former = deflated_sharpe_ratio(
        found.sharpe_annual / math.sqrt(252), 504, n_trials=20, variance=ratios.var(ddof=1)
    )
    assert found.dsr > 0.999
    assert former.dsr < found.dsr
    assert found.luck_annual == pytest.approx(1.3440034813, rel=1e-9)


def test_weak_evidence_takes_a_stricter_level_of_either_test() -> None:
    for sidak, spa, kind in (
        (0.009, 0.9, "weak evidence"),
        (0.9, 0.009, "weak evidence"),
        (0.011, 0.9, "no evidence of skill"),
        (0.9, 0.011, "no evidence of skill"),
    ):
        made = dataclasses.replace(
            judge(noise(504, 20), 3, n_trials=20), sidak_p=sidak, spa_p=spa, dsr=0.5
        )
        assert verdict._concluded(made).kind == kind


def test_a_verdict_of_an_earlier_version_says_by_which_rule() -> None:
    content = judge(planted(), 0, n_trials=120).to_dict()
    for name in ("rule", "dependence", "needed_by_winner_annual"):
        del content[name]
    former = Verdict.from_dict(content)
    assert former.rule == "active"
    said = "\n".join(verdict_sentences(former))
    assert "annual Sharpe ratio beyond buy & hold 5.46" in said
    assert "judged by the rule of an earlier version: on returns less those of buy & hold" in said
    assert "appraisal" not in said
    now = "\n".join(verdict_sentences(judge(planted(), 0, n_trials=120)))
    assert "annual appraisal ratio 5.46" in now
    assert "judged on returns less beta times those of buy & hold" in now
    assert "earlier" not in now


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
    assert text.startswith("evidence: the winner earned more beside the market")
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
    assert "started: 6 trials, of which 4 left returns; evidence takes a PBO" in "\n".join(
        verdict_sentences(found, n_started=6)
    )
