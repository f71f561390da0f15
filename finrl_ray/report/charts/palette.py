"""The colours of the figures: one per role, readable on white and on near-black."""

from collections.abc import Mapping
from typing import Literal

Role = Literal["winner", "held", "other", "trial", "good", "bad", "stopped", "luck", "plain"]
"""What a mark of a figure stands for, by which it is coloured."""

COLOURS: Mapping[Role, str] = {
    "winner": "#2f81d6",
    "held": "#d98b00",
    "other": "#8a8f98",
    "trial": "#7d97b3",
    "good": "#1f9d6b",
    "bad": "#d4483b",
    "stopped": "#a0a4ab",
    "luck": "#b0559f",
    "plain": "#4c78a8",
}
# Okabe and Ito (2008), Color Universal Design, the dark ones a little lighter; then, so that none
# comes twice in a figure, some of Tol's (2021) muted scheme
CYCLE = (
    *("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#b5a800", "#7f7f7f"),
    *("#aa4499", "#44aa99", "#a0522d", "#6a5acd"),
)
"""For marks that stand for one of several equal things, such as tickers."""
WORTH = ("#c8ccd2", "#a9b8c9", "#84a3c4", "#5b8dc0", "#2f78bd", "#0f62b0", "#0a4b8c")
"""From the worst to the best."""
DIVERGING = ("#c2452d", "#e9a58f", "#f1efec", "#8fb8de", "#1f6fb5")
"""From negative over zero to positive."""


def cycled(position: int) -> str:
    """Return the colour of the n-th of several equal things."""
    return CYCLE[position % len(CYCLE)]


def layer_colour(name: str, position: int, *, rest: str) -> str:
    """Return the colour of one layer of stacked areas; grey for the layer named `rest`."""
    return "#b9bec6" if name == rest else cycled(position)
