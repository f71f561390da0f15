"""DRLlibv2's arguments as a search: what each becomes, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from compat_envs import TINY, env_over
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.compat.rllib_style import DRLlibv2
from finrl_ray.compat.unpacked_env import unpack_env
from finrl_ray.config.env import EnvConfig
from finrl_ray.errors import ConfigError, SearchError

TRAIN = ("2004-12-01", "2005-12-01")


@pytest.fixture(scope="module")
def train_env() -> Any:
    return env_over(*TRAIN, hmax=50)


def test_the_docstring_of_finrl_becomes_a_search(train_env: Any) -> None:
    agent = DRLlibv2(
        trainable="PPO",
        train_env=train_env,
        train_env_name="StockTrading_train",
        framework="torch",
        num_workers=1,
        log_level="DEBUG",
        run_name="test",
        local_dir="test_dir",
        params={
            "entropy_coeff": tune.loguniform(1e-8, 0.1),
            "lr": tune.loguniform(5e-5, 0.001),
            "sgd_minibatch_size": tune.choice([32, 64, 128, 256, 512]),
            "lambda": tune.choice([0.1, 0.3, 0.5, 0.7, 0.9, 1.0]),
            "gamma": 0.99,
            "framework": "torch",
        },
        num_samples=1,
        num_gpus=1,
        training_iterations=10,
        search_alg=OptunaSearch(metric="episode_reward_mean", mode="max"),
        checkpoint_freq=5,
        checkpoint_num_to_keep=4,
        max_failures=2,
        concurrent_trials=3,
        scheduler=ASHAScheduler(max_t=8, grace_period=2, reduction_factor=3),
    )
    config = agent.to_config()
    assert (config.name, config.agent.algorithm, config.env) == ("test", "ppo", EnvConfig(hmax=50))
    search = config.search
    assert search.space == {
        "ent_coef": {"loguniform": [1e-8, 0.1]},
        "learning_rate": {"loguniform": [5e-5, 0.001]},
        "batch_size": {"choice": [32, 64, 128, 256, 512]},
        "gae_lambda": {"choice": [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]},
        "gamma": 0.99,
    }
    assert (search.searcher, search.storage_path, search.keep_checkpoints) == (
        "optuna",
        "test_dir",
        4,
    )
    assert (search.max_concurrent_trials, search.max_failures) == (3, 2)
    # Ray's ASHA ends trials at max_t
    assert (config.agent.total_timesteps, config.evaluation.eval_freq) == (8_000, 1_000)
    scheduler = search.scheduler
    assert (scheduler.type, scheduler.grace_period, scheduler.reduction_factor) == ("asha", 2000, 3)
    assert config.evaluation.metric == config.search.rank_by == "total_return"


@pytest.mark.parametrize(
    ("domain", "entry"),
    [
        (tune.uniform(0.1, 0.3), {"uniform": [0.1, 0.3]}),
        (tune.randint(1, 5), {"randint": [1, 5]}),
        (tune.quniform(0.1, 0.3, 0.1), {"quniform": [0.1, 0.3, 0.1]}),
        (tune.grid_search([0.1, 0.2]), {"grid": [0.1, 0.2]}),
        ({"choice": [0.1]}, {"choice": [0.1]}),
    ],
)
def test_domains(train_env: Any, domain: Any, entry: Any) -> None:
    name = "n_epochs" if "randint" in entry else "clip_param"
    config = DRLlibv2("ppo", "x", {name: domain}, train_env).to_config()
    assert next(iter(config.search.space.values())) == entry


def test_names_and_objects_of_schedulers_and_searchers(train_env: Any) -> None:
    params = {"lr": tune.choice([1e-3, 1e-4])}
    for given, kind in ((None, "fifo"), ("ASHA", "asha"), (FIFOScheduler(), "fifo")):
        search = DRLlibv2("a2c", "x", params, train_env, scheduler=given).to_config().search
        assert search.scheduler.type == kind
    limited = ConcurrencyLimiter(OptunaSearch(), max_concurrent=5)
    for given, kind, at_once in (
        (None, "random", 2),
        ("optuna", "optuna", 2),
        (limited, "optuna", 5),
    ):
        search = DRLlibv2("a2c", "x", params, train_env, search_alg=given).to_config().search
        assert (search.searcher, search.max_concurrent_trials) == (kind, at_once)


def test_batches_workers_and_iterations(train_env: Any) -> None:
    config = DRLlibv2(
        "PPO", "x", {"train_batch_size": 500}, train_env, training_iterations=4
    ).to_config()
    assert config.search.space == {"n_steps": 500}
    assert (config.agent.total_timesteps, config.evaluation.eval_freq) == (2000, 500)
    config = DRLlibv2("SAC", "x", {"train_batch_size": 256}, train_env).to_config()
    assert config.search.space == {"batch_size": 256}
    config = DRLlibv2("PPO", "x", {"n_steps": 64}, train_env, num_workers=4).to_config()
    assert config.agent.n_envs == 4
    with pytest.raises(ConfigError, match="steps of all 4 workers; give n_steps"):
        DRLlibv2("PPO", "x", {"train_batch_size": 500}, train_env, num_workers=4)


def test_the_three_forms_of_an_env(train_env: Any) -> None:
    data = unpack_env(train_env, "x").market_data
    params = {"gamma": 0.9}
    for given in (train_env, lambda: train_env, lambda config: train_env):
        assert DRLlibv2("ppo", "x", params, given).to_config().env.hmax == 50
    config = DRLlibv2("ppo", "x", params, data, env=EnvConfig(hmax=9)).to_config()
    assert config.env.hmax == 9


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trainable": "IMPALA"}, r"one of \['a2c', .*'trpo'\], got 'IMPALA'"),
        ({"trainable": object()}, "trainables of your own are not run here"),
        ({"train_env": None}, "train_env must be finrl_ray's StockTradingEnv"),
        ({"mode": "min"}, "mode must be 'max'"),
        ({"framework": "tf"}, "framework must be 'torch'"),
        ({"scheduler": PopulationBasedTraining(hyperparam_mutations={"lr": [1.0]})}, "PopulationB"),
        ({"scheduler": "ahsa"}, "Did you mean 'asha'"),
        ({"scheduler": ASHAScheduler(brackets=2)}, "brackets must be 1, got 2"),
        ({"scheduler": ASHAScheduler(time_attr="time_total_s")}, "time_attr must be one of"),
        ({"search_alg": object()}, "search_alg must be 'random'"),
        ({"metric": "episode_len_mean"}, "evaluation: metric must be"),
        ({"num_samples": 0}, "num_samples must be >= 1"),
        ({"params": {"lr": 1e-3, "learning_rate": 1e-3}}, "learning_rate, which is given twice"),
        ({"params": {"lr": tune.sample_from(lambda spec: 1.0)}}, "lr is sampled by"),
        ({"params": {"lr": tune.lograndint(1, 9)}}, "lr is sampled by _LogUniform"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    train_env: Any, changed: dict[str, Any], words: str
) -> None:
    arguments = {"trainable": "ppo", "train_env": train_env, "params": {"lr": 1e-3}, **changed}
    with pytest.raises(ConfigError, match=words):
        DRLlibv2(**arguments)


def test_nothing_can_be_read_before_training(train_env: Any) -> None:
    agent = DRLlibv2("ppo", "x", {"lr": 1e-3}, train_env)
    for read in (agent.infer_results, agent.get_test_agent, agent.restore_agent):
        with pytest.raises(SearchError, match=r"call train_tune_model\(\) first"):
            read()
    with pytest.raises(ConfigError, match="a failed trial is a result"):
        agent.restore_agent(resume_errored=True)


@pytest.mark.slow
def test_train_infer_restore_and_test(train_env: Any, tmp_path: Path, ray_session: None) -> None:
    agent = DRLlibv2(
        "PPO",
        "x",
        TINY,
        train_env,
        local_dir=tmp_path,
        num_samples=2,
        concurrent_trials=1,
        training_iterations=2,
        timesteps_per_iteration=256,
        metric="sharpe_ratio",
        dataframe_save=tmp_path / "tune.csv",
    )
    result = agent.train_tune_model()
    assert result.finished
    table, best = agent.infer_results()
    assert best["rank"] == 1
    assert len(table) == 2
    assert (tmp_path / "tune.csv").read_text(encoding="utf-8").count("\n") == 3
    assert agent.restore_agent().finished
    test_env = env_over("2005-12-01", "2006-02-01")
    model = agent.get_test_agent("test", test_env)
    account, _ = DRLAgent.DRL_prediction(model, test_env)
    checkpoint = next(iter((result.path / "ray").rglob("model.zip"))).parent
    assert agent.get_test_agent(checkpoint=checkpoint).policy is not None
    assert len(account) == test_env.df["date"].nunique()
