import pickle

import numpy as np
import pytest
from env_markets import finrl_frame, hand_market, random_market
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from finrl_ray.agents.callbacks.evaluation import TradingEvalCallback
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.portfolio.env import StockPortfolioEnv
from finrl_ray.errors import ConfigError

MARKET = random_market(40, 3)
# the first two rows fill a covariance of two returns
WARMUP = [[10.0, 10.0], [11.0, 9.0]]


def env_on(close, **options):
    market_options = {k: options.pop(k) for k in ("tradable", "risk") if k in options}
    env = StockPortfolioEnv(
        hand_market([*WARMUP, *close], **market_options),
        lookback=2,
        **{"initial_amount": 1_000.0, "transaction_cost_pct": 0.0, **options},
    )
    env.reset()
    return env


def play(env, actions):
    return [env.step(np.array(action, dtype=np.float32)) for action in actions]


def test_all_in_one_stock_is_buy_and_hold_of_it():
    env = StockPortfolioEnv(MARKET, lookback=5, transaction_cost_pct=0.01)
    env.reset()
    play(env, [[-1.0, 1.0, -1.0]] * 34)
    close = MARKET.close[5:, 1]
    held = 1_000_000.0 / 1.01 * close / close[0]
    assert env.asset_memory[1:] == pytest.approx(held[1:])
    assert env.account_history.cost[1:].tolist() == [0.0] * 33


def test_weights_drift_until_the_next_rebalance():
    env = env_on([[10.0, 10.0], [20.0, 10.0], [20.0, 20.0]])
    play(env, [[0.0, 0.0]])
    assert env.state[-1] == pytest.approx([2 / 3, 1 / 3])
    assert env.portfolio_value == pytest.approx(1_500.0)
    # back to one half each: 250 of the first are sold and 250 of the second bought
    play(env, [[0.0, 0.0]])
    history = env.account_history
    assert history.traded_amount == pytest.approx([1_000.0, 500.0])
    assert history.trades == pytest.approx(np.array([[50.0, 50.0], [-12.5, 25.0]]))
    assert history.account_value == pytest.approx([1_000.0, 1_500.0, 2_250.0])


def test_costs_are_a_fraction_of_the_turnover():
    env = env_on([[10.0, 10.0]] * 3, transaction_cost_pct=0.25)
    rewards = [result[1] for result in play(env, [[1.0, -1.0], [-1.0, 1.0]])]
    # 1000 = 1.25 * 800; then 800 * 0.75 = 600 = 1.25 * 480
    assert env.asset_memory == pytest.approx([1_000.0, 800.0, 480.0])
    assert env.account_history.cost == pytest.approx([200.0, 320.0])
    assert rewards == pytest.approx([np.log(0.8), np.log(0.6)])


def test_the_reward_is_the_log_return_scaled():
    env = env_on([[10.0, 10.0], [12.0, 10.0], [12.0, 10.0]], reward_scaling=100.0)
    results = play(env, [[1.0, -1.0], [1.0, -1.0]])
    assert [result[1] for result in results] == pytest.approx([100 * np.log(1.2), 0.0])
    assert env.account_history.rewards == pytest.approx([200.0, 0.0])


def test_cash_can_be_chosen():
    env = env_on([[10.0, 10.0], [20.0, 20.0], [20.0, 20.0]], cash_weight=True)
    play(env, [[0.0, 0.0, 0.0], [-1.0, -1.0, 1.0]])
    history = env.account_history
    assert history.account_value == pytest.approx([1_000.0, 1_000.0 * 5 / 3, 1_000.0 * 5 / 3])
    assert history.cash == pytest.approx([1_000.0, 1_000.0 / 3, 1_000.0 * 5 / 3])
    assert env.account.weights.tolist() == [0.0, 0.0]


def test_turbulence_sells_everything():
    env = env_on(
        [[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]],
        risk=[0.0, 0.0, 1.0, 9.0, 0.0],
        turbulence_threshold=5.0,
    )
    play(env, [[0.0, 0.0], [0.0, 0.0]])
    assert env.asset_memory == pytest.approx([1_000.0, 2_000.0, 2_000.0])


def test_a_ticker_without_a_quote_keeps_its_position():
    tradable = [[1, 1], [1, 1], [1, 1], [0, 1], [1, 1]]
    env = env_on([[10.0, 10.0]] * 3, tradable=tradable)
    play(env, [[0.0, 0.0], [1.0, -1.0]])
    assert env.account_history.trades == pytest.approx(np.array([[50.0, 50.0], [0.0, 0.0]]))


def test_observation_is_covariance_indicators_and_weights():
    env = StockPortfolioEnv(MARKET, lookback=5)
    observation, info = env.reset()
    assert (observation.shape, observation.dtype, info) == ((18,), np.float32, {})
    returns = MARKET.close[1:6] / MARKET.close[:5] - 1
    assert observation[:9] == pytest.approx(np.cov(returns.T).ravel(), rel=1e-6)
    assert observation[9:15] == pytest.approx(MARKET.features[5].T.ravel(), rel=1e-6)
    assert observation[15:].tolist() == [0.0] * 3
    after = env.step(np.zeros(3))[0]
    assert after[15:].sum() == pytest.approx(1.0)
    # returned arrays stay as they are
    assert observation[15:].tolist() == [0.0] * 3


