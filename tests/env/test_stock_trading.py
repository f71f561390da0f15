"""FinRL's surface, Gymnasium's contract and the errors of the constructor."""

import logging
import pickle
import warnings

import gymnasium.utils.env_checker
import numpy as np
import pandas as pd
import pytest
import stable_baselines3.common.env_checker
from env_markets import finrl_frame, hand_market, random_market

from finrl_ray.data.market_data import MarketData
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError, DataError

NAMES = ["feature_0", "feature_1"]


def frame_env(frame=None, **changed):
    frame = finrl_frame(random_market(8)) if frame is None else frame
    arguments = {
        "stock_dim": 3,
        "hmax": 100,
        "initial_amount": 10_000,
        "num_stock_shares": [0] * 3,
        "buy_cost_pct": [0.001] * 3,
        "sell_cost_pct": [0.001] * 3,
        "reward_scaling": 1e-4,
        "state_space": 13,
        "action_space": 3,
        "tech_indicator_list": NAMES,
        **changed,
    }
    return StockTradingEnv(frame, **arguments)


def test_observation_layout():
    market = random_market(5)
    env = StockTradingEnv(market, initial_amount=500.0, num_stock_shares=[1, 2, 3])
    observation, info = env.reset()
    expected = [
        500.0, *market.close[0], 1, 2, 3, *market.features[0, :, 0], *market.features[0, :, 1],
    ]  # fmt: skip
    assert observation.dtype == np.float32
    assert np.array_equal(observation, np.array(expected, dtype=np.float32))
    assert env.state == expected
    assert info == {}


def test_market_data_and_frame_give_the_same_env():
    market = random_market(30)
    envs = [StockTradingEnv(market), frame_env(finrl_frame(market), initial_amount=1_000_000)]
    rng = np.random.default_rng(0)
    for env in envs:
        env.reset()
    for action in rng.uniform(-1, 1, (29, 3)).astype(np.float32):
        first, second = (env.step(action) for env in envs)
        assert np.array_equal(first[0], second[0])
        assert first[1:4] == second[1:4]


def test_any_index_of_the_frame_serves():
    frame = finrl_frame(random_market(6))
    expected = frame_env(frame, parity=True)
    for index in (np.arange(len(frame)), np.repeat(np.arange(6) + 100, 3)):
        env = frame_env(frame.set_index(index), parity=True)
        assert env.state == expected.state
        assert env.date_memory == ["2020-01-01"]


def test_returned_observations_do_not_change():
    env = StockTradingEnv(random_market(6))
    observation, _ = env.reset()
    kept, copy = observation, observation.copy()
    following = env.step(np.ones(3, dtype=np.float32))[0]
    following_copy = following.copy()
    env.step(-np.ones(3, dtype=np.float32))
    env.reset()
    assert np.array_equal(kept, copy)
    assert np.array_equal(following, following_copy)


def test_memories_and_frames():
    env = frame_env()
    env.reset()
    for _ in range(7):
        env.step(np.array([0.05, 0.02, 0.0]))
    dates = [f"2020-01-0{day}" for day in range(1, 9)]
    assets = env.save_asset_memory()
    assert list(assets.columns) == ["date", "account_value"]
    assert assets["date"].tolist() == dates
    assert assets["account_value"].tolist() == env.asset_memory
    actions = env.save_action_memory()
    assert list(actions.columns) == ["T00", "T01", "T02"]
    assert actions.index.name == "date"
    assert actions.index.tolist() == dates[:-1]
    assert actions.to_numpy().dtype == np.int64
    assert actions.to_numpy().tolist() == [[5, 2, 0]] * 7
    states = env.save_state_memory()
    assert states.iloc[-1].tolist() == env.state
    assert states["shares_T00"].tolist() == [5, 10, 15, 20, 25, 30, 35]
    np.testing.assert_allclose(np.array(env.rewards_memory), np.diff(env.asset_memory))
    assert (env.episode, env.day, env.terminal) == (1, 7, True)


