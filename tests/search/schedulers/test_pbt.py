"""Population based training: what is exchanged, when, and that it depends on the seed alone."""

import dataclasses
import random
from typing import Any

import cloudpickle
import numpy as np
import pytest
from fake_tune import FakeController, FakeTrial, run_trials
from ray import tune
from ray.tune.experiment import Trial
from scheduler_configs import scheduler_config

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.sampling.domains import Domain, build_space
from finrl_ray.search.sampling.initial_points import contains
from finrl_ray.search.sampling.searchers import make_searcher
from finrl_ray.search.schedulers.make import donor_checkpoints, make_scheduler, stop_reason
from finrl_ray.search.schedulers.mutations import mutate
from finrl_ray.search.schedulers.pbt import Exploit

TOTAL = 8000
SPACE: dict[str, Any] = {
    "learning_rate": {"loguniform": [1e-5, 1e-3]},
    "vf_coef": {"uniform": [0.2, 0.8]},
    "n_epochs": {"randint": [1, 9]},
    "batch_size": {"choice": [32, 64, 128]},
    "clip_range": {"quniform": [0.1, 0.4, 0.1]},
    "net_arch": {"choice": ["tiny", "small"]},
}


def experiment(kind: Any = "pbt", **options: Any) -> ExperimentConfig:
    return ExperimentConfig(
        seed=11,
        agent=AgentConfig(total_timesteps=TOTAL),
        search=SearchConfig(
            num_samples=8,
            space=SPACE,
            default_space=False,
            scheduler=scheduler_config(kind, **options),
        ),
    )


def by_learning_rate(trial: FakeTrial, steps: int) -> float:
    return float(np.log(trial.config["learning_rate"])) + steps / 1e4


def run(
    config: ExperimentConfig, *, slots: int = 3, curve: Any = by_learning_rate, **options: Any
) -> tuple[list[Exploit], list[FakeTrial]]:
    space = build_space(config)
    searcher = make_searcher(config, space)
    trials = [FakeTrial(f"{k:05d}", searcher.suggest(str(k))) for k in range(8)]
    scheduler: Any = make_scheduler(config, space)
    run_trials(scheduler, trials, curve, every=500, total=TOTAL, slots=slots, **options)
    return scheduler.exploits, trials


def facts(exploits: list[Exploit]) -> list[tuple[Any, ...]]:
    return [(e.trial_id, e.donor_id, e.timesteps, e.sample, e.checkpoint.path) for e in exploits]


def test_the_worst_quarter_goes_on_as_changed_copies_of_the_best() -> None:
    exploits, trials = run(experiment())
    space = build_space(experiment())
    samples = {trial.trial_id: make_samples()[int(trial.trial_id)] for trial in trials}
    # two of eight at each of 1000, 2000 ... 7000; at 8000 nothing is left to train
    assert [e.timesteps for e in exploits] == [t for t in range(1000, TOTAL, 1000) for _ in "ab"]
    assert {trial.steps for trial in trials} == {TOTAL}
    for pair in zip(exploits[::2], exploits[1::2], strict=True):
        ranked = sorted(samples, key=lambda k: samples[k]["learning_rate"])
        assert {e.trial_id for e in pair} == set(ranked[:2])
        assert {e.donor_id for e in pair} <= set(ranked[-2:])
        for e in pair:
            donor = samples[e.donor_id]
            assert e.checkpoint.path == f"/{e.donor_id}/{e.timesteps}"
            assert e.sample["net_arch"] == donor["net_arch"]
            assert any(e.sample[name] != donor[name] for name in SPACE)
            assert all(contains(space[name], e.sample[name]) for name in SPACE)
            assert all(type(e.sample[name]) is type(donor[name]) for name in SPACE)
            samples[e.trial_id] = e.sample
    assert {trial.trial_id: trial.config for trial in trials} == samples


def make_samples() -> list[dict[str, Any]]:
    searcher = make_searcher(experiment(), build_space(experiment()))
    return [searcher.suggest(str(k)) for k in range(8)]


