"""What each searcher samples: whole, plain, reproducible, initial points first."""

import importlib.util
import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.basic_variant import BasicVariantGenerator

from finrl_ray.agents.hyperparameters import SEED_DRAW
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.schedulers import HyperbandConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.search.sampling.domains import build_space, count_trials, to_param_space
from finrl_ray.search.sampling.searchers import ModelSearcher, make_searcher

SPACE: dict[str, Any] = {
    "learning_rate": {"loguniform": [1e-5, 1e-3]},
    "n_epochs": {"randint": [1, 9]},
    "clip_range": {"quniform": [0.1, 0.4, 0.1]},
    "max_grad_norm": {"uniform": [0.3, 2.0]},
    "net_arch": {"choice": ["tiny", [64, 32], {"pi": [8], "vf": [8]}]},
    "normalize_advantage": {"choice": [True, False]},
    "n_steps": 64,
}
BOHB = pytest.param(
    "bohb",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("hpbandster") is None, reason="the extra bohb is not installed"
    ),
)
LEARNING = ["optuna", "hyperopt", BOHB]
# written by version 0.1, which drew with Ray's generate_variants before the first trial
RECORDED = json.loads((Path(__file__).parent / "recorded_samples.json").read_text(encoding="utf-8"))


def config(searcher: Any = "random", seed: int = 3, **search: Any) -> ExperimentConfig:
    search = {"space": SPACE, "default_space": False, "num_samples": 24, **search}
    if searcher == "bohb":
        search["scheduler"] = HyperbandConfig()
    return ExperimentConfig(
        seed=seed,
        agent=AgentConfig(total_timesteps=4096),
        search=SearchConfig(searcher=searcher, **search),
    )


def make(made: ExperimentConfig) -> Any:
    return make_searcher(made, build_space(made))


def ended(searcher: Any, trial_id: str, sample: dict[str, Any], **result: Any) -> None:
    """End a trial whose objective is best at a learning rate of 1e-4."""
    value = -abs(np.log10(sample["learning_rate"]) + 4)
    content = {"objective": value, "timesteps": 4096, "training_iteration": 1, **result}
    content["hyperband_info"] = {"budget": 4096.0}
    searcher.on_trial_result(trial_id, content)
    searcher.on_trial_complete(trial_id, result=content)


def sampled(searcher: Any, count: int, *, kept: bool = False) -> list[dict[str, Any]]:
    samples = []
    for k in range(count):
        np.random.random()  # noqa: NPY002  # whatever the process draws must not matter
        if kept:
            searcher = cloudpickle.loads(cloudpickle.dumps(searcher))
        samples.append(searcher.suggest(f"{k:05d}"))
        ended(searcher, f"{k:05d}", samples[-1])
    return samples


def assert_plain(value: Any) -> None:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            assert_plain(item)
    else:
        assert type(value) in (int, float, str, bool), value


OPTIONS: dict[str, Any] = {
    "learning_rate": {"loguniform": [1e-5, 1e-3]},
    "env.hmax": {"quniform": [100, 500, 100]},
    "env.stop_loss": {"uniform": [0.5, 0.9]},
    "env.random_start": {"choice": [True, False]},
    "agent.normalize": {"choice": [False, True, "rewards"]},
    "data.features": {"choice": [["macd"], ["rsi_30", "macd"], "finrl"]},
}


@pytest.mark.parametrize("searcher", ["random", *LEARNING])
def test_options_of_the_config_are_sampled_as_they_are_listed(searcher: str) -> None:
    made = config(searcher, space=OPTIONS)
    samples = sampled(make(made), 16, kept=True)
    for sample in samples:
        assert_plain(sample)
        assert set(sample) - {SEED_DRAW} == set(OPTIONS)
        assert sample["env.hmax"] in (100, 200, 300, 400, 500)
        for name in ("env.random_start", "agent.normalize", "data.features"):
            assert sample[name] in OPTIONS[name]["choice"]
    for name in ("env.random_start", "agent.normalize", "data.features"):
        found = {json.dumps(sample[name]) for sample in samples}
        assert len(found) == len(OPTIONS[name]["choice"])


