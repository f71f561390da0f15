"""Portfolios from a config: every day of a window, parts of it in turns, and what is exact."""

import numpy as np
import pytest
from env_markets import another_future, hand_market, random_market
from small_models import SMALL_KWARGS

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.ensemble_model.model import mean_action, shared_env_config
from finrl_ray.agents.ensemble_model.shared_account import View, make_shared_env
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.env.orders.discrete import random_actions
from finrl_ray.env.portfolio.market import covariance_so_far
from finrl_ray.errors import ConfigError

FREE = {"buy_cost_pct": 0.0, "sell_cost_pct": 0.0}
PORTFOLIO = EnvConfig(type="portfolio", initial_amount=1_000.0, covariance_lookback=5)
MARKET = random_market(40, 3)


def test_covariances_of_the_returns_so_far_by_hand() -> None:
    # returns of 10 and -50 %, 20 and 100 %; then, after a gap, 0 and 10 %
    close = np.array([[10, 10], [11, 5], [13.2, 10], [20, 20], [20, 22], [30, 33]])
    found = covariance_so_far(close, 2, [(0, 3), (3, 6)])
    # the deviations from means of 15 and 25 % are -5, 5 and -75, 75: twice their product by 1
    wanted = np.array([[0.005, 0.075], [0.075, 1.125]])
    np.testing.assert_allclose(found[2], wanted, rtol=1e-12)
    for row in (0, 1, 3, 4):
        assert not found[row].any()
    # 0 and 50 %, 10 and 50 %
    np.testing.assert_allclose(found[5], [[0.125, 0.1], [0.1, 0.08]], rtol=1e-12)


def test_it_is_held_on_every_day_with_the_options_of_the_config() -> None:
    close = [[10.0, 10.0], [20.0, 10.0], [20.0, 20.0]]
    config = EnvConfig(type="portfolio", initial_amount=1_000.0, action_scale=2.0, **FREE)
    env = make_vec_env(hand_market(close), config, n_envs=2, training=False)
    assert env.reset().shape == (2, (2 + 0 + 1) * 2)
    rewards = []
    # 0 and 0.25 times 2 are weights of 0.25 and 0.75; then equal ones
    for action in ([0.0, 0.25], [0.0, 0.0]):
        _, reward, dones, infos = env.step(np.array([action] * 2, dtype=np.float32))
        rewards.append(float(reward[0]))
    assert dones.all()
    history = infos[1]["account_history"]
    # 250 double and 750 stay: 1250; then half of it doubles
    assert history.account_value.tolist() == [1_000.0, 1_250.0, 1_875.0]
    assert len(history.dates) == 3
    # log returns, of which 1 % pays 1.0
    assert rewards == pytest.approx([100 * np.log(1.25), 100 * np.log(1.5)], rel=1e-6)
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["episode"]["l"] == 2


def test_equal_weights_never_traded_again_are_buy_and_hold() -> None:
    env = make_vec_env(MARKET, PORTFOLIO, training=False)
    seen = env.reset()
    for day in range(39):
        # the weights that it has drifted to, which are seen last
        held = np.full((1, 3), 0.0) if day == 0 else seen[:, -3:]
        seen, _, _, infos = env.step(held.astype(np.float32))
    history = infos[0]["account_history"]
    held = buy_and_hold(MARKET, PORTFOLIO)
    np.testing.assert_allclose(history.account_value, held, rtol=1e-3)
    np.testing.assert_allclose(history.benchmark_value, held, rtol=1e-12)


def test_no_day_sees_another() -> None:
    row = 20
    seen = []
    for market in (MARKET, another_future(MARKET, row)):
        env, rng = make_vec_env(market, PORTFOLIO, training=False), np.random.default_rng(0)
        found = [env.reset()]
        found += [env.step(random_actions(env.action_space, 1, rng))[0] for _ in range(row)]
        seen.append(np.stack(found))
    np.testing.assert_array_equal(seen[0], seen[1])


