"""The compact replay buffer gives what SB3's own gives, bit for bit, in less memory."""

import copy
import logging
import pickle
from typing import Any

import numpy as np
import pytest
import torch as th
from bit_equality import assert_equal_bits
from covering import pairwise
from small_models import OFF_POLICY, SMALL_KWARGS, small_env
from stable_baselines3 import TD3
from stable_baselines3.common.buffers import NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecFrameStack,
    VecNormalize,
)

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.replay.buffer import MarketReplayBuffer
from finrl_ray.agents.replay.choose import follow_market
from finrl_ray.agents.replay.market_rows import RowPool
from finrl_ray.agents.state.model import capture_replay, restore_replay
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

WITHOUT_TIMEOUTS = {
    "optimize_memory_usage": True,
    "replay_buffer_kwargs": {"handle_timeout_termination": False},
}

STATIONARY = {"observation": "stationary", "lookback": 3}


def trading_env(market: MarketData, n_envs: int = 1, **options: Any) -> StockTradingVecEnv:
    random_start = options.pop("random_start", False)
    if options.pop("scaled", False):
        kind = TradingOptions(observation=options.get("observation", "finrl"))
        options["observation_scaling"] = fit_observation_scaling(market, 1e5, kind)
    env = StockTradingVecEnv(market, n_envs, hmax=20, initial_amount=1e5, **options)
    env.set_attr("random_start", random_start)
    return env


def build(env: VecEnv, *, own: bool, algorithm: str = "td3", **changes: Any) -> Any:
    """A model with SB3's buffer, which is named, or with ours, which needs no word."""
    kwargs = {**SMALL_KWARGS[algorithm], **changes}
    if not own:
        kwargs["replay_buffer_class"] = ReplayBuffer
    model: Any = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=3)
    assert type(model.replay_buffer) is (MarketReplayBuffer if own else ReplayBuffer)
    return model


def warm_up(env: VecEnv, steps: int, *, own: bool, **changes: Any) -> Any:
    """A model whose buffer random actions have filled."""
    return build(env, own=own, learning_starts=10**9, **changes).learn(steps)


def assert_same_contents(ours: MarketReplayBuffer, theirs: ReplayBuffer) -> None:
    rows = theirs.size()
    assert (ours.pos, ours.full, ours.size()) == (theirs.pos, theirs.full, rows)
    for name in ("actions", "rewards", "dones", "timeouts"):
        assert_equal_bits(getattr(theirs, name)[:rows], getattr(ours, name)[:rows])
    if not ours.optimize_memory_usage:
        seen, after = ours.transitions()
        assert seen.tobytes() == theirs.observations[:rows].tobytes()
        assert after.tobytes() == theirs.next_observations[:rows].tobytes()


def assert_same_samples(ours: Any, theirs: Any, normalizer: VecNormalize | None = None) -> None:
    for size in (1, 64, 500):
        drawn = []
        for buffer in (ours, theirs):
            np.random.seed(size)  # noqa: NPY002  # SB3's buffers draw from the global generator
            samples = buffer.sample(size, env=normalizer)
            drawn.append([*samples, np.random.random()])  # noqa: NPY002
        for one, other in zip(*drawn, strict=True):
            if isinstance(one, th.Tensor):
                assert (one.dtype, one.shape) == (other.dtype, other.shape)
                assert one.numpy().tobytes() == other.numpy().tobytes()
            else:
                assert one == other


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("buffer_size", [1, 7, 130, 10_000])
@pytest.mark.parametrize("changes", [{}, WITHOUT_TIMEOUTS], ids=["usual", "optimize"])
def test_contents_and_samples_are_those_of_sb3(market, n_envs, buffer_size, changes) -> None:
    if changes and buffer_size // n_envs < 2:
        pytest.skip("SB3 has nothing to sample from then")
    models = [
        warm_up(
            trading_env(market, n_envs, random_start=True),
            400 * n_envs,
            own=own,
            buffer_size=buffer_size,
            **changes,
        )
        for own in (True, False)
    ]
    ours, theirs = (model.replay_buffer for model in models)
    assert_same_contents(ours, theirs)
    assert_same_samples(ours, theirs)


KINDS: list[dict[str, Any]] = [
    {"scaled": True},
    {"random_start": True, "scaled": True, "n_envs": 3},
    {"parity": True},
    {"parity": True, "day": 50},
    {"time_limit": "dummy_step", "n_envs": 2},
    {"stop_loss": 0.05, "cooldown": 2, "cash_penalty_proportion": 0.1, "lot_size": 2},
    {"fractional_shares": True, "n_envs": 2},
    {"action": "target_weights", "fractional_shares": True, "n_envs": 2},
    {"observation": "stationary"},
    {"observation": "stationary", "lookback": 3, "scaled": True, "n_envs": 2},
    {"reward": "active", "random_start": True, "n_envs": 2},
    {"reward": "differential_sharpe"},
    {"action": "target_weights", "short": True, "volume_slippage": 0.01, "n_envs": 2},
]


