"""Every option of env and agent says whether a search may choose it per trial."""

from dataclasses import Field, fields
from typing import Any

import pytest

from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig

FACTS = {
    "initial_amount",
    "borrow_rate",
    "buy_cost_pct",
    "sell_cost_pct",
    "turbulence_threshold",
    "risk_indicator_col",
    "fill",
    "fractional_shares",
    "lot_size",
    "maintenance_margin",
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
