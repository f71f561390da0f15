"""Which trials each scheduler stops or changes, and that none waits for ever."""

import io
import pickle
from typing import Any

import cloudpickle
import numpy as np
import pytest
from fake_tune import FakeController, FakeTrial, run_trials
from ray.tune.experiment import Trial
from scheduler_configs import scheduler_config

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.journal.state_files import dump_state
from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.schedulers.make import make_scheduler, samples_all_first, stop_reason

TOTAL = 8000


def config(kind: Any, *, searcher: Any = "random", **options: Any) -> ExperimentConfig:
    return ExperimentConfig(
        seed=5,
        agent=AgentConfig(total_timesteps=TOTAL),
        search=SearchConfig(searcher=searcher, scheduler=scheduler_config(kind, **options)),
    )


def scheduler_of(kind: Any, **options: Any) -> Any:
    made = config(kind, **options)
    return make_scheduler(made, build_space(made))


def by_number(trial: FakeTrial, steps: int) -> float:
    return float(trial.trial_id)


def population(count: int) -> list[FakeTrial]:
    return [FakeTrial(f"{k:05d}", {}) for k in range(count)]


def test_fifo_stops_nothing() -> None:
    trials = population(4)
    run_trials(scheduler_of("fifo"), trials, by_number, every=1000, total=TOTAL)
    assert {trial.steps for trial in trials} == {TOTAL}


def test_asha_stops_below_the_top_half_at_the_first_rung() -> None:
    scheduler, trials = scheduler_of("asha"), population(4)[::-1]
    run_trials(scheduler, trials, by_number, every=500, total=TOTAL, slots=1)
    # best first, one at a time: each later one is below the median of those before it
    assert [trial.steps for trial in trials] == [TOTAL, 1000, 1000, 1000]
    assert stop_reason(scheduler, "00000") == "stopped by asha at 1,000"
    assert stop_reason(scheduler, "00003") == ""


def test_a_trial_without_a_sharpe_ratio_is_stopped() -> None:
    scheduler, trials = scheduler_of("asha"), population(3)
    run_trials(
        scheduler,
        trials,
        lambda trial, steps: float("nan") if trial.trial_id == "00002" else 1.0,
        every=500,
        total=TOTAL,
        slots=1,
    )
    assert stop_reason(scheduler, "00002") == "stopped by asha at 1,000"


def test_the_brackets_of_asha_depend_on_the_seed_alone() -> None:
    rungs = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002  # what the process draws must not matter
        scheduler, trials = scheduler_of("asha", brackets=3), population(20)[::-1]
        run_trials(scheduler, trials, by_number, every=500, total=TOTAL, slots=3)
        rungs.append(scheduler.stopped_at)
    assert rungs[0] == rungs[1]
    # the second bracket begins at twice the grace period, the third at four times
    assert {1000, 2000} <= set(rungs[0].values())


def test_median_stops_what_is_below_the_median_of_three() -> None:
    scheduler, trials = scheduler_of("median"), population(5)[::-1]
    run_trials(scheduler, trials, by_number, every=500, total=TOTAL, slots=1)
    # the first three have too few before them to compare with
    assert [trial.steps for trial in trials] == [TOTAL, TOTAL, TOTAL, 1000, 1000]
    assert stop_reason(scheduler, "00000") == "stopped by median at 1,000"


def test_median_does_not_count_a_result_reported_again() -> None:
    scheduler, (trial,) = scheduler_of("median"), population(1)
    run_trials(scheduler, [trial], by_number, every=4000, total=TOTAL)
    scheduler.on_trial_result(None, trial, {"timesteps": 4000, "objective": 0.0})
    assert [r["timesteps"] for r in scheduler._results[trial]] == [4000]