@pytest.mark.parametrize(
    ("options", "normalize"),
    [
        # each kind once, and every second one behind VecNormalize; the others are long
        pytest.param(options, normalize, id=f"{options}-{normalize}",
                     marks=[pytest.mark.long] * (normalize == (place % 2 == 0)))
        for place, options in enumerate(KINDS)
        for normalize in (False, True)
    ],
)  # fmt: skip
def test_every_kind_of_env(market, options, normalize) -> None:
    models = []
    for own in (True, False):
        env: VecEnv = trading_env(market, **options)
        if normalize:
            env = VecNormalize(env)
        models.append(warm_up(env, 300, own=own, buffer_size=200))
    ours, theirs = (model.replay_buffer for model in models)
    assert_same_contents(ours, theirs)
    assert_same_samples(ours, theirs, models[0].get_vec_normalize_env())
    # what VecNormalize scales there and back is kept whole, and nothing else is
    ends = int(ours.dones.sum())
    assert ends > 0
    assert ours.get_state()["whole"].shape[0] <= (ends if normalize else 0)


def test_single_envs_in_a_dummy_vec_env(market) -> None:
    def env() -> DummyVecEnv:
        return DummyVecEnv([lambda: Monitor(StockTradingEnv(market, hmax=20))] * 2)

    ours, theirs = (warm_up(env(), 300, own=own).replay_buffer for own in (True, False))
    assert_same_contents(ours, theirs)
    assert len(ours.get_state()["whole"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "normalize", "n_envs", "options"),
    pairwise(["sac", "td3", "ddpg"], [False, True], [1, 3], [{}, STATIONARY]),
)
def test_training_is_that_with_sb3s_buffer(market, algorithm, normalize, n_envs, options) -> None:
    parameters = []
    for own in (True, False):
        env: VecEnv = trading_env(market, n_envs, random_start=True, **options)
        if normalize:
            env = VecNormalize(env)
        # small, so that it wraps around
        model = build(env, own=own, algorithm=algorithm, buffer_size=60 * n_envs)
        parameters.append(model.learn(150 * n_envs).get_parameters())
    assert model.replay_buffer.full
    assert_equal_bits(*parameters)


@pytest.mark.slow
@pytest.mark.parametrize("buffer_size", [100, 10_000])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("options", [{}, STATIONARY], ids=["finrl", "stationary"])
def test_a_restored_run_goes_on_bit_for_bit(market, normalize, buffer_size, options) -> None:
    def fresh() -> Any:
        env: VecEnv = trading_env(market, 2, random_start=True, **options)
        return build(VecNormalize(env) if normalize else env, own=True, buffer_size=buffer_size)

    states: list[Any] = []
    straight = fresh()
    learn_from(
        straight,
        400,
        at_safe_point=lambda m: m.num_timesteps != 240 or states.append(capture_state(m)) is None,
    )
    resumed = fresh()
    restore_state(resumed, states[0])
    learn_from(resumed, 400, resumed=True)
    assert_equal_bits(capture_state(straight), capture_state(resumed))


def test_states_of_equal_buffers_are_equal(market) -> None:
    env = VecNormalize(trading_env(market, 2, random_start=True))
    model = warm_up(env, 500, own=True, buffer_size=150)
    state = capture_replay(model)
    assert len(state["own"]["whole"]) > 1
    other = build(VecNormalize(trading_env(market, 2)), own=True, buffer_size=150)
    other.learn(70)
    restore_replay(other, state)
    assert_equal_bits(state, capture_replay(other))
    assert_same_samples(other.replay_buffer, model.replay_buffer)


def test_a_state_holds_the_filled_rows_alone(market) -> None:
    state = warm_up(trading_env(market), 40, own=True, buffer_size=10**6).replay_buffer.get_state()
    assert state["ring"].shape == (40, 1, 6)
    assert state["rewards"].shape == (40, 1)
    assert len(state["extra"]) == len(state["whole"]) == 0
    assert sum(v.nbytes for v in state.values() if isinstance(v, np.ndarray)) < 40 * 60


