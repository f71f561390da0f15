"""The VecEnv contract, and equality with single envs in a DummyVecEnv."""

import dataclasses
import pickle

import gymnasium as gym
import numpy as np
import pytest
from env_markets import finrl_frame, random_market
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

N_ENVS = 4
MARKET = random_market(16, 3, 2, seed=11, halts=0.1)
OPTIONS = {
    "mended": {},
    "random_start": {"random_start": True},
    "parity": {"parity": True},
    "next_open": {"fill": "next_open"},
    "fractional": {"fractional_shares": True, "hmax": 7},
    "turbulence": {"turbulence_threshold": 70.0, "num_stock_shares": [5, 0, 9]},
    "scaled": {"observation_scaling": fit_observation_scaling(MARKET, 1e6)},
    "stationary": {
        "observation": "stationary",
        "return_horizons": (1, 3),
        "lookback": 4,
        "random_start": True,
        "num_stock_shares": [5, 0, 9],
        "observation_scaling": fit_observation_scaling(
            MARKET, 1e6, TradingOptions(observation="stationary", return_horizons=(1, 3))
        ),
    },
    "stationary_weights": {
        "action": "target_weights",
        "observation": "stationary",
        "lookback": 2,
        "fill": "next_open",
        "cooldown": 1,
        "fractional_shares": True,
    },
    "stationary_unscaled": {"observation": "stationary", "fill": "next_open", "cooldown": 1},
    "poor": {"initial_amount": 900.0, "random_start": True},
    "no_trades": {"record_trades": False, "day": 3},
    "target_weights": {"action": "target_weights", "initial_amount": 5_000.0},
    "fractional_weights": {
        "action": "target_weights",
        "fractional_shares": True,
        "fill": "next_open",
        "max_weight": 0.4,
        "no_trade_band": 0.0,
    },
    "part_of_the_way": {
        "action": "target_weights",
        "trade_rate": 0.3,
        "no_trade_band": 0.01,
        "initial_amount": 5_000.0,
    },
    "short": {"short": True, "num_stock_shares": [5, 0, 9], "stop_loss": 0.97},
    "short_weights": {
        "short": True,
        "action": "target_weights",
        "observation": "stationary",
        "reward": "active",
        "fill": "next_open",
        "maintenance_margin": 0.9,
    },
    "active": {"reward": "active", "random_start": True, "num_stock_shares": [5, 0, 9]},
    "log_return": {"reward": "log_return", "cash_penalty_proportion": 0.5},
    "differential_sharpe": {"reward": "differential_sharpe", "differential_sharpe_rate": 0.2},
    "limits": {
        "stop_loss": 0.99,
        "profit_loss_ratio": 2.0,
        "lot_size": [5, 10, 20],
        "cooldown": 2,
        "cash_penalty_proportion": 0.9,
        "turbulence_threshold": 90.0,
        "random_start": True,
    },
}


def dummy_env(options, n_envs=N_ENVS, market=MARKET):
    return DummyVecEnv([lambda: StockTradingEnv(market, **options) for _ in range(n_envs)])


def vec_env(options, n_envs=N_ENVS, market=MARKET):
    return StockTradingVecEnv(market, n_envs, **options)


