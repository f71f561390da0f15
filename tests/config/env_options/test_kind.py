"""`env.type`: what each kind settles, and which options it has."""

from dataclasses import replace

import pytest

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.options import check_option
from finrl_ray.errors import ConfigError


def test_the_default_is_as_it_was() -> None:
    env = EnvConfig()
    assert (env.type, env.hmax, env.hmax_unit, env.fractional_shares) == (
        "stock_trading", 100, "shares", False,
    )  # fmt: skip
    assert env.of_stocks() is env


def test_crypto_is_in_coins() -> None:
    env = EnvConfig(type="crypto")
    assert (env.hmax, env.hmax_unit, env.fractional_shares) == (0.1, "account_share", True)
    assert (env.buy_cost_pct, env.sell_cost_pct) == (0.001, 0.001)
    money = EnvConfig(type="crypto", hmax=500.0, hmax_unit="money")
    assert (money.hmax, money.hmax_unit) == (500.0, "money")
    weights = EnvConfig(type="crypto", action="target_weights")
    assert (weights.hmax, weights.hmax_unit, weights.fractional_shares) == (100, "shares", True)


def test_a_portfolio_chooses_weights_of_fractions() -> None:
    env = EnvConfig(type="portfolio", random_start=True, covariance_lookback=60)
    assert (env.action, env.fractional_shares, env.paid) == ("target_weights", True, "log_return")
    stocks = env.of_stocks()
    assert (stocks.type, stocks.action, stocks.covariance_lookback) == (
        "stock_trading", "orders", 252,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["crypto", "portfolio"])
def test_what_is_settled_is_read_again(kind) -> None:
    env = EnvConfig(type=kind)
    assert replace(env) == env
    config = ExperimentConfig(env=env)
    assert parse_config(config_to_dict(config)) == config


def test_trials_choose_within_their_kind() -> None:
    config = ExperimentConfig(env=EnvConfig(type="crypto"))
    weights = config_of_sample(config, {"env.action": "target_weights"}).env
    assert (weights.hmax, weights.hmax_unit) == (100, "shares")
    assert config_of_sample(config, {"env.hmax": 0.5}).env.hmax == 0.5
    portfolio = ExperimentConfig(env=EnvConfig(type="portfolio"))
    assert config_of_sample(portfolio, {"env.cash_weight": True}).env.cash_weight
    # without a portfolio it has no meaning, and is at its default
    assert not config_of_sample(config, {"env.cash_weight": True}).env.cash_weight
    with pytest.raises(ConfigError, match=r"env\.type cannot be searched over: trials are"):
        check_option("env.type")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type": "stocks"}, "type must be one of 'stock_trading', 'portfolio', 'crypto', got"),
        ({"cash_weight": True}, "cash_weight are of type 'portfolio', got .* 'stock_trading'"),
        ({"type": "portfolio", "cooldown": 2, "hmax": 5}, "has no hmax, cooldown; leave them at"),
        ({"type": "portfolio", "observation": "stationary"}, "has no observation; leave it"),
        ({"type": "portfolio", "discrete_actions": "product"}, "has no discrete_actions"),
        ({"type": "portfolio", "observation_scaling": "train"}, "has no observation_scaling"),
        ({"type": "portfolio", "sell_cost_pct": 0.01}, "the same number, got 0.001 and 0.01"),
        ({"type": "portfolio", "parity": True}, "type must be stock_trading, got portfolio"),
        ({"type": "portfolio", "covariance_lookback": 1}, "must be >= 2 returns, got 1"),
        ({"type": "portfolio", "action_scale": 0.0}, "action_scale must be a finite number > 0"),
    ],
)
def test_what_is_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        EnvConfig(**options)