def test_a_state_holds_accounts_alone_however_far_an_agent_looks_back(market) -> None:
    env = trading_env(market, observation="stationary", lookback=20, scaled=True)
    assert env.observation_space.shape == (1 + 3 + 20 * (4 + 2) * 3,)
    state = warm_up(env, 40, own=True, buffer_size=10**6).replay_buffer.get_state()
    assert state["ring"].shape == (40, 1, 6)
    assert sum(v.nbytes for v in state.values() if isinstance(v, np.ndarray)) < 40 * 60


def test_a_state_of_another_market_is_refused(market) -> None:
    model = warm_up(trading_env(market), 40, own=True)
    other = build(trading_env(market.rows(5, 60)), own=True)
    with pytest.raises(
        ConfigError, match=r"another market \(3 tickers, 60 .* trades 3 tickers, 55"
    ):
        restore_replay(other, capture_replay(model))
    scaled = build(trading_env(market, scaled=True), own=True)
    with pytest.raises(ConfigError, match="same window, indicators and observation scaling"):
        restore_replay(scaled, capture_replay(model))
    # of one size, but observed otherwise
    shorter, longer = (
        build(trading_env(market, observation="stationary", return_horizons=(k,)), own=True)
        for k in (1, 5)
    )
    with pytest.raises(ConfigError, match="same window, indicators and observation"):
        restore_replay(longer, capture_replay(shorter.learn(40)))


def test_a_state_that_does_not_fit_is_refused(market) -> None:
    state = capture_replay(warm_up(trading_env(market, 2), 100, own=True, buffer_size=60))
    with pytest.raises(ConfigError, match="buffer of 30 rows, the model's has 40"):
        restore_replay(build(trading_env(market, 2), own=True, buffer_size=80), state)
    with pytest.raises(ConfigError, match="build the model with the captured n_envs"):
        restore_replay(build(trading_env(market), own=True, buffer_size=30), state)
    theirs = build(trading_env(market), own=False)
    with pytest.raises(ConfigError, match="another kind of replay buffer than the model's Replay"):
        restore_replay(theirs, state)
    with pytest.raises(ConfigError, match="another kind of replay buffer than the model's Market"):
        restore_replay(build(trading_env(market), own=True), capture_replay(theirs))


class TestPickles:
    def test_sb3_saves_and_loads_it(self, market, tmp_path) -> None:
        model = warm_up(trading_env(market, 2), 300, own=True, buffer_size=10_000)
        model.save_replay_buffer(tmp_path / "buffer.pkl")
        model.save(tmp_path / "model.zip")
        loaded = TD3.load(tmp_path / "model.zip", env=trading_env(market, 2))
        assert type(loaded.replay_buffer) is ReplayBuffer
        loaded.load_replay_buffer(tmp_path / "buffer.pkl")
        assert_same_samples(loaded.replay_buffer, model.replay_buffer)
        held = loaded.replay_buffer.size()
        loaded.learning_starts = 0
        loaded.learn(20, reset_num_timesteps=False)
        assert loaded.replay_buffer.size() == held + 12  # three rollouts of 4 steps

    def test_it_holds_no_market(self) -> None:
        market = large_market(n_periods=2_000)
        model = warm_up(trading_env(market), 100, own=True)
        data = pickle.dumps(model.replay_buffer)
        assert len(data) < 100 * 260 + 20_000
        assert market.close[50].astype(np.float32).tobytes() not in data

    def test_without_the_market_it_says_which(self, market) -> None:
        buffer = warm_up(trading_env(market), 30, own=True).replay_buffer
        state = buffer.__getstate__()
        state["transitions"]["market"]["hash"] = "0" * 64
        lonely = MarketReplayBuffer.__new__(MarketReplayBuffer)
        lonely.__setstate__(state)
        with pytest.raises(
            ConfigError, match=r"\(3 tickers, 60 periods from 2020-01-01 to 2020-02-"
        ):
            lonely.sample(3)

    def test_a_copy_is_a_buffer_of_its_own(self, market) -> None:
        buffer = warm_up(trading_env(market), 100, own=True).replay_buffer
        twin = copy.deepcopy(buffer)
        assert_same_samples(twin, buffer)
        twin.rewards[:] = 5
        assert not (buffer.rewards == 5).any()