def assert_same_info(ours, theirs):
    assert set(ours) - {"episode"} == set(theirs)
    assert ours["TimeLimit.truncated"] == theirs["TimeLimit.truncated"]
    if "terminal_observation" in theirs:
        assert np.array_equal(ours["terminal_observation"], theirs["terminal_observation"])
        pairs = zip(
            dataclasses.astuple(ours["account_history"]),
            dataclasses.astuple(theirs["account_history"]),
            strict=True,
        )
        assert all(np.array_equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_single_envs_bit_for_bit(name, dtype):
    ours, theirs = vec_env(OPTIONS[name]), dummy_env(OPTIONS[name])
    assert ours.seed(7) == theirs.seed(7)
    assert np.array_equal(ours.reset(), theirs.reset())
    rng = np.random.default_rng(0)
    episodes = 0
    for _ in range(60):
        actions = rng.uniform(-1, 1, (N_ENVS, 3)).astype(dtype)
        first, second = ours.step(actions), theirs.step(actions)
        for mine, other in zip(first[:3], second[:3], strict=True):
            assert mine.dtype == other.dtype
            assert np.array_equal(mine, other)
        for mine, other in zip(first[3], second[3], strict=True):
            assert_same_info(mine, other)
        episodes += int(first[2].sum())
    assert episodes >= 8
    for attribute in ("state", "asset_memory", "date_memory", "trades", "cost", "episode", "day"):
        assert ours.get_attr(attribute) == theirs.get_attr(attribute)


@pytest.mark.parametrize("build", [vec_env, dummy_env], ids=["StockTradingVecEnv", "DummyVecEnv"])
class TestContract:
    """What holds for the vec env and for single envs in a DummyVecEnv alike."""

    def test_shapes_and_types(self, build):
        env = build({})
        assert (env.num_envs, env.observation_space.shape, env.action_space.shape) == (
            N_ENVS,
            (13,),
            (3,),
        )
        observations = env.reset()
        assert (observations.shape, observations.dtype) == ((N_ENVS, 13), np.float32)
        observations, rewards, dones, infos = env.step(np.zeros((N_ENVS, 3), dtype=np.float32))
        assert (observations.shape, observations.dtype) == ((N_ENVS, 13), np.float32)
        assert (rewards.shape, rewards.dtype) == ((N_ENVS,), np.float32)
        assert (dones.shape, dones.dtype) == ((N_ENVS,), np.bool_)
        assert infos == [{"TimeLimit.truncated": False}] * N_ENVS
        assert env.unwrapped is env
        assert env.render_mode is None
        env.close()

    def test_end_of_an_episode(self, build):
        env = build({})
        first = env.reset()
        for step in range(15):
            observations, _, dones, infos = env.step(np.ones((N_ENVS, 3), dtype=np.float32))
            assert dones.all() == (step == 14)
        assert np.array_equal(observations, first)
        info = infos[2]
        assert info["TimeLimit.truncated"] is True
        assert info["terminal_observation"][1] == np.float32(MARKET.close[-1, 0])
        assert len(info["account_history"].account_value) == 16
        assert env.get_attr("asset_memory") == [[1_000_000.0]] * N_ENVS

    def test_nothing_returned_changes_later(self, build):
        env = build({})
        kept = [env.reset()]
        copies = [kept[0].copy()]
        for _ in range(20):
            result = env.step(np.ones((N_ENVS, 3), dtype=np.float32))
            kept.extend(result[:3])
            copies.extend(array.copy() for array in result[:3])
        assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))

    def test_seeds_are_used_once(self, build):
        env = build({"random_start": True})
        env.seed(5)
        env.reset()
        first = env.get_attr("day")
        env.reset()
        second = env.get_attr("day")
        env.seed(5)
        env.reset()
        assert env.get_attr("day") == first
        env.reset()
        assert env.get_attr("day") == second

    def test_options_are_used_once(self, build):
        env = build({})
        env.set_options([{"start_row": row} for row in range(N_ENVS)])
        env.reset()
        assert env.get_attr("day") == list(range(N_ENVS))
        env.reset()
        assert env.get_attr("day") == [0] * N_ENVS
        assert env.reset_infos == [{}] * N_ENVS

    def test_attributes_by_index(self, build):
        env = build({})
        env.set_attr("turbulence_threshold", 12.0, indices=[1, 3])
        assert env.get_attr("turbulence_threshold") == [None, 12.0, None, 12.0]
        assert env.get_attr("turbulence_threshold", indices=1) == [12.0]
        env.set_attr("random_start", True)
        assert env.get_attr("random_start") == [True] * N_ENVS
        env.set_attr("note", "mine", indices=2)
        assert env.get_attr("note", indices=2) == ["mine"]
        with pytest.raises(AttributeError):
            env.get_attr("nothing")
        assert not env.has_attr("nothing")
        assert env.has_attr("asset_memory")

    def test_methods_by_index(self, build):
        env = build({})
        env.reset()
        env.step(np.ones((N_ENVS, 3), dtype=np.float32))
        frames = env.env_method("save_asset_memory", indices=[0, 1])
        assert [len(frame) for frame in frames] == [2, 2]
        observation, info = env.env_method("reset", indices=1, options={"start_row": 4})[0]
        assert (observation.shape, info) == ((13,), {})
        assert env.get_attr("day") == [1, 4, 1, 1]
        assert len(env.env_method("render")[0]) == 13

    def test_single_accounts_through_envs(self, build):
        env = build({})
        env.reset()
        assert env.envs[0].unwrapped.asset_memory == [1_000_000.0]

    def test_state_round_trip_through_env_method(self, build):
        env, again = build({"random_start": True}), build({"random_start": True})
        env.seed(1)
        env.reset()
        rng = np.random.default_rng(2)
        for _ in range(5):
            env.step(rng.uniform(-1, 1, (N_ENVS, 3)))
        again.reset()
        for index, state in enumerate(env.env_method("get_state")):
            again.env_method("set_state", pickle.loads(pickle.dumps(state)), indices=index)
        for _ in range(40):
            actions = rng.uniform(-1, 1, (N_ENVS, 3))
            first, second = env.step(actions), again.step(actions)
            assert all(np.array_equal(first[k], second[k]) for k in range(3))
        assert env.get_attr("asset_memory") == again.get_attr("asset_memory")

    def test_vec_normalize_keeps_the_history(self, build):
        env = VecNormalize(build({}))
        env.reset()
        for _ in range(15):
            infos = env.step(np.zeros((N_ENVS, 3), dtype=np.float32))[3]
        assert infos[0]["account_history"].account_value.tolist() == [1_000_000.0] * 16