def test_a_grid_has_every_combination_of_options() -> None:
    names = ["env.random_start", "agent.normalize", "data.features"]
    grid = {name: OPTIONS[name] for name in names}
    samples = sampled(make(config("grid", space=grid | {"learning_rate": 1e-4}, num_samples=1)), 18)
    assert len({json.dumps([sample[name] for name in names]) for sample in samples}) == 2 * 3 * 3


@pytest.mark.parametrize("searcher", ["random", *LEARNING])
def test_samples_are_whole_plain_and_within_the_space(searcher: str) -> None:
    samples = sampled(make(config(searcher)), 24)
    for sample in samples:
        assert_plain(sample)
        assert set(sample) - {SEED_DRAW} == set(SPACE)
        assert 1e-5 <= sample["learning_rate"] <= 1e-3
        assert sample["n_epochs"] in range(1, 9)
        assert type(sample["n_epochs"]) is int
        assert round(sample["clip_range"], 9) in (0.1, 0.2, 0.3, 0.4)
        assert sample["net_arch"] in SPACE["net_arch"]["choice"]
        assert type(sample["normalize_advantage"]) is bool
        assert sample["n_steps"] == 64
    for name, options in (("net_arch", 3), ("normalize_advantage", 2)):
        assert len({json.dumps(sample[name]) for sample in samples}) == options
    assert len({sample["learning_rate"] for sample in samples}) == 24


@pytest.mark.parametrize("searcher", ["random", *LEARNING])
def test_one_seed_gives_one_search_also_when_kept_on_disk_in_between(searcher: str) -> None:
    first = sampled(make(config(searcher)), 24)
    assert sampled(make(config(searcher)), 24, kept=True) == first
    assert sampled(make(config(searcher, seed=4)), 24) != first


@pytest.mark.parametrize("searcher", LEARNING)
def test_searchers_learn_from_results(searcher: str) -> None:
    space = {"learning_rate": {"loguniform": [1e-6, 1e-1]}, "n_steps": 64}
    late = []
    for seed in (3, 4, 5):
        samples = sampled(make(config(searcher, seed=seed, space=space, num_samples=60)), 60)
        late += [abs(np.log10(sample["learning_rate"]) + 4) for sample in samples[30:]]
    # random search stays at the mean distance of the range, 1.3 decades; HyperOpt's own fmin comes
    # to 0.99 here, the other two to half of that
    assert np.mean(late) < (1.1 if searcher == "hyperopt" else 0.75)


@pytest.mark.parametrize("searcher", LEARNING)
@pytest.mark.parametrize(
    "end", [{"error": True}, {"result": None}, {"result": {"objective": float("nan")}}]
)
def test_a_trial_without_a_result_is_not_waited_for(searcher: str, end: dict[str, Any]) -> None:
    made = make(config(searcher))
    for k in range(20):
        assert made.suggest(f"{k:05d}") is not None
        made.on_trial_complete(f"{k:05d}", **end)
    ended(made, "00020", made.suggest("00020"))
    assert made.suggest("00021") is not None
    if searcher == "optuna":
        states = [trial.state.name for trial in made.inner._ot_study.trials]
        assert states == ["FAIL"] * 20 + ["COMPLETE", "RUNNING"]


def test_random_samples_are_those_of_rays_generator() -> None:
    made = config()
    tune.register_trainable("nothing", lambda config: None)
    theirs = BasicVariantGenerator(random_state=made.seed)
    space = to_param_space(build_space(made), seed_draw=True)
    experiment = tune.Experiment("nothing", "nothing", config=space, num_samples=5)
    theirs.add_configurations([experiment])
    searcher = make(made)
    for k in range(5):
        assert searcher.suggest(str(k)) == theirs.next_trial().config


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_one_seed_gives_the_samples_that_it_has_always_given(name: str) -> None:
    case = RECORDED[name]
    made = ExperimentConfig(
        seed=case["seed"],
        agent=AgentConfig(algorithm=case["algorithm"], total_timesteps=4096),
        # recorded when random was the default
        search=SearchConfig(**{"searcher": "random", **case["search"]}),
    )
    searcher, samples = make(made), []
    while (sample := searcher.suggest(str(len(samples)))) != Searcher.FINISHED:
        samples.append(sample)
    # the last digit of a logarithm depends on the processor
    assert len(samples) == len(case["samples"])
    for sample, recorded in zip(samples, case["samples"], strict=True):
        for key, value in recorded.items():
            near = isinstance(value, float) and math.isclose(sample[key], value, rel_tol=1e-12)
            assert near or sample[key] == value, key
    assert [list(sample) for sample in samples] == [list(sample) for sample in case["samples"]]