def test_memories_of_a_single_ticker():
    env = StockTradingEnv(random_market(4, n_assets=1))
    env.reset()
    for _ in range(3):
        env.step(np.ones(1))
    frame = env.save_action_memory()
    assert list(frame.columns) == ["date", "actions"]
    assert [action.tolist() for action in frame["actions"]] == [[100]] * 3
    assert env.save_state_memory()["states"].iloc[-1] == env.state


def test_market_data_as_a_frame():
    market = random_market(4)
    env = StockTradingEnv(market)
    assert env.df.columns.tolist() == ["date", "tic", "close", *NAMES, "turbulence"]
    assert len(env.df.index.unique()) == 4
    again = MarketData.from_finrl(env.df, features=NAMES)
    assert np.array_equal(again.close, market.close)


def test_trades_that_are_not_recorded():
    env = StockTradingEnv(random_market(3), record_trades=False)
    env.reset()
    env.step(np.ones(3))
    info = env.step(np.ones(3))[4]
    assert info["account_history"].trades is None
    with pytest.raises(ConfigError, match="record_trades=True"):
        _ = env.actions_memory


def test_get_sb_env():
    env = StockTradingEnv(random_market(5))
    vec_env, observation = env.get_sb_env()
    assert observation.shape == (1, 13)
    assert vec_env.envs[0].unwrapped is env


def test_no_prints_and_no_files(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        env = frame_env(make_plots=True, model_name="ppo", mode="trade", print_verbosity=1)
    assert len(caplog.records) == 1
    assert "writes no plots" in caplog.text
    env.reset()
    for _ in range(7):
        env.step(np.zeros(3))
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stock_dim": 4}, r"stock_dim must be 3 \(the number of tickers in the data\), got 4"),
        ({"action_space": 2}, "action_space must be 3"),
        ({"state_space": 291}, r"state_space must be 13 \(1 \+ 2 \* 3 tickers .*, got 291"),
        ({"num_stock_shares": [0, 0]}, r"num_stock_shares must be one number, a list of 3"),
        ({"num_stock_shares": [0, -1, 0]}, "num_stock_shares must be >= 0, got -1"),
        ({"buy_cost_pct": [0.1] * 4}, r"buy_cost_pct must be one number, a list of 3 .*\(4,\)"),
        ({"sell_cost_pct": [0.1, 1.0, 0.1]}, "sell_cost_pct is a fraction .* got 1.0"),
        ({"hmax": 0}, "hmax must be > 0, got 0"),
        ({"hmax": "many"}, "hmax must be a number or a list of numbers, got 'many'"),
        ({"initial_amount": -5}, "initial_amount must be > 0, got -5"),
        ({"initial_amount": float("nan")}, "initial_amount must be finite"),
        ({"reward_scaling": 0}, "reward_scaling must be > 0"),
        ({"tech_indicator_list": ["macd"], "state_space": 10}, r"\['macd'\] missing"),
        ({"day": 7}, r"day must be within 0..6, .* got 7"),
        ({"turbulence_threshold": 9.0, "risk_indicator_col": "vix"}, "needs the series 'vix'"),
        ({"initial": False}, "initial=False needs previous_state .* got 0"),
        ({"initial": False, "previous_state": ["x"] * 13}, "previous_state must hold numbers"),
        ({"day": 1.5}, "day must be a row of the data, a whole number, got 1.5"),
        ({"turbulence_threshold": "x"}, "turbulence_threshold must be a number, None, .* got 'x'"),
        ({"reward_scaling": float("inf")}, "reward_scaling must be finite, got inf"),
        ({"reward_scaling": "x"}, "reward_scaling must be a number"),
        ({"observation_scaling": True}, "observation_scaling must be what fit_obs.*, got True"),
        ({"tech_indicator_list": "macd"}, "must be a list of names, got the string 'macd'"),
    ],
)
@pytest.mark.parametrize("parity", [False, True])
def test_wrong_arguments(changed, message, parity):
    with pytest.raises(ConfigError, match=message):
        frame_env(parity=parity, **changed)


def test_nan_indicator_in_parity_names_ticker_date_and_column():
    frame = finrl_frame(random_market(8))
    frame.iloc[3 * 4 + 1, frame.columns.get_loc("feature_1")] = np.nan
    with pytest.raises(DataError, match="feature_1 of T01 on 2020-01-05 must be finite, got nan"):
        frame_env(frame, parity=True)


