"""FinRL's StockTradingEnv in a search: its account, and an exact state."""

import numpy as np
import pytest
from other_envs import FINRL_STOCK, other_class
from own_envs import small_market, wandering_market

from finrl_ray.agents.state.plain_file import decode, encode
from finrl_ray.config.env import EnvConfig
from finrl_ray.env.adapters.choose import adapter_of
from finrl_ray.env.adapters.finrl_stock import FinRLStockAdapter
from finrl_ray.env.make import make_trading_vec_env, make_vec_env
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.errors import ConfigError


def config(**options: float) -> EnvConfig:
    return EnvConfig(class_=FINRL_STOCK, **options)


@pytest.fixture(autouse=True)
def _finrl(monkeypatch: pytest.MonkeyPatch) -> None:
    other_class(FINRL_STOCK, monkeypatch)


def test_an_account_by_hand() -> None:
    market = small_market([[10.0, 20.0], [11.0, 20.0], [12.0, 30.0]])
    options = {"hmax": 10, "initial_amount": 1000.0, "buy_cost_pct": 0.1, "sell_cost_pct": 0.0}
    env = make_vec_env(market, config(**options), training=False)
    env.reset()
    env.step(np.array([[1.0, 0.5]], dtype=np.float32))  # 10 shares at 10, 5 at 20, each + 10 %
    env.step(np.array([[-0.4, 0.0]], dtype=np.float32))  # 4 shares sold at 11
    _, _, dones, infos = env.step(np.zeros((1, 2), dtype=np.float32))  # FinRL's last step
    assert dones.tolist() == [True]
    history = infos[0]["account_history"]
    assert history.trades.tolist() == [[10.0, 5.0], [-4.0, 0.0]]
    assert history.cash.tolist() == [1000.0, 780.0, 824.0]
    assert history.account_value.tolist() == [1000.0, 780.0 + 110 + 100, 824.0 + 72 + 150]
    assert history.cost.tolist() == [20.0, 0.0]
    assert history.traded_amount.tolist() == [200.0, 44.0]
    assert history.n_trades == 3
    assert history.rewards.tolist() == [-10.0, 56.0]


@pytest.mark.parametrize("n", [1, 3])
def test_it_trades_as_this_packages_env_in_parity(n: int) -> None:
    market = wandering_market(40, n)
    ours = make_trading_vec_env(market, EnvConfig(parity=True), training=False)
    theirs = make_vec_env(market, config(), training=False)
    assert ours.reset().tolist() == theirs.reset().tolist()
    rng = np.random.default_rng(1)
    for _ in range(40):
        action = rng.uniform(-1.0, 1.0, (1, n)).astype(np.float32)
        one, other = ours.step(action), theirs.step(action)
        assert one[0].tolist() == other[0].tolist()
        np.testing.assert_allclose(one[1], other[1], rtol=1e-6, atol=1e-9)
    assert one[2].all()
    assert other[2].all()
    pair = [result[3][0]["account_history"] for result in (one, other)]
    for name in ("account_value", "cash", "trades", "cost", "traded_amount", "benchmark_value"):
        values = [getattr(history, name) for history in pair]
        np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-6, err_msg=name)
    assert pair[0].n_trades == pair[1].n_trades


def test_its_state_goes_on_bit_for_bit() -> None:
    market = wandering_market(40, 3)
    env, other = (make_vec_env(market, config(), n_envs=2, seed=seed) for seed in (1, 2))
    for one in (env, other):
        one.reset()
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1.0, 1.0, (120, 2, 3)).astype(np.float32)
    for action in actions[:60]:  # into the second episode
        env.step(action)
    other.set_state(decode(encode(env.get_state(), "state")))
    for action in actions[60:]:
        one, two = env.step(action), other.step(action)
        assert one[0].tolist() == two[0].tolist()
        assert one[1].tolist() == two[1].tolist()
        assert one[2].tolist() == two[2].tolist()


def test_it_needs_an_indicator_and_a_copy_of_it_is_known() -> None:
    market = wandering_market().with_features(())
    with pytest.raises(ConfigError, match=r"data\.features must name at least one"):
        make_vec_env(market, config())

    class Copied:
        def __init__(
            self, df, stock_dim, hmax, initial_amount, num_stock_shares, buy_cost_pct,
            sell_cost_pct, reward_scaling, state_space, action_space, tech_indicator_list,
        ):  # fmt: skip
            pass

        def save_asset_memory(self):
            pass

    assert isinstance(adapter_of(Copied), FinRLStockAdapter)
    assert adapter_of(FinRLStockAdapter) is None
    assert adapter_of(StockTradingEnv) is None  # of this package, which says all of itself