@pytest.mark.parametrize("searcher", ["random", "grid", "optuna"])
def test_a_billion_samples_take_no_time_and_no_memory(searcher: str) -> None:
    space = {"n_steps": {"choice": [64]}} if searcher == "optuna" else SPACE
    if searcher == "grid":
        space = {"n_epochs": {"randint": [1, 9]}, "n_steps": {"choice": [32, 64]}}
    many = make(config(searcher, space=space, num_samples=10**9))
    tracemalloc.start()
    searched = [many.suggest(str(k)) for k in range(200)]
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 2_000_000  # the 200 themselves
    few = make(config(searcher, space=space, num_samples=200))
    assert searched == [few.suggest(str(k)) for k in range(200)]
    assert many.samples.total == 10**9 * (16 if searcher == "grid" else 1)


def test_a_grid_is_every_combination_num_samples_times_then_ends() -> None:
    space = {
        "n_epochs": {"randint": [1, 3]},
        "clip_range": {"quniform": [0.1, 0.3, 0.1]},
        "net_arch": {"choice": ["tiny"]},
        "n_steps": 64,
    }
    made = config("grid", space=space, num_samples=2, initial_points=({"n_epochs": 7},))
    searcher, samples = make(made), []
    while (sample := searcher.suggest(str(len(samples)))) != Searcher.FINISHED:
        samples.append(sample)
    assert len(samples) == count_trials(build_space(made), made.search) == 2 * 2 * 3 + 1
    assert samples[0]["n_epochs"] == 7
    pairs = [(s["n_epochs"], s["clip_range"]) for s in samples[1:]]
    assert sorted(set(pairs)) == [(n, c) for n in (1, 2) for c in (0.1, 0.2, 0.3)]
    assert all(pairs.count(pair) == 2 for pair in pairs)
    assert len({s[SEED_DRAW] for s in samples}) == len(samples)


POINTS = (
    {"learning_rate": 1e-4, "net_arch": [64, 32], "clip_range": 0.3},
    {"learning_rate": 0.02, "n_epochs": 3},  # outside its range
    "finrl",
)


@pytest.mark.parametrize("searcher", ["random", *LEARNING])
def test_initial_points_come_first_as_they_are(searcher: str) -> None:
    samples = sampled(make(config(searcher, initial_points=POINTS)), 24)
    given, outside, finrl = samples[:3]
    assert (given["learning_rate"], given["net_arch"], given["clip_range"]) == (1e-4, [64, 32], 0.3)
    assert given["n_epochs"] in range(1, 9)
    assert (outside["learning_rate"], outside["n_epochs"]) == (0.02, 3)
    expected = {"learning_rate": 2.5e-4, "n_epochs": 10, "clip_range": 0.2, "max_grad_norm": 0.5}
    expected |= {"net_arch": [64, 64], "normalize_advantage": True, "n_steps": 64}
    assert {name: finrl[name] for name in expected} == expected
    plain = sampled(make(config(searcher)), 24)
    if searcher == "random":
        assert samples[3:] == plain[: 24 - 3]
    assert len(samples) == 24


def test_a_searcher_learns_from_the_points_that_it_can_represent() -> None:
    searcher = make(config("optuna", initial_points=POINTS))
    sampled(searcher, 4)
    told = [trial.params["learning_rate"] for trial in searcher.inner._ot_study.trials]
    assert told[0] == 1e-4
    assert len(told) == 2  # the first point and the first own suggestion


def test_a_zero_is_told_as_the_lower_end_of_a_logarithmic_range() -> None:
    space = SPACE | {"ent_coef": {"loguniform": [1e-8, 0.1]}}
    searcher = make(config("optuna", space=space, initial_points=({"ent_coef": 0.0},)))
    (sample,) = sampled(searcher, 1)
    assert sample["ent_coef"] == 0.0
    (told,) = searcher.inner._ot_study.trials
    assert told.params["ent_coef"] == 1e-8
    assert told.params["learning_rate"] == sample["learning_rate"]