def test_nan_price_in_parity_names_ticker_and_date():
    frame = finrl_frame(random_market(8))
    frame.iloc[3 * 4 + 1, frame.columns.get_loc("close")] = np.nan
    with pytest.raises(DataError, match="close of T01 on 2020-01-05 must be finite, got nan"):
        frame_env(frame, parity=True)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("column", ["close", "feature_1"])
def test_a_number_too_large_for_an_observation_is_named(column, parity):
    frame = finrl_frame(random_market(8))
    frame.iloc[3 * 4 + 1, frame.columns.get_loc(column)] = 1e39
    message = rf"{column} of T01 on 2020-01-05.* must be less than 3.4e\+38 .*\(1 such"
    with pytest.raises(DataError, match=message):
        frame_env(frame, parity=parity)


def test_a_frame_without_rows_or_with_numbered_tickers_is_told():
    frame = finrl_frame(random_market(8))
    with pytest.raises(DataError, match="the frame has no rows"):
        frame_env(frame.iloc[:0])
    numbered = frame.assign(tic=frame["tic"].str[1:].astype(int))
    with pytest.raises(DataError, match=r"convert it with df\['tic'\].astype\(str\)"):
        frame_env(numbered)


def test_parity_is_a_switch():
    with pytest.raises(ConfigError, match="parity must be True or False, got 'no'"):
        StockTradingEnv(random_market(8), parity="no")


def test_a_mistyped_argument_is_guessed():
    with pytest.raises(TypeError, match=r"unexpected option 'turbulence_treshold'.*Did you mean "):
        StockTradingEnv(random_market(8), turbulence_treshold=70)


@pytest.mark.parametrize("row", [1.5, "x"])
def test_start_row_is_a_whole_number(row):
    env = StockTradingEnv(random_market(8))
    with pytest.raises(ConfigError, match="start_row must be"):
        env.reset(options={"start_row": row})
    with pytest.raises(ConfigError, match="start_row must be"):
        env.start_row = row


def test_missing_row_in_parity_names_the_day():
    frame = finrl_frame(random_market(8)).drop(columns="turbulence")
    frame = frame.iloc[[row for row in range(24) if row != 13]]
    with pytest.raises(DataError, match="one row for each of the 3 tickers, but 2020-01-05 has 2"):
        frame_env(frame, parity=True)


def test_single_day_and_warm_up_are_refused():
    with pytest.raises(DataError, match="at least 2 days, got 1"):
        StockTradingEnv(random_market(5).rows(0, 1))
    market = random_market(5)
    warm = MarketData(**{**market.__getstate__(), "warmup": 2})
    with pytest.raises(DataError, match=r"first 2 rows .* incomplete features"):
        StockTradingEnv(warm)
    StockTradingEnv(warm.rows(2, 5))


def test_frames_need_an_indicator_list():
    with pytest.raises(ConfigError, match="tech_indicator_list must name"):
        StockTradingEnv(finrl_frame(random_market(5)))
    with pytest.raises(ConfigError, match="must be this market's features"):
        StockTradingEnv(random_market(5), tech_indicator_list=["macd"])
    with pytest.raises(TypeError, match="DataFrame or a MarketData"):
        StockTradingEnv([1, 2])


def test_attributes_are_checked_and_take_effect():
    env = StockTradingEnv(hand_market([[10.0]] * 5, risk=[0.0, 5.0, 9.0, 0.0, 0.0]), hmax=2)
    env.reset()
    env.turbulence_threshold = 9.0
    env.buy_cost_pct = 0.5
    for _ in range(4):
        env.step(np.ones(1))
    assert env.account_history.trades.tolist() == [[2], [2], [-4], [2]]
    assert env.cost == pytest.approx(3 * 10 + 40 * 0.001)
    with pytest.raises(ConfigError, match="hmax must be > 0"):
        env.hmax = -1
    assert env.hmax == 2
    env.initial_amount = 77.0
    env.reset()
    assert env.state[0] == 77.0
    assert env.turbulence_threshold == 9.0
    env.turbulence_threshold = None
    assert env.turbulence_threshold is None


