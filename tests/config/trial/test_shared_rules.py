"""Which options of the account must be the same for trials that act together."""

import pytest

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.trial.shared_rules import other_rules

WEIGHTS = EnvConfig(action="target_weights")


@pytest.mark.parametrize(
    "options",
    [
        {"trade_rate": 0.3},
        {"max_weight": 0.2},
        {"no_trade_band": 0.1},
        {"observation": "stationary", "lookback": 5, "nearest_spread": True},
        {"observation_scaling": "train"},
        {"reward": "active", "random_start": True, "cash_penalty_proportion": 0.1},
        {"hmax": 5},
    ],
)
def test_what_an_agent_sees_wants_and_is_paid_is_its_own(options) -> None:
    assert other_rules(WEIGHTS, EnvConfig(action="target_weights", **options)) == []


def test_what_happens_to_the_account_is_not() -> None:
    other = EnvConfig(action="target_weights", stop_loss=0.9, profit_loss_ratio=2.0, cooldown=3)
    assert other_rules(WEIGHTS, other) == [
        "env.stop_loss 0.9 and not None",
        "env.profit_loss_ratio 2.0 and not None",
        "env.cooldown 3 and not 0",
    ]
    assert other_rules(WEIGHTS, EnvConfig()) == ["env.action orders and not target_weights"]


def test_orders_must_be_of_one_size() -> None:
    assert other_rules(EnvConfig(), EnvConfig(hmax=5)) == ["env.hmax 5 and not 100"]