@pytest.mark.parametrize(
    ("kind", "interval"), [("pbt", 1000), pytest.param("pb2", 3000, marks=pytest.mark.slow)]
)
def test_one_seed_gives_one_search_whatever_the_number_of_cpus(kind: str, interval: int) -> None:
    found = []
    for slots in (1, 3, 8):
        random.seed(slots)
        np.random.seed(slots)  # noqa: NPY002  # what the process draws must not matter
        before = (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]  # noqa: NPY002
        found.append(facts(run(experiment(kind, perturbation_interval=interval), slots=slots)[0]))
        assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]  # noqa: NPY002
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 2 * ((TOTAL - 1) // interval)


@pytest.mark.parametrize("options", [{"synch": False}, {"synch": False, "burn_in": 2500}])
def test_without_waiting_each_trial_is_exchanged_in_its_own_time(options: dict[str, Any]) -> None:
    exploits, trials = run(experiment(**options))
    assert exploits
    assert min(e.timesteps for e in exploits) >= options.get("burn_in", 1000)
    assert max(e.timesteps for e in exploits) < TOTAL
    assert {trial.steps for trial in trials} == {TOTAL}


def test_burn_in_and_interval_set_the_exchanges() -> None:
    exploits, _ = run(experiment(burn_in=3000, perturbation_interval=2000, quantile_fraction=0.1))
    assert [e.timesteps for e in exploits] == [3000, 5000, 7000]


@pytest.mark.parametrize("slots", [1, 3, 8])
@pytest.mark.parametrize("crash", [500, 1000, 1500, 2500, 7500, TOTAL])
def test_nobody_waits_for_a_trial_that_crashed(crash: int, slots: int) -> None:
    fails = {"00000": crash, "00005": crash}
    exploits, trials = run(experiment(), slots=slots, fails=fails)
    done = [trial for trial in trials if trial.steps == TOTAL]
    assert len(done) >= 6
    late = [e for e in exploits if e.timesteps > crash]
    assert not {e.donor_id for e in late} & set(fails)
    assert len(late) == 2 * len([t for t in range(1000, TOTAL, 1000) if t > crash])


def test_a_trial_without_an_objective_is_replaced() -> None:
    def curve(trial: FakeTrial, steps: int) -> float:
        return float("nan") if trial.trial_id == "00003" else 1.0 + int(trial.trial_id)

    exploits, _ = run(experiment(), curve=curve)
    assert exploits[0].timesteps == 1000
    assert "00003" in {e.trial_id for e in exploits[:2]}
    assert "00003" not in {e.donor_id for e in exploits[:2]}


def test_checkpoints_of_possible_donors_are_held() -> None:
    config = experiment(synch=False)
    scheduler: Any = make_scheduler(config, build_space(config))
    assert donor_checkpoints(scheduler) == []
    trials = [FakeTrial(f"{k:05d}", sample) for k, sample in enumerate(make_samples())]
    run_trials(scheduler, trials, by_learning_rate, every=500, total=1500)
    held = donor_checkpoints(scheduler)
    assert {e.checkpoint.path for e in scheduler.exploits if e.timesteps == 1000} & set(held)
    assert all(path.endswith("/1000") for path in held)
    assert donor_checkpoints(make_scheduler(experiment_of_asha(), {})) == []


def experiment_of_asha() -> ExperimentConfig:
    return ExperimentConfig(agent=AgentConfig(total_timesteps=TOTAL))


def test_no_trial_is_said_to_be_stopped() -> None:
    config = experiment()
    assert stop_reason(make_scheduler(config, build_space(config)), "00000") == ""


@pytest.mark.slow
def test_pb2_copies_first_then_moves_ranges_within_their_bounds() -> None:
    exploits, trials = run(experiment("pb2", perturbation_interval=3000))
    samples = {trial.trial_id: sample for trial, sample in zip(trials, make_samples(), strict=True)}
    moved = []
    for e in exploits:
        donor = samples[e.donor_id]
        assert {n: v for n, v in e.sample.items() if n not in ("learning_rate", "vf_coef")} == {
            n: v for n, v in donor.items() if n not in ("learning_rate", "vf_coef")
        }
        assert 1e-5 <= e.sample["learning_rate"] <= 1e-3
        assert 0.2 <= e.sample["vf_coef"] <= 0.8
        moved.append(e.sample != donor)
        samples[e.trial_id] = e.sample
    # a donor that has had its values for one interval alone is copied as it is
    assert moved == [False, False, False, True]


def test_mutations_named_are_the_only_ones() -> None:
    exploits, trials = run(experiment(mutations=("clip_range",)))
    samples = {trial.trial_id: sample for trial, sample in zip(trials, make_samples(), strict=True)}
    for e in exploits:
        same = {n: v for n, v in e.sample.items() if n != "clip_range"}
        assert same == {n: v for n, v in samples[e.donor_id].items() if n != "clip_range"}
        samples[e.trial_id] = e.sample


@pytest.mark.parametrize(
    ("domain", "value", "reached"),
    [
        (Domain(kind="uniform", values=(0.2, 1.0)), 0.5, {0.4, 0.6}),
        (Domain(kind="uniform", values=(0.2, 1.0)), 0.9, {0.72, 1.0}),
        (Domain(kind="loguniform", values=(1e-3, 1.0)), 1e-3, {1e-3, 1.2e-3}),
        (Domain(kind="randint", values=(1, 5)), 1, {1, 2}),
        (Domain(kind="randint", values=(1, 5)), 4, {3, 4}),
        (Domain(kind="randint", values=(0, 100)), 50, {40, 60}),
        (Domain(kind="quniform", values=(0.1, 0.4, 0.1)), 0.3, {0.2, 0.4}),
        (Domain(kind="choice", values=(5, "a", None)), "a", {5, None}),
        (Domain(kind="choice", values=(5, "a", None)), None, {"a", None}),
        # an initial point outside the space comes back into it
        (Domain(kind="choice", values=(5, 6)), 77, {5, 6}),
        (Domain(kind="uniform", values=(0.2, 1.0)), 7.0, {1.0}),
    ],
)
def test_a_step_moves_to_a_neighbour_within_the_range(
    domain: Domain, value: Any, reached: set[Any]
) -> None:
    rng = np.random.default_rng(0)
    found = {mutate({"x": value}, {"x": domain}, 0.0, rng)["x"] for _ in range(40)}
    assert {x if isinstance(x, str | None) else round(x, 9) for x in found} == reached


def test_a_value_is_drawn_anew_as_often_as_configured() -> None:
    domain = Domain(kind="uniform", values=(0.0, 1.0))
    rng = np.random.default_rng(1)
    values = [mutate({"x": 0.5}, {"x": domain}, 0.25, rng)["x"] for _ in range(2000)]
    anew = [x for x in values if round(x, 9) not in (0.4, 0.6)]
    assert len(anew) / 2000 == pytest.approx(0.25, abs=0.03)
    assert np.mean(anew) == pytest.approx(0.5, abs=0.05)


def test_a_trial_that_is_exchanged_while_it_writes_a_checkpoint_is_not_stopped_later() -> None:
    config = experiment()
    scheduler: Any = make_scheduler(config, build_space(config))
    scheduler.set_search_properties("objective", "max")
    worst, best = (FakeTrial(f"{k:05d}", make_samples()[k]) for k in range(2))
    controller: Any = FakeController(scheduler, [worst, best], searcher=None)
    for trial in (worst, best):
        scheduler.on_trial_add(controller, trial)
        state = scheduler._trial_state[trial]
        state.last_score, state.last_train_time, state.last_result = 0.0, 1000, {}
        state.last_checkpoint = tune.Checkpoint("/00001/1000")
    worst.status, worst.is_saving = Trial.RUNNING, True
    scheduler._exploit(controller, worst, best)
    assert worst.status == Trial.PAUSED
    assert controller._cached_trial_decisions == {}


@pytest.mark.parametrize("kind", ["pbt", "pb2"])
@pytest.mark.parametrize("synch", [True, False])
def test_trials_added_after_the_end_are_a_population_of_their_own(kind: str, synch: bool) -> None:
    config = experiment(kind, synch=synch)
    space = build_space(config)
    searcher = make_searcher(dataclasses.replace(config, search=bigger(config.search)), space)
    trials = [FakeTrial(f"{k:05d}", searcher.suggest(str(k))) for k in range(14)]
    scheduler: Any = make_scheduler(config, space)
    run_trials(scheduler, trials[:8], by_learning_rate, every=500, total=TOTAL, slots=3)
    first = list(scheduler.exploits)
    scheduler = cloudpickle.loads(cloudpickle.dumps(scheduler))
    known = list(scheduler._trial_state)
    assert all(trial.is_finished() for trial in known)
    run_trials(scheduler, trials[8:], by_learning_rate, every=500, total=TOTAL, slots=6)
    added = scheduler.exploits[len(first) :]
    own = {trial.trial_id for trial in trials[8:]}
    assert {e.trial_id for e in added} <= own
    assert {e.donor_id for e in added} <= own
    # exchanged from the first interval on; where all wait for all, two of six each time
    expected = [t for t in range(1000, TOTAL, 1000) for _ in "ab"]
    assert added[0].timesteps == 1000
    assert len(added) >= 7
    assert not synch or [e.timesteps for e in added] == expected


def bigger(search: SearchConfig) -> SearchConfig:
    return dataclasses.replace(search, num_samples=14)
