"""The options of `action: target_weights` in the form that the kernel is given."""

from finrl_ray.env.kernel.target_weights import WeightRules
from finrl_ray.env.rules import TradingRules

WIDEST_BAND = 0.03
"""Share of the account; the default band is not wider."""
BAND_OF_EQUAL_WEIGHT = 0.2
"""The default band as a share of an equal weight, so that equal weights stay within reach."""


def weight_rules(rules: TradingRules, n_assets: int) -> WeightRules:
    """Return the options for N tickers, the default of `no_trade_band` worked out."""
    band = rules.no_trade_band
    if band is None:
        band = min(WIDEST_BAND, BAND_OF_EQUAL_WEIGHT / n_assets)
    return WeightRules(
        max_weight=float(rules.max_weight),
        band=float(band),
        trade_rate=float(rules.trade_rate),
        fractional=bool(rules.fractional_shares),
    )
