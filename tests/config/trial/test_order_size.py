"""`env.hmax` with a unit, and one number per ticker, in Python and in YAML."""

from typing import Any

import numpy as np
import pytest

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.config.trial.order_size import in_words
from finrl_ray.errors import ConfigError


@pytest.mark.parametrize(
    "hmax", [7, [1, 20], {"B": 2, "A": 30}, {"A": 1e3, "B": 7}, [1.0, 2.0], 100.0]
)
def test_it_is_read_and_written_back(hmax: Any) -> None:
    config = parse_config({"data": {"tickers": ["A", "B"]}, "env": {"hmax": hmax}})
    expected = tuple(hmax) if isinstance(hmax, list) else hmax
    assert config.env.hmax == expected
    assert parse_config(config_to_dict(config)) == config
    assert EnvConfig(hmax=hmax) == config.env


def test_lists_of_python_are_settled() -> None:
    assert EnvConfig(hmax=np.array([1, 2])).hmax == (1, 2)  # type: ignore[arg-type]
    assert EnvConfig(hmax=[0.5, 2.0], fractional_shares=True).hmax == (0.5, 2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"hmax": [1, 2.5]}, r"hmax must be >= 1 and a whole number .*got \(1.0, 2.5\)"),
        ({"hmax": {"A": 0, "B": 1}}, "hmax must be >= 1 and a whole number"),
        ({"hmax": [], "hmax_unit": "money"}, "hmax must be a number, or one for each ticker"),
        ({"hmax": 0, "hmax_unit": "money"}, "hmax must be > 0, in the account's currency"),
        ({"hmax_unit": "account_share"}, r"hmax must be within \(0, 1\].*got 100"),
        ({"hmax": [0.5, 1.01], "hmax_unit": "account_share"}, r"hmax must be within \(0, 1\]"),
        ({"hmax": 1e39, "hmax_unit": "money"}, "hmax must be at most 3.4e"),
        ({"hmax_unit": "moneys"}, "hmax_unit must be .*'shares', 'money' or 'account_share'"),
        ({"hmax": 5, "hmax_unit": "money", "parity": True}, r"leave \['hmax_unit'\] at the def"),
        (
            {"hmax": 5, "hmax_unit": "money", "action": "target_weights"},
            "hmax_unit must be left at the default 'shares', or action be 'orders'",
        ),
        ({"hmax": {"A": 1, "BB": 2}}, r"must name every ticker .*\['B'\] missing, \['BB'\] unkn"),
        ({"hmax": {"A": 1}}, r"env.hmax must name every ticker .*\['B'\] missing, \[\] unknown"),
        ({"hmax": [1, 2, 3]}, r"one for each of the 2 tickers \['A', 'B'\], got 3 numbers"),
        ({"lot_size": [1, 2, 3]}, "env.lot_size must be one number, or one for each of the 2"),
        ({"hmax": {"A": True, "B": 2}}, "hmax"),
        ({"hmax": {"A": "x", "B": 2}}, "hmax"),
    ],
)
def test_what_it_cannot_be_is_refused(env: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config({"data": {"tickers": ["A", "B"]}, "env": env})


def test_a_search_over_actions_leaves_the_unit_to_orders() -> None:
    config = parse_config({"env": {"hmax": 0.1, "hmax_unit": "account_share"}})
    weights = config_of_sample(config, {"env.action": "target_weights"}).env
    assert (weights.hmax, weights.hmax_unit) == (100, "shares")
    money = config_of_sample(config, {"env.hmax": 5e3, "env.hmax_unit": "money"}).env
    assert (money.hmax, money.hmax_unit) == (5e3, "money")


def test_it_is_said_in_its_unit() -> None:
    assert in_words(1, "shares") == "1 share"
    assert in_words(2.5, "shares") == "2.5 shares"
    assert in_words(12_500.0, "money") == "12,500 of money"
    assert in_words(0.05, "account_share") == "5 % of the account"
    assert in_words({"A": 1, "B": 30}, "shares") == "1 share to 30 shares (by ticker)"