class TestOtherMarkets:
    def stream(self, market: MarketData, *, own: bool, follow: bool, **options: Any) -> Any:
        env = trading_env(market.rows(0, 30), **options)
        model = warm_up(env, 70, own=own, buffer_size=150)
        for rows in ((30, 45), (45, 60)):
            model.set_env(trading_env(market.rows(*rows), **options))
            if follow:
                follow_market(model)
            model.learn(40, reset_num_timesteps=False)
        return model

    @pytest.mark.parametrize("options", [{}, STATIONARY], ids=["finrl", "stationary"])
    @pytest.mark.parametrize("follow", [False, True])
    def test_another_env_is_exact(self, market, follow, options) -> None:
        model, theirs = (
            self.stream(market, own=own, follow=follow, **options) for own in (True, False)
        )
        ours = model.replay_buffer
        assert_same_contents(ours, theirs.replay_buffer)
        assert_same_samples(ours, theirs.replay_buffer)
        state = ours.get_state()
        assert (len(state["whole"]) == 0) == follow
        assert len(state["market"]["history"]) == (45 if follow else 0)
        # a pickle and a state carry the days of markets that no env trades any more
        for again in (copy.deepcopy(ours), self.restored(market, state, follow, **options)):
            assert_same_contents(again, theirs.replay_buffer)
            assert_equal_bits(again.get_state(), state)

    def restored(self, market: MarketData, state: Any, follow: bool, **options: Any) -> Any:
        env = trading_env(market.rows(*((45, 60) if follow else (0, 30))), **options)
        buffer = build(env, own=True, buffer_size=150).replay_buffer
        buffer.set_state(state)
        return buffer

    def test_the_same_market_again_is_no_other(self, market) -> None:
        model = warm_up(trading_env(market), 70, own=True)
        before = model.replay_buffer.market
        model.set_env(trading_env(market))
        follow_market(model)
        assert model.replay_buffer.market is before

    def test_an_empty_buffer_forgets_the_market_before(self, market) -> None:
        model = warm_up(trading_env(market.rows(0, 30)), 70, own=True)
        model.replay_buffer.reset()
        model.set_env(trading_env(market.rows(30, 60)))
        follow_market(model)
        assert len(model.replay_buffer.market.bits) == 30

    def test_another_size_is_refused(self, market) -> None:
        model = warm_up(trading_env(market), 70, own=True)
        other = StockTradingVecEnv(large_market(40))
        with pytest.raises(ConfigError, match="of 3 tickers with 13 entries, the market has 29"):
            model.replay_buffer.follow(other.accounts.table)

    def test_most_of_them_unknown_is_told(self, market, caplog) -> None:
        model = warm_up(trading_env(market.rows(0, 30)), 10, own=True, buffer_size=100)
        model.set_env(trading_env(market.rows(30, 60)))
        with caplog.at_level(logging.WARNING, logger="finrl_ray"):
            model.learn(1_500, reset_num_timesteps=False)
        assert caplog.text.count("most observations show no day of the market") == 1
        # what was written over is given up
        assert len(model.replay_buffer._whole.rows) <= 256


def test_odd_bits_come_back_as_they_were(market) -> None:
    """NaN of any payload, negative zeros, and repeated observations."""
    env = trading_env(market, 2)
    table = env.accounts.table
    ours = MarketReplayBuffer(8, env.observation_space, env.action_space, n_envs=2, table=table)
    theirs = ReplayBuffer(8, env.observation_space, env.action_space, n_envs=2)
    rng = np.random.default_rng(0)
    days = np.stack([env.accounts.observation(0)] * 2)
    for step in range(30):
        pair = [days.copy(), days.copy()]
        for observation in pair:
            kind = rng.integers(0, 4)
            if kind == 1:
                observation.view(np.int32)[:] = rng.integers(-(2**31), 2**31, observation.shape)
            elif kind == 2:
                observation[:, rng.integers(0, 13)] = -0.0
            elif kind == 3:
                observation[0, 0] = np.nan
        others = (rng.normal(size=(2, 3)), rng.normal(size=2), rng.integers(0, 2, 2))
        infos = [{"TimeLimit.truncated": bool(step % 3)}, {}]
        for buffer in (ours, theirs):
            buffer.add(*pair, *others, infos)
        assert_same_contents(ours, theirs)
    state = ours.get_state()
    twin = MarketReplayBuffer(8, env.observation_space, env.action_space, n_envs=2, table=table)
    twin.set_state(state)
    assert_same_contents(twin, theirs)


def test_a_reset_buffer_is_a_new_one(market) -> None:
    model = warm_up(VecNormalize(trading_env(market)), 200, own=True, buffer_size=90)
    theirs = warm_up(VecNormalize(trading_env(market)), 200, own=False, buffer_size=90)
    for each in (model, theirs):
        each.replay_buffer.reset()
        assert each.replay_buffer.size() == 0
        each.learn(130, reset_num_timesteps=False)
    assert_same_contents(model.replay_buffer, theirs.replay_buffer)


