"""FinRL's StockPortfolioEnv in a search."""

import numpy as np
import pytest
from other_envs import FINRL_PORTFOLIO, other_class
from own_envs import small_market, wandering_market

from finrl_ray.config.env import EnvConfig
from finrl_ray.env.adapters.finrl_portfolio import window_covariances
from finrl_ray.env.make import make_vec_env


def test_an_account_by_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other_class(FINRL_PORTFOLIO, monkeypatch)
    market = small_market([[10.0, 20.0], [11.0, 20.0], [11.0, 30.0], [11.0, 30.0]])
    env = make_vec_env(market, EnvConfig(class_=FINRL_PORTFOLIO), training=False)
    assert env.reset().shape == (1, 3, 2)
    for step in range(3):
        _, _, dones, infos = env.step(np.zeros((1, 2), dtype=np.float32))  # half and half
        assert dones.tolist() == [step == 2]
    history = infos[0]["account_history"]
    # + 10 % and 0, then 0 and + 50 %, then nothing
    np.testing.assert_allclose(history.account_value, 1e6 * np.array([1.0, 1.05, 1.3125, 1.3125]))
    # all of it is bought; then 0.55 : 0.5 goes back to half and half, then 0.5 : 0.75
    back = [1.0, 2 * (0.55 / 1.05 - 0.5) * 1.05, 2 * (0.6 - 0.5) * 1.3125]
    np.testing.assert_allclose(history.traded_amount, 1e6 * np.array(back))
    assert history.cost.tolist() == [0.0, 0.0, 0.0]
    assert capsys.readouterr().out == ""


def test_covariances_are_of_the_returns_so_far() -> None:
    close = wandering_market(30).close
    matrices = window_covariances(close, 5)
    returns = close[1:] / close[:-1] - 1.0
    assert not matrices[:2].any()
    np.testing.assert_array_equal(matrices[3], np.cov(returns[:3], rowvar=False))
    np.testing.assert_array_equal(matrices[20], np.cov(returns[15:20], rowvar=False))
