"""Every option of env and agent says whether a search may choose it per trial."""

from dataclasses import Field, fields, replace
from typing import Any

import numpy as np
import pytest
from env_markets import random_market

from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.keyword_checks import INTEGERS, RANGES
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import DataConfig, SplitConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.evaluation import EvaluationConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.schedulers import AshaConfig, PBTConfig
from finrl_ray.config.search import SearchConfig
from finrl_ray.config.validation import CPCV, WalkForward
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

FACTS = {
    "class_",
    "initial_amount",
    "borrow_rate",
    "buy_cost_pct",
    "sell_cost_pct",
    "volume_slippage",
    "turbulence_threshold",
    "risk_indicator_col",
    "fill",
    "fractional_shares",
    "lot_size",
    "maintenance_margin",
    "type",
    "parity",
    "short",
}
"""What all trials of a search have in common; a new field of this kind is added here."""


@pytest.mark.parametrize(
    "field", [*fields(EnvConfig), *fields(AgentConfig)], ids=lambda field: field.name
)
def test_an_option_is_a_choice_of_the_designer_or_says_why_it_is_not_searched(
    field: "Field[Any]",
) -> None:
    assert ("formulation" in field.metadata) != ("not_searched" in field.metadata), (
        f"{field.name}: give the field metadata=formulation() or metadata=not_searched(reason)"
    )
    assert len(field.metadata.get("not_searched", "a reason in words")) > 10


def test_facts_of_market_and_account_are_not_searched() -> None:
    assert {f.name for f in fields(EnvConfig) if "not_searched" in f.metadata} == FACTS


def test_what_an_option_needs_is_another_option_of_its_section() -> None:
    for section in (EnvConfig, AgentConfig):
        names = {field.name for field in fields(section)}
        needed = [f.metadata.get("only_with") for f in fields(section)]
        assert {item[0] for item in needed if item} <= names


SECTIONS = {
    "env": EnvConfig(),
    "agent": AgentConfig(),
    "data": DataConfig(),
    "split": SplitConfig(),
    "evaluation": EvaluationConfig(),
    "search": SearchConfig(),
}
NUMBERS = {
    "env": [
        *("hmax", "initial_amount", "buy_cost_pct", "sell_cost_pct", "reward_scaling"),
        *("turbulence_threshold", "max_weight", "no_trade_band", "volume_slippage", "lookback"),
        *("return_horizons", "differential_sharpe_rate", "cash_penalty_proportion", "stop_loss"),
        *("profit_loss_ratio", "lot_size", "cooldown"),
    ],
    "agent": ["total_timesteps", "n_envs"],
    "data": ["max_late_rows"],
    "evaluation": ["eval_freq", "periods_per_year", "risk_free_rate", "min_evals"],
    "search": ["num_samples", "max_drawdown_limit", "cpus_per_trial", "max_failures"],
}
"""Options that are numbers; those that every new one is like."""


@pytest.mark.parametrize(
    ("section", "name"), [(s, n) for s, names in NUMBERS.items() for n in names]
)
@pytest.mark.parametrize("value", [True, False])
def test_true_is_no_number(section: str, name: str, value: bool) -> None:
    lists = name == "return_horizons"
    given: Any = [1, value] if lists else value
    with pytest.raises(ConfigError, match=f"^{name} must be a number, not true or false, got"):
        replace(SECTIONS[section], **{name: tuple(given) if lists else given})
    with pytest.raises(ConfigError, match=f"^{name} must be a number, not true or false, got"):
        replace(SECTIONS[section], **{name: np.bool_(value)})
    with pytest.raises(ConfigError, match=rf"{section}\.{name}.* must be"):
        parse_config({section: {name: given}})


def test_true_is_no_number_of_schemes_schedulers_and_seeds() -> None:
    for section, name in (
        (ExperimentConfig(), "seed"),
        (AshaConfig(), "grace_period"),
        (PBTConfig(), "resample_probability"),
        (WalkForward(), "n_windows"),
        (CPCV(), "embargo"),
    ):
        with pytest.raises(ConfigError, match=f"{name} must be a number, not true or false"):
            replace(section, **{name: True})
    with pytest.raises(ConfigError, match="hmax must be a number, not true or false"):
        EnvConfig(hmax={"A": True, "B": 2})


@pytest.mark.parametrize("name", [*INTEGERS, *RANGES])
def test_true_is_no_keyword_of_an_algorithm_that_is_a_number(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a"):
        resolve_sample({name: True}, AgentConfig(algorithm="sac"))


@pytest.mark.parametrize(
    "options",
    [
        {name: True}
        for name in (
            *(n for n in NUMBERS["env"] if n != "return_horizons"),
            "day",
        )
    ]
    + [{"return_horizons": [1, True]}, {"num_stock_shares": [True, 0, 1]}, {"hmax": [True] * 3}],
)
def test_true_is_no_number_of_an_env(options: dict[str, Any]) -> None:
    (name,) = options
    for make in (StockTradingEnv, StockTradingVecEnv):
        with pytest.raises(ConfigError, match=f"{name} must be a number.*, not true or false"):
            make(random_market(), **options)


def test_true_is_no_number_of_accounts() -> None:
    with pytest.raises(ConfigError, match="n_envs must be >= 1 and a whole number, got True"):
        StockTradingVecEnv(random_market(), True)
    env = StockTradingEnv(random_market())
    with pytest.raises(ConfigError, match="hmax must be a number, not true or false"):
        env.hmax = True