@pytest.mark.parametrize("name", ["random_start", "limits"])
def test_episode_entries_equal_monitors(name):
    ours = vec_env(OPTIONS[name])
    theirs = DummyVecEnv(
        [lambda: Monitor(StockTradingEnv(MARKET, **OPTIONS[name])) for _ in range(N_ENVS)]
    )
    for env in (ours, theirs):
        env.seed(3)
        env.reset()
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(40):
        actions = rng.uniform(-1, 1, (N_ENVS, 3)).astype(np.float32)
        for mine, other in zip(ours.step(actions)[3], theirs.step(actions)[3], strict=True):
            assert ("episode" in mine) == ("episode" in other)
            if "episode" in mine:
                seen += 1
                assert mine["episode"]["r"] == other["episode"]["r"]
                assert mine["episode"]["l"] == other["episode"]["l"]
                assert mine["episode"]["t"] >= 0
    assert seen


def test_parity_episode_entry_counts_the_dummy_step():
    env = vec_env({"parity": True}, n_envs=1)
    env.reset()
    rewards = []
    for _ in range(16):
        _, reward, done, infos = env.step(np.ones((1, 3), dtype=np.float32))
        rewards.append(float(reward[0]))
    assert done[0]
    assert infos[0]["TimeLimit.truncated"] is False
    assert infos[0]["episode"]["l"] == 16
    assert infos[0]["episode"]["r"] == pytest.approx(sum(rewards), abs=1e-4)


def test_wrappers_are_reported():
    env = vec_env({})
    assert env.env_is_wrapped(Monitor) == [True] * N_ENVS
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, indices=[0, 1]) == [False, False]
    assert env.get_images() == [None] * N_ENVS
    with pytest.warns(UserWarning, match="already wrapped"):
        assert VecMonitor(env).reset().shape == (N_ENVS, 13)


def test_options_per_account():
    env = StockTradingVecEnv(
        random_market(10, 3),
        2,
        initial_amount=[1_000.0, 5_000.0],
        hmax=[[1], [2]],
        buy_cost_pct=[0.0, 0.1],
        turbulence_threshold=[None, 500.0],
        day=[0, 4],
    )
    env.reset()
    assert env.get_attr("initial_amount") == [1_000.0, 5_000.0]
    assert env.get_attr("turbulence_threshold") == [None, 500.0]
    assert env.get_attr("day") == [0, 4]
    env.step(np.ones((2, 3), dtype=np.float32))
    assert [actions[0].tolist() for actions in env.get_attr("actions_memory")] == [[1] * 3, [2] * 3]
    assert env.get_attr("cost")[0] == 0.0
    assert env.get_attr("cost")[1] > 0.0
    env.step(np.ones((2, 3), dtype=np.float32))