def test_hyperband_fills_its_boldest_bracket_first() -> None:
    scheduler, trials = scheduler_of("hyperband"), population(8)
    run_trials(scheduler, trials, by_number, every=500, total=TOTAL, slots=3)
    # s = 3: eight trials from 1000 timesteps, halved at 1000, 2000 and 4000
    assert [trial.steps for trial in trials] == [1000] * 4 + [2000] * 2 + [4000, TOTAL]
    assert stop_reason(scheduler, "00005") == "stopped by hyperband at 2,000"


def test_hyperband_never_begins_before_the_grace_period() -> None:
    scheduler = scheduler_of("hyperband", grace_period=3000, reduction_factor=2.0)
    run_trials(scheduler, population(12), by_number, every=500, total=TOTAL)
    assert min(scheduler.stopped_at.values()) == 4000


@pytest.mark.parametrize("every", [2000, 3000, 4000])
@pytest.mark.parametrize("count", [4, 8, 11])
@pytest.mark.parametrize("slots", [1, 3])
def test_hyperband_goes_on_where_evaluations_are_further_apart_than_rungs(
    every: int, count: int, slots: int
) -> None:
    scheduler, trials = scheduler_of("hyperband"), population(count)
    run_trials(scheduler, trials, by_number, every=every, total=TOTAL, slots=slots)
    assert any(trial.steps >= TOTAL for trial in trials)
    assert all(trial.steps >= every for trial in trials)


@pytest.mark.parametrize("crash", [500, 1500, 3000])
@pytest.mark.parametrize("slots", [1, 3])
def test_hyperband_goes_on_without_a_trial_that_crashed(crash: int, slots: int) -> None:
    scheduler, trials = scheduler_of("hyperband"), population(8)
    fails = {"00007": crash}
    run_trials(scheduler, trials, by_number, every=500, total=TOTAL, slots=slots, fails=fails)
    assert trials[6].steps == TOTAL


class Told:
    """The searcher of BOHB, as HyperBand talks to it."""

    def on_pause(self, trial_id: str) -> None: ...

    def on_unpause(self, trial_id: str) -> None: ...