class TestChoice:
    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"replay_buffer_class": ReplayBuffer}, ReplayBuffer),
            ({"n_steps": 3}, NStepReplayBuffer),
            ({"replay_buffer_kwargs": {"handle_timeout_termination": False}}, MarketReplayBuffer),
            (WITHOUT_TIMEOUTS, MarketReplayBuffer),
        ],
    )
    def test_what_the_user_asks_for_comes_first(self, market, changes, kind) -> None:
        kwargs = {**OFF_POLICY, "buffer_size": 100, **changes}
        model: Any = DRLAgent(trading_env(market)).get_model("td3", model_kwargs=kwargs, verbose=0)
        assert type(model.replay_buffer) is kind

    def test_what_sb3_refuses_is_refused(self, market) -> None:
        kwargs = {"optimize_memory_usage": True, "buffer_size": 100}
        with pytest.raises(ValueError, match="does not support optimize_memory_usage"):
            DRLAgent(trading_env(market)).get_model("td3", model_kwargs=kwargs)

    def test_other_envs_get_sb3s(self, market, caplog) -> None:
        mixed = [
            lambda: StockTradingEnv(market.rows(0, 30)),
            lambda: StockTradingEnv(market.rows(30, 60)),
        ]
        for env in (VecFrameStack(trading_env(market), 2), DummyVecEnv(mixed), small_env()):
            with caplog.at_level(logging.DEBUG, logger="finrl_ray"):
                model: Any = DRLAgent(env).get_model(
                    "td3", model_kwargs={"buffer_size": 100}, verbose=0
                )
            assert type(model.replay_buffer) is ReplayBuffer
            assert "SB3's replay buffer is used: the env trades no market" in caplog.text
            caplog.clear()

    def test_the_model_file_names_no_market(self, market, tmp_path) -> None:
        model = build(trading_env(market), own=True)
        assert model.replay_buffer_class is ReplayBuffer
        assert model.replay_buffer_kwargs == {}

    def test_a_space_of_another_size_is_refused(self, market) -> None:
        env = trading_env(market)
        spaces = VecFrameStack(env, 2).observation_space, env.action_space
        with pytest.raises(ConfigError, match=r"have 13 entries, .* has the shape \(26,\)"):
            MarketReplayBuffer(10, *spaces, table=env.accounts.table)


def large_market(n_periods: int = 335) -> MarketData:
    """29 tickers with 8 indicators: observations of 291 entries."""
    rng = np.random.default_rng(1)
    shape = (n_periods, 29)
    unknown = np.full(shape, np.nan)
    return MarketData(
        dates=np.datetime64("2000-01-01", "ns") + np.arange(n_periods) * np.timedelta64(1, "D"),
        tickers=tuple(f"T{i:02d}" for i in range(29)),
        open=unknown.copy(),
        high=unknown.copy(),
        low=unknown.copy(),
        close=50 * np.exp(rng.normal(0, 0.02, shape).cumsum(axis=0) / 10),
        volume=unknown.copy(),
        features=rng.normal(0, 1, (*shape, 8)),
        feature_names=tuple(f"feature_{i}" for i in range(8)),
        tradable=np.ones(shape, dtype=bool),
        market_features=np.zeros((n_periods, 0)),
        market_feature_names=(),
    )


def test_it_is_eight_times_smaller_on_29_stocks() -> None:
    models = [
        warm_up(trading_env(large_market()), 3_000, own=own, buffer_size=3_000)
        for own in (True, False)
    ]
    sizes = []
    for model in models:
        buffer = model.replay_buffer
        arrays = [value for value in vars(buffer).values() if isinstance(value, np.ndarray)]
        pools = [value for value in vars(buffer).values() if isinstance(value, RowPool)]
        held = sum(array.nbytes for array in arrays) + sum(pool.nbytes for pool in pools)
        sizes.append((held, len(pickle.dumps(capture_replay(model)))))
    (own_memory, own_file), (sb3_memory, sb3_file) = sizes
    assert sb3_memory == 3_000 * 4 * (2 * 291 + 29 + 3)
    assert own_memory * 9 < sb3_memory
    assert own_file * 9 < sb3_file
    assert models[0].replay_buffer.filled_bytes == pytest.approx(own_memory, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["tqc", "crossq", "dqn"])
def test_other_algorithms_learn_the_same_with_either_buffer(market, algorithm) -> None:
    choices = "product" if algorithm == "dqn" else "none"
    models = [
        build(
            trading_env(market, 2, random_start=True, discrete_actions=choices),
            own=own,
            algorithm=algorithm,
        ).learn(120)
        for own in (True, False)
    ]
    assert models[0]._n_updates == models[1]._n_updates > 0
    assert_equal_bits(models[0].policy.state_dict(), models[1].policy.state_dict())
    assert_same_contents(models[0].replay_buffer, models[1].replay_buffer)
