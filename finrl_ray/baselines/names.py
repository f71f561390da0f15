"""What the baselines are called."""

from collections.abc import Mapping

BUY_AND_HOLD = "buy_and_hold"
LABELS: Mapping[str, str] = {
    "agent": "agent",
    BUY_AND_HOLD: "buy & hold",
    "equal_weight": "equal weight, daily",
    "minimum_variance": "minimum variance",
    "hrp": "risk parity (HRP)",
    "random_policy": "random policy (median)",
    "cash": "cash",
    "index": "index, without costs",
}
"""What a baseline is called for people."""