@pytest.mark.parametrize("crash", [None, 500, 1000, 1500, 3000])
@pytest.mark.parametrize("slots", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_hyperband_for_bohb_lets_nobody_wait(count: int, slots: int, crash: int | None) -> None:
    scheduler, trials = scheduler_of("hyperband", searcher="bohb"), population(count)
    fails = {f"{count - 1:05d}": crash} if crash else {}
    run_trials(
        scheduler,
        trials,
        by_number,
        every=500,
        total=TOTAL,
        slots=slots,
        fails=fails,
        searcher=Told(),
        lazily=True,
    )
    if count > 1:
        assert max(trial.steps for trial in trials) == TOTAL
    if count >= 8 and not crash:  # the boldest bracket is filled first, as trials come
        assert sum(trial.steps == 1000 for trial in trials) >= 4


@pytest.mark.parametrize("searcher", ["random", "bohb"])
@pytest.mark.parametrize("told", [True, False])
def test_trials_added_to_halving_have_a_bracket_of_their_own(searcher: str, told: bool) -> None:
    """Five fill no bracket of eight; those that come later cannot join where it was halved."""
    scheduler, trials = scheduler_of("hyperband", searcher=searcher), population(11)
    options: Any = {"every": 500, "total": TOTAL, "slots": 2, "lazily": searcher == "bohb"}
    if told:
        run_trials(scheduler, trials[:5], by_number, searcher=Told(), **options)
    else:  # a budget has ended the search in the middle: they have ended, and nobody said so
        begun = FakeController(scheduler, [], Told())
        scheduler.set_search_properties("objective", "max")
        for trial in trials[:5]:
            scheduler.on_trial_add(begun, trial)
            trial.status = Trial.TERMINATED
    first = dict(scheduler.stopped_at)
    run_trials(scheduler, trials[5:], by_number, searcher=Told(), **options)
    stopped = {name: at for name, at in scheduler.stopped_at.items() if name not in first}
    # six in the second bracket, whose rungs are at 2000 and 4000: six, three, and two of these
    assert {int(name): at for name, at in stopped.items()} == {5: 2000, 6: 2000, 7: 2000, 8: 4000}
    assert [trial.steps for trial in trials[9:]] == [TOTAL, TOTAL]


@pytest.mark.parametrize("kind", ["fifo", "asha", "median", "hyperband", "pbt"])
def test_schedulers_can_be_kept_between_any_two_results(kind: Any) -> None:
    scheduler, trials = scheduler_of(kind), population(4)
    for trial in trials:
        trial.config = {"learning_rate": 1e-4, **LIST_SAMPLE}

    straight = [FakeTrial(trial.trial_id, trial.config) for trial in trials]
    run_trials(scheduler, straight, by_number, every=500, total=TOTAL)
    kept = Kept(scheduler_of(kind), trials)
    run_trials(kept, trials, by_number, every=500, total=TOTAL)  # type: ignore[arg-type]
    assert max(trial.steps for trial in trials) == TOTAL
    assert [t.reported for t in trials] == [t.reported for t in straight]
    assert [t.config for t in trials] == [t.config for t in straight]


class Kept:
    """A scheduler that is pickled and read again before every call, with trials as references."""

    def __init__(self, scheduler: Any, trials: list[FakeTrial]) -> None:
        self.scheduler = scheduler
        self.trials = {trial.trial_id: trial for trial in trials}

    def __getattr__(self, name: str) -> Any:
        if name == "on_trial_remove":  # inside another call
            return self.scheduler.on_trial_remove
        buffer = io.BytesIO()
        pickler = cloudpickle.Pickler(buffer)
        pickler.persistent_id = lambda x: x.trial_id if isinstance(x, FakeTrial) else None
        pickler.dump(self.scheduler)
        unpickler = pickle.Unpickler(io.BytesIO(buffer.getvalue()))
        unpickler.persistent_load = self.trials.__getitem__
        self.scheduler = unpickler.load()
        return getattr(self.scheduler, name)


LIST_SAMPLE = {
    "n_steps": 128,
    "batch_size": 64,
    "n_epochs": 5,
    "clip_range": 0.2,
    "one_minus_gamma": 0.01,
    "one_minus_gae_lambda": 0.05,
    "ent_coef": 1e-3,
    "max_grad_norm": 0.5,
}


def test_who_needs_all_trials_at_once() -> None:
    assert [samples_all_first(config(k)) for k in ("asha", "median", "fifo")] == [False] * 3
    assert [samples_all_first(config(k)) for k in ("hyperband", "pbt", "pb2")] == [True] * 3
    assert not samples_all_first(config("hyperband", searcher="bohb"))


@pytest.mark.parametrize("brackets", [1, 3])
def test_asha_does_nothing_with_results_before_the_one_that_it_asks_for(brackets) -> None:
    scheduler = scheduler_of("asha", grace_period=100, reduction_factor=2, brackets=brackets)
    scheduler.set_search_properties("objective", "max")
    random = np.random.default_rng(0)
    trials = {trial.trial_id: trial for trial in population(30)}
    looked_at = 0
    for trial in trials.values():
        scheduler.on_trial_add(None, trial)
    running = dict.fromkeys(trials, 0)
    while running:
        trial_id = str(random.choice(list(running)))
        running[trial_id] += int(random.integers(1, 900))
        if running[trial_id] >= TOTAL:
            # it has ended by itself, whatever ASHA says of its last result
            del running[trial_id]
            continue
        before, asks_from = dump_state(scheduler), scheduler.asks_from(trial_id)
        result = {"timesteps": running[trial_id], "objective": float(random.normal())}
        action = scheduler.on_trial_result(None, trials[trial_id], result)
        if running[trial_id] < asks_from:
            assert action == "CONTINUE"
            assert dump_state(scheduler) == before
        else:
            looked_at += 1
            assert dump_state(scheduler) != before
        if action == "STOP":
            del running[trial_id]
    assert looked_at > 30
