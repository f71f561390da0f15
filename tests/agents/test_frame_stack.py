"""Models of stacked observations see the same stacks wherever they act."""

import numpy as np
import pytest
from env_markets import random_market
from small_models import SMALL_KWARGS
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize
from told_models import seen_by, told_member

from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.ensemble_model.model import EnsembleModel, Member
from finrl_ray.agents.frame_stack import (
    N_STACK,
    n_stack_of,
    n_stack_of_model,
    next_stack,
    normalizing,
    stacked,
)
from finrl_ray.agents.models import as_vec_env, load_model, save_model
from finrl_ray.agents.normalization import read_statistics, under_statistics
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.diagnostics.learning.diagnose import diagnose_learning
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.errors import ConfigError

CONFIG = EnvConfig(hmax=5_000, initial_amount=1e6)
MARKET = random_market(60)


def trained(algorithm="ppo", *, normalize=False, n_stack=3):
    env = make_vec_env(MARKET, CONFIG, n_envs=2, seed=1)
    inside = normalizing(env, n_stack) if normalize else env
    model = DRLAgent(stacked(inside, n_stack)).get_model(
        algorithm, model_kwargs=SMALL_KWARGS[algorithm], verbose=0, seed=2
    )
    DRLAgent.train_model(model, "stacks", total_timesteps=128)
    return model


def fresh(n_stack=1):
    return stacked(make_vec_env(MARKET, CONFIG, training=False), n_stack)


def values(model, env) -> list[float]:
    return evaluate_account(model, env)[0].account_value.tolist()


# -- by hand ------------------------------------------------------------------------------------


def test_the_newest_observation_is_the_last() -> None:
    env = fresh(3)
    assert n_stack_of(env) == 3
    single = fresh()
    first, seen = single.reset(), env.reset()
    width = first.shape[1]
    assert not seen[:, : 2 * width].any()
    np.testing.assert_array_equal(seen[:, 2 * width :], first)
    action = np.full((1, 3), 0.5, dtype=np.float32)
    second, seen = single.step(action)[0], env.step(action)[0]
    assert not seen[:, :width].any()
    np.testing.assert_array_equal(seen[:, width:], np.concatenate([first, second], axis=1))


def test_a_stack_is_continued_and_begun_anew() -> None:
    stack = next_stack(None, np.array([[1.0], [2.0]]), 3, np.array([True, True]))
    assert stack.tolist() == [[0, 0, 1], [0, 0, 2]]
    stack = next_stack(stack, np.array([[3.0], [4.0]]), 3, np.array([False, True]))
    assert stack.tolist() == [[0, 1, 3], [0, 0, 4]]
    # one account alone
    assert next_stack(np.array([0, 0, 1.0]), np.array([5.0]), 3, None).tolist() == [0, 1, 5]
    assert next_stack(np.array([1, 2, 3.0]), np.array([5.0]), 3, [True]).tolist() == [0, 0, 5]


# -- wherever a model acts ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_model_acts_the_same_in_any_env(algorithm, normalize, tmp_path) -> None:
    model = trained(algorithm, normalize=normalize)
    assert n_stack_of_model(model) == 3
    wanted = values(model, fresh())
    assert len(set(wanted)) > 2
    assert values(model, fresh(3)) == wanted
    if normalize:
        own = normalizing(make_vec_env(MARKET, CONFIG, training=False), 3, training=False)
        assert values(model, stacked(own, 3)) == wanted
        assert values(model, own) == wanted
    single = make_env(MARKET, CONFIG, training=False)
    assert DRLAgent.DRL_prediction(model, single)[0]["account_value"].tolist() == wanted
    # from its file, without unpickling
    save_model(model, tmp_path / "model.zip")
    loaded = load_model(algorithm, tmp_path / "model.zip")
    assert getattr(loaded, N_STACK) == 3
    statistics = read_statistics(tmp_path / "model.zip")
    assert (statistics is not None) == normalize
    for env in (fresh(), fresh(3)):
        shown = env if statistics is None else under_statistics(env, statistics, evaluating=True)
        assert values(loaded, shown) == wanted
    by_file = DRLAgent.DRL_prediction_load_from_file(algorithm, single, tmp_path / "model.zip")
    assert by_file == wanted
    # to be trained on, in an env of single observations
    again = load_model(algorithm, tmp_path / "model.zip", env=single)
    assert isinstance(again.get_env(), VecFrameStack)
    again.learn(8)


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [False, True])
def test_callbacks_and_diagnosis_stack_by_themselves(normalize, tmp_path) -> None:
    model = trained(normalize=normalize)
    evaluation = TradingEvalCallback(
        make_env(MARKET, CONFIG, training=False),
        eval_freq=64,
        best_model_save_path=str(tmp_path),
        periods_per_year=252,
        verbose=0,
    )
    DRLAgent.train_model(model, "more", total_timesteps=128, callbacks=[evaluation])
    assert len(evaluation.evaluation_timesteps) == 2
    best = load_model("ppo", tmp_path / "best_model.zip")
    assert n_stack_of_model(best) == 3
    found = diagnose_learning(model, make_env(MARKET, CONFIG, training=False), n_episodes=1)
    own = values(model, fresh())
    assert found.measures["model"] == pytest.approx((own[-1] - own[0]) * 1e-4, rel=1e-4)


@pytest.mark.slow
def test_normalisation_around_the_stack_is_kept_there() -> None:
    env = VecNormalize(stacked(make_vec_env(MARKET, CONFIG, n_envs=2, seed=1), 3))
    model = DRLAgent(env).get_model("a2c", verbose=0, seed=2)
    DRLAgent.train_model(model, "around", total_timesteps=100)
    wanted = values(model, fresh())
    held = VecNormalize(fresh(3), training=False)
    held.obs_rms = env.obs_rms
    assert values(model, held) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("normalize", [False, True])
def test_members_of_an_ensemble_stack_for_themselves(normalize, tmp_path) -> None:
    model, plain = trained(normalize=normalize), trained(n_stack=1)
    statistics = None
    if normalize:
        save_model(model, tmp_path / "model.zip")
        statistics = read_statistics(tmp_path / "model.zip")
    alone = EnsembleModel([Member(model=model, env=CONFIG, statistics=statistics)])
    assert values(alone, fresh()) == values(model, fresh())
    both = EnsembleModel(
        [
            Member(model=model, env=CONFIG, statistics=statistics),
            Member(model=plain, env=CONFIG),
        ]
    )
    assert both.observation_space.shape == plain.observation_space.shape
    assert len(values(both, fresh())) == 60


def test_a_told_member_sees_single_observations() -> None:
    member = told_member([[0.0, 0.0]] * 3, size=3)
    EnsembleModel([member]).predict(np.ones(3, dtype=np.float32))
    assert seen_by(member)[0].tolist() == [1.0, 1.0, 1.0]


# -- refused --------------------------------------------------------------------------------------


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="n_stack must be >= 1 observation, got 0"):
        AgentConfig(n_stack=0)
    with pytest.raises(ConfigError, match=r"n_stack must be 1 with policy PerTickerPolicy.*got 4"):
        AgentConfig(n_stack=4, policy="PerTickerPolicy")
    model = DRLAgent(fresh(2)).get_model("a2c", verbose=0)
    other = as_vec_env(make_env(random_market(60, n_assets=2), CONFIG, training=False))
    with pytest.raises(ConfigError, match="other tickers, features or options"):
        evaluate_account(model, other)