def test_previous_state_is_checked():
    env = StockTradingEnv(random_market(5))
    with pytest.raises(ConfigError, match="initial=False needs previous_state"):
        env.initial = False
    env.previous_state = [5.0, 1, 1, 1, 4, 5, 6]
    env.initial = False
    env.reset()
    assert (env.state[0], env.state[4:7]) == (5.0, [4.0, 5.0, 6.0])
    with pytest.raises(ConfigError, match="shares >= 0"):
        env.previous_state = [5.0, 1, 1, 1, 4, -5, 6]


@pytest.mark.parametrize("parity", [False, True])
def test_environment_checkers(parity):
    env = StockTradingEnv(random_market(20), parity=parity)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gymnasium.utils.env_checker.check_env(env, skip_render_check=True)
        stable_baselines3.common.env_checker.check_env(env)


def test_the_same_seed_gives_the_same_trajectory():
    def trajectory(seed):
        env = StockTradingEnv(random_market(30), random_start=True)
        env.action_space.seed(seed)
        observation, _ = env.reset(seed=seed)
        rows = [observation]
        for _ in range(10):
            rows.append(env.step(env.action_space.sample())[0])
        return np.array(rows)

    assert np.array_equal(trajectory(1), trajectory(1))
    assert not np.array_equal(trajectory(1), trajectory(2))


@pytest.mark.parametrize("options", [{}, {"parity": True}, {"fill": "next_open"}])
def test_a_decision_sees_nothing_of_the_future(options):
    market = random_market(30, seed=7)
    state = market.__getstate__()
    cut = 15
    changed = {
        name: state[name].copy() for name in ("open", "close", "features", "market_features")
    }
    rng = np.random.default_rng(8)
    for array in changed.values():
        array[cut:] = rng.uniform(1, 100, array[cut:].shape)
    other = MarketData(**{**state, **changed})
    options = {"turbulence_threshold": 60.0, **options}
    envs = [StockTradingEnv(data, **options) for data in (market, other)]
    for env in envs:
        env.reset()
    for step, action in enumerate(rng.uniform(-1, 1, (29, 3)).astype(np.float32), start=1):
        first, second = (env.step(action) for env in envs)
        same = np.array_equal(first[0], second[0]) and first[1] == second[1]
        assert same == (step < cut)
        if not same:
            break


@pytest.mark.parametrize("parity", [False, True])
def test_pickled_env_continues_alike(parity):
    env = StockTradingEnv(random_market(20), random_start=not parity, parity=parity)
    env.reset(seed=1)
    env.step(np.ones(3, dtype=np.float32))
    again = pickle.loads(pickle.dumps(env))
    for action in np.random.default_rng(0).uniform(-1, 1, (8, 3)):
        first, second = env.step(action), again.step(action)
        assert np.array_equal(first[0], second[0])
        assert first[1:4] == second[1:4]
    assert env.reset()[0].tolist() == again.reset()[0].tolist()


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize(
    "write",
    [
        # New York's offset changes within these days
        lambda dates: (
            (dates + pd.Timedelta(days=64)).dt.tz_localize("America/New_York").astype(str)
        ),
        lambda dates: [
            d.strftime("%Y/%m/%d" if d.day % 2 else "%Y-%m-%d") for d in pd.to_datetime(dates)
        ],
    ],
    ids=["summer time", "two ways"],
)
def test_dates_that_market_data_reads_serve(write, parity):
    frame = finrl_frame(random_market(8))
    written = write(pd.to_datetime(frame["date"]))
    frame["date"] = written
    env = frame_env(frame, parity=parity)
    env.reset()
    env.step(np.zeros(3))
    assert env.date_memory == [frame["date"].iloc[0], frame["date"].iloc[3]]
    days = env.account_history.dates
    assert days[1] - days[0] == np.timedelta64(1, "D")


def test_dates_stay_as_the_frame_has_them():
    frame = finrl_frame(random_market(4))
    assert frame_env(frame).date_memory == ["2020-01-01"]
    frame["date"] = pd.to_datetime(frame["date"])
    assert frame_env(frame).date_memory == [pd.Timestamp("2020-01-01")]