def test_parts_of_a_market_take_turns() -> None:
    market = MARKET.take([(0, 8), (20, 30), (35, 40)])
    assert market.seams
    env = make_vec_env(market, PORTFOLIO, n_envs=2)
    env.reset()
    begun = [[], []]
    for _ in range(40):
        for index, first in enumerate(env.get_attr("account")):
            if first.day == first.first_day:
                begun[index].append((first.first_day, first.last_day))
        env.step(np.zeros((2, 3), dtype=np.float32))
    parts = [(0, 7), (8, 17), (18, 22)]
    assert begun[0][:4] == [*parts, parts[0]]
    assert begun[1][:3] == [parts[1], parts[2], parts[0]]


def test_random_starts_are_of_the_seed_and_of_training_alone() -> None:
    config = EnvConfig(type="portfolio", random_start=True)
    starts = []
    for _ in range(2):
        env = make_vec_env(MARKET, config, n_envs=4, seed=3)
        env.reset()
        starts.append([account.first_day for account in env.get_attr("account")])
    assert starts[0] == starts[1]
    assert len(set(starts[0])) > 1
    assert max(starts[0]) < 20
    evaluated = make_vec_env(MARKET, config, seed=3, training=False)
    evaluated.reset()
    assert evaluated.get_attr("account")[0].first_day == 0


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_it_resumes_exactly(algorithm) -> None:
    config = EnvConfig(type="portfolio", random_start=True, cash_weight=True)
    market = MARKET.take([(0, 16), (20, 40)])

    def build():
        env = make_vec_env(market, config, n_envs=2, seed=5)
        kwargs = SMALL_KWARGS[algorithm]
        return DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=5)

    straight, kept = build(), []

    def keep(model) -> bool:
        if not kept and model.num_timesteps >= 96:
            kept.append(capture_state(model))
        return True

    learn_from(straight, 256, at_safe_point=keep)
    resumed = build()
    restore_state(resumed, kept[0])
    learn_from(resumed, 256, resumed=True)
    one, other = (m.policy.state_dict() for m in (straight, resumed))
    for name, values in one.items():
        np.testing.assert_array_equal(values.numpy(), other[name].numpy(), err_msg=name)


def test_random_portfolios() -> None:
    curves = random_policy_curves(MARKET, PORTFOLIO, n_accounts=3)
    assert curves.shape == (3, 40)
    assert len(np.unique(curves[:, -1])) == 3


def test_the_mean_of_several_is_of_their_weights() -> None:
    own = [EnvConfig(type="portfolio", action_scale=scale) for scale in (1.0, 2.0)]
    # weights of 1 and 0; twice 0 and 0.25 are 0.25 and 0.75
    mean = mean_action([np.array([1.0, 0.0]), np.array([0.0, 0.25])], own)
    np.testing.assert_allclose(mean, [0.625, 0.375], rtol=1e-12)
    shared = shared_env_config(own[::-1], 2)
    assert (shared.type, shared.action_scale) == ("portfolio", 1.0)


def test_one_portfolio_is_seen_in_several_ways() -> None:
    configs = {"short": PORTFOLIO, "long": EnvConfig(type="portfolio", initial_amount=1_000.0)}
    views = {name: View(market_data=MARKET, env=own, scaling=None) for name, own in configs.items()}
    assert len({view.key() for view in views.values()}) == 2
    env = make_shared_env(PORTFOLIO, views)
    alone = {name: make_vec_env(MARKET, own, training=False) for name, own in configs.items()}
    seen, rng = env.reset(), np.random.default_rng(0)
    wanted = {name: one.reset() for name, one in alone.items()}
    for _ in range(12):
        for name, one in wanted.items():
            np.testing.assert_array_equal(seen[name], one)
        action = random_actions(env.action_space, 1, rng)
        seen = env.step(action)[0]
        wanted = {name: one.step(action)[0] for name, one in alone.items()}
    assert not np.array_equal(seen["short"], seen["long"])


def test_what_is_refused() -> None:
    with pytest.raises(ConfigError, match="make_vec_env makes accounts of it"):
        make_env(MARKET, PORTFOLIO)
    config = EnvConfig(type="portfolio", turbulence_threshold=50.0)
    with pytest.raises(ConfigError, match="needs the series 'turbulence'"):
        make_vec_env(hand_market([[1.0], [2.0], [3.0]]), config)