def test_a_flat_list_as_long_as_the_tickers_is_per_ticker():
    env = StockTradingVecEnv(random_market(10, 3), 3, hmax=[1, 2, 3])
    env.reset()
    env.step(np.ones((3, 3), dtype=np.float32))
    assert [actions[0].tolist() for actions in env.get_attr("actions_memory")] == [[1, 2, 3]] * 3


def test_a_frame_serves_too():
    market = random_market(10, 3)
    env = StockTradingVecEnv(
        finrl_frame(market), 2, tech_indicator_list=list(market.feature_names), parity=True
    )
    assert np.array_equal(env.reset(), vec_env({"parity": True}, 2, market).reset())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial_amount": [1.0, 2.0, 3.0]}, "one number or one for each of the 2 accounts"),
        ({"turbulence_threshold": [1.0]}, "one of them for each of the 2 accounts, got 1"),
        ({"turbulence_threshold": [1.0, "x"]}, "must be a number, None, or a list of them"),
        ({"hmax": [1, 2, 3, 4]}, r"list of 3 \(one per ticker\) or of 2 \(one per account\)"),
        ({"initial": False, "previous_state": [[1.0], [2.0], [3.0]]}, "one per account"),
    ],
)
def test_wrong_numbers_of_accounts(options, message):
    with pytest.raises(ConfigError, match=message):
        StockTradingVecEnv(random_market(10, 3), 2, **options)


@pytest.mark.parametrize("n_envs", [0, -1, 1.5, "2", None])
def test_there_is_at_least_one_account(n_envs):
    message = f"n_envs must be >= 1 and a whole number, got {n_envs!r}"
    with pytest.raises(ConfigError, match=message):
        StockTradingVecEnv(random_market(10, 3), n_envs)


def test_accounts_are_not_stepped_alone():
    env = vec_env({})
    with pytest.raises(TypeError, match="stepped together"):
        env.env_method("step", np.zeros(3), indices=0)


def test_accounts_share_the_market_arrays():
    envs = [vec_env({}), vec_env({"parity": True}), StockTradingEnv(MARKET)]
    tables = [env.accounts.table.market.table for env in envs]
    assert tables[0] is tables[1] is tables[2]
    assert np.shares_memory(envs[0].accounts.table.market.close, MARKET.close)


def test_state_of_the_vec_env_round_trips_with_pending_seeds():
    env, again = vec_env({"random_start": True}), vec_env({"random_start": True})
    env.seed(1)
    env.reset()
    env.step(np.ones((N_ENVS, 3), dtype=np.float32))
    env.seed(9)
    env.set_options({"start_row": 2})
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    for _ in range(3):
        assert np.array_equal(env.reset(), again.reset())
    with pytest.raises(ConfigError, match="holds 4 accounts, this env has 2"):
        vec_env({}, 2).set_state(env.get_state())


def test_state_of_another_market_is_refused():
    state = vec_env({}).get_state()
    with pytest.raises(ConfigError, match="belongs to another market"):
        vec_env({}, market=random_market(16, 3, 2, seed=12)).set_state(state)
    with pytest.raises(ConfigError, match="record_trades=False"):
        vec_env({}).set_state(vec_env({"record_trades": False}).get_state())


def test_state_keeps_changed_settings():
    env, again = vec_env({}), vec_env({})
    env.set_attr("hmax", 3, indices=1)
    env.set_attr("initial_amount", 50.0, indices=2)
    again.set_state(env.get_state())
    assert again.get_attr("hmax") == [100, 3, 100, 100]
    assert again.get_attr("initial_amount") == env.get_attr("initial_amount")


@pytest.mark.parametrize("name", ["random_start", "parity", "scaled"])
def test_pickled_env_continues_alike(name):
    env = vec_env(OPTIONS[name])
    env.seed(4)
    env.reset()
    env.step(np.ones((N_ENVS, 3), dtype=np.float32))
    again = pickle.loads(pickle.dumps(env))
    for _ in range(20):
        actions = np.random.default_rng(0).uniform(-1, 1, (N_ENVS, 3))
        first, second = env.step(actions), again.step(actions)
        assert all(np.array_equal(first[k], second[k]) for k in range(3))