def test_finrls_arguments_and_memories():
    frame = finrl_frame(MARKET)
    env = StockPortfolioEnv(
        df=frame, stock_dim=3, hmax=100, initial_amount=1e6, transaction_cost_pct=0,
        reward_scaling=1e-1, state_space=3, action_space=3,
        tech_indicator_list=list(MARKET.feature_names), lookback=10, day=4,
    )  # fmt: skip
    env.reset()
    results = play(env, [[0.0] * 3] * 25)
    assert [result[2:4] for result in results[-2:]] == [(False, False), (False, True)]
    assert results[-1][4]["account_history"].account_value.shape == (26,)
    assets, actions = env.save_asset_memory(), env.save_action_memory()
    assert assets.columns.tolist() == ["date", "account_value", "daily_return"]
    assert assets["date"].iloc[0] == "2020-01-15"
    values = assets["account_value"].to_numpy()
    assert assets["daily_return"].to_numpy()[1:] == pytest.approx(values[1:] / values[:-1] - 1)
    assert (actions.index.name, actions.columns.tolist()) == ("date", list(MARKET.tickers))
    assert actions.to_numpy() == pytest.approx(1 / 3)
    assert len(actions) == len(assets) - 1
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.zeros(3))


@pytest.mark.parametrize("options", [{}, {"cash_weight": True, "turbulence_threshold": 50.0}])
@pytest.mark.filterwarnings("ignore")
def test_the_checkers_pass(options):
    check_env(StockPortfolioEnv(MARKET, lookback=5, **options))
    gymnasium_check(StockPortfolioEnv(MARKET, lookback=5, **options), skip_render_check=True)


def test_a_restored_env_goes_on_alike():
    env, again = (StockPortfolioEnv(MARKET, lookback=5) for _ in range(2))
    rng = np.random.default_rng(0)
    env.reset(seed=1)
    play(env, rng.uniform(-1, 1, (12, 3)))
    again.set_state(pickle.loads(pickle.dumps(env.get_state())))
    for action in rng.uniform(-1, 1, (22, 3)):
        first, second = env.step(action), again.step(action)
        assert np.array_equal(first[0], second[0])
        assert first[1:4] == second[1:4]
    assert env.asset_memory == again.asset_memory
    assert env.save_action_memory().equals(again.save_action_memory())
    with pytest.raises(ConfigError, match="another market"):
        StockPortfolioEnv(MARKET, lookback=6).set_state(env.get_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stock_dim": 4}, "stock_dim must be 3 for this data, got 4"),
        ({"state_space": 15}, "state_space must be 3"),
        ({"action_space": 3, "cash_weight": True}, "action_space must be 4"),
        ({"transaction_cost_pct": 1.0}, r"within \[0, 1\), got 1.0"),
        ({"initial_amount": 0}, "initial_amount must be > 0"),
        ({"action_scale": 0}, "action_scale must be > 0"),
        ({"day": 34}, r"day must be within 0..33, got 34"),
        ({"turbulence_threshold": 1.0, "risk_indicator_col": "vix"}, "needs the series 'vix'"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        StockPortfolioEnv(MARKET, lookback=5, **options)


@pytest.mark.parametrize("action", [[0.0, np.nan, 0.0], [np.inf, 0.0, 0.0]])
def test_actions_must_be_finite(action):
    env = StockPortfolioEnv(MARKET, lookback=5)
    env.reset()
    with pytest.raises(ValueError, match="actions must be finite"):
        env.step(np.array(action))


def test_sb3_trains_evaluates_and_resumes_exactly():
    def build():
        env = VecNormalize(DummyVecEnv([lambda: StockPortfolioEnv(MARKET, lookback=5)] * 2))
        return PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=2, seed=0, device="cpu")

    whole = build()
    states = []

    def keep(model):
        if model.num_timesteps == 64:
            states.append(capture_state(model))
        return True

    learn_from(whole, 128, None, keep)
    resumed = build()
    restore_state(resumed, states[0])
    learn_from(resumed, 128, None, lambda model: True, resumed=True)
    pairs = zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True)
    assert all(bool((a == b).all()) for a, b in pairs)

    callback = TradingEvalCallback(
        DummyVecEnv([lambda: StockPortfolioEnv(MARKET, lookback=5)]), eval_freq=64,
        n_eval_episodes=1, verbose=0,
    )  # fmt: skip
    agent = DRLAgent(DummyVecEnv([lambda: StockPortfolioEnv(MARKET, lookback=5)]))
    model = agent.get_model("a2c", verbose=0, seed=0)
    DRLAgent.train_model(model, "portfolio", total_timesteps=128, callbacks=callback)
    assert len(callback.evaluation_timesteps) == 2
    values, actions = DRLAgent.DRL_prediction(model, StockPortfolioEnv(MARKET, lookback=5))
    assert len(values) == len(actions) + 1 == 35
