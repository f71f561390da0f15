"""How long `hmax` keeps an account in cash, counted by hand."""

import dataclasses

import numpy as np
import pytest
from env_markets import hand_market

from finrl_ray.config.data import SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.windows.split import make_split
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.slow_investment import slow_investment

# two tickers at 10 and 30: a full buy of hmax shares costs 40 hmax a day
MARKET = hand_market([[10.0, 30.0]] * 100)
SPLIT = make_split(MARKET, SplitConfig())


def test_days_are_counted() -> None:
    # 100,000 at 40 x 100 a day: 25 of the 60 rows of train, never within the 20 of validation
    config = EnvConfig(hmax=100, initial_amount=100_000, buy_cost_pct=0.0)
    found = slow_investment(MARKET, SPLIT, config)
    assert found is not None
    assert (found.window, found.rows_needed, found.n_rows) == ("validation", None, 20)
    assert "env.hmax = 100 shares" in found.what
    # 100,000 / (5 x 40)
    assert "set env.hmax to 500 or more" in found.remedy
    half = dataclasses.replace(config, initial_amount=40_000)
    found = slow_investment(MARKET, SPLIT, half)
    assert found is not None
    assert "needs 10 of the 20 rows of the validation window to be invested" in found.what


def test_target_weights_are_not_bound_by_hmax() -> None:
    config = EnvConfig(hmax=1, initial_amount=100_000, action="target_weights")
    assert slow_investment(MARKET, SPLIT, config) is None


@pytest.mark.parametrize("hmax", [500, 501, 10_000])
def test_the_remedy_is_enough(hmax: int) -> None:
    config = EnvConfig(hmax=hmax, initial_amount=100_000, buy_cost_pct=0.0)
    assert slow_investment(MARKET, SPLIT, config) is None


def test_the_account_itself_takes_so_long() -> None:
    config = EnvConfig(hmax=100, initial_amount=40_000, buy_cost_pct=0.001)
    found = slow_investment(MARKET, SPLIT, config)
    assert found is not None
    env = make_vec_env(SPLIT.validation.cut(MARKET), config)
    env.reset()
    history = None
    for _ in range(19):
        *_, infos = env.step(np.ones((1, 2), dtype=np.float32))
        history = infos[0].get("account_history", history)
    assert history is not None
    assert found.rows_needed == 10
    assert history.cash[9] > 0.09 * config.initial_amount
    assert history.cash[10] < 0.01 * config.initial_amount


def test_fractions_get_a_fraction() -> None:
    config = EnvConfig(hmax=0.01, initial_amount=100, fractional_shares=True, buy_cost_pct=0.0)
    found = slow_investment(MARKET, SPLIT, config)
    assert found is not None
    assert "set env.hmax to 0.5 or more" in found.remedy