def test_optunas_settings_do_not_depend_on_its_version() -> None:
    sampler = make(config("optuna")).inner._sampler
    assert (sampler._n_startup_trials, sampler._n_ei_candidates) == (10, 24)
    assert (sampler._multivariate, sampler._group, sampler._constant_liar) == (True, False, True)
    both = config("optuna", objectives=("sharpe_ratio", "max_drawdown"))
    assert make(both).inner._sampler._multivariate is False


ALGORITHMS_SPACE: dict[str, Any] = {
    "agent.algorithm": {"choice": ["a2c", "ppo", "sac"]},
    "learning_rate": {"loguniform": [1e-5, 1e-3]},
    "ppo.n_steps": {"choice": [32, 64]},
    "sac.batch_size": {"randint": [16, 64]},
    "sac.tau": {"uniform": [0.01, 0.05]},
    "a2c.n_steps": 16,
}
OWN = {"a2c": {"a2c.n_steps"}, "ppo": {"ppo.n_steps"}, "sac": {"sac.batch_size", "sac.tau"}}


@pytest.mark.parametrize(
    "objectives", [(), ("sharpe_ratio", "max_drawdown")], ids=["one", "several"]
)
def test_optuna_samples_the_entries_of_a_trials_algorithm_alone(objectives: Any) -> None:
    points = ("sac.rl_zoo3", {"agent.algorithm": "ppo", "n_steps": 64, "learning_rate": 1e-4})
    made = config(
        "optuna",
        space=ALGORITHMS_SPACE,
        initial_points=points,
        objectives=objectives,
        num_samples=60,
    )

    def drawn(*, kept: bool) -> list[dict[str, Any]]:
        searcher, samples = make(made), []
        for k in range(60):
            if kept:
                searcher = cloudpickle.loads(cloudpickle.dumps(searcher))
            samples.append(searcher.suggest(str(k)))
            # best is SAC with a large tau
            value = samples[-1].get("sac.tau", 0.0)
            measures = {"eval/sharpe_ratio": value, "eval/max_drawdown": value}
            result = {"objective": value, "timesteps": 1, "training_iteration": 1} | measures
            searcher.on_trial_complete(str(k), result=result)
        return samples

    samples = drawn(kept=False)
    assert drawn(kept=True) == samples
    for sample in samples:
        assert set(sample) == {"agent.algorithm", "learning_rate"} | OWN[sample["agent.algorithm"]]
    # batch_size 256 is outside, so Optuna is not told of the first point
    zoo = {"agent.algorithm": "sac", "learning_rate": 3e-4, "sac.batch_size": 256, "sac.tau": 0.005}
    assert samples[0] == zoo
    assert (samples[1]["ppo.n_steps"], samples[1]["learning_rate"]) == (64, 1e-4)
    late = samples[30:]
    assert sum(sample["agent.algorithm"] == "sac" for sample in late) >= 18  # 10 by chance
    assert (
        np.mean([s["sac.tau"] for s in late if "sac.tau" in s]) > 0.035
    )  # the range's mean is 0.03


@pytest.mark.parametrize("searcher", ["random", "hyperopt"])
def test_other_searchers_sample_every_entry(searcher: str) -> None:
    for sample in sampled(make(config(searcher, space=ALGORITHMS_SPACE)), 12):
        assert set(sample) - {SEED_DRAW} == set(ALGORITHMS_SPACE)


def test_optuna_is_told_all_objectives() -> None:
    made = config("optuna", objectives=("sharpe_ratio", "max_drawdown"), num_samples=30)
    searcher = make(made)
    for k in range(30):
        sample = searcher.suggest(str(k))
        drawdown = -float(sample["max_grad_norm"])
        measures = {"eval/sharpe_ratio": sample["learning_rate"], "eval/max_drawdown": drawdown}
        ended(searcher, str(k), sample, **measures)
    study = searcher.inner._ot_study
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MAXIMIZE"]
    assert all(len(trial.values) == 2 for trial in study.trials)
    assert study.trials[0].values[1] == -study.trials[0].params["max_grad_norm"]


def test_a_space_of_constants_needs_no_model() -> None:
    made = config("optuna", space={"n_steps": 64, "net_arch": {"choice": ["tiny"]}}, num_samples=2)
    searcher = make(made)
    assert not isinstance(searcher, ModelSearcher)
    assert [searcher.suggest(k) for k in "ab"] == [{"n_steps": 64, "net_arch": "tiny"}] * 2
    assert searcher.suggest("c") == Searcher.FINISHED
