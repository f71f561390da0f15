"""How often the forward test alarms on accounts without an edge, and how long it takes with one.

    python benchmarks/forward_test.py                 1,000 markets a law, about ten minutes of CPU
    python benchmarks/forward_test.py --markets 200   a quicker look

Every account is looked at every day, and one alarm on any day counts. `MARKETS` are the laws of the
daily returns of what is held, each around a drift of its own; `AGENTS` invest without knowing
anything; `BESIDE` earn by chance beside the market. With an edge, a given Sharpe ratio is earned
beside the market or by timing it, and the days until the alarm are counted.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import verdicts
from measuring import write_results

from finrl_ray.statistics.always_valid import LEVEL, log_evidence, place_bets

Rng = np.random.Generator
Shape = tuple[int, int]
"""Markets and days."""
Law = Callable[[Rng, Shape], np.ndarray]
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Returns of accounts, of buy & hold, and exposures, each of shape (markets, days)."""

DAYS, EDGE_DAYS = 1_500, 4_000
DRIFTS = (-1.5, 0.0, 1.5)
"""Annual Sharpe ratios of buy & hold."""
RISK, EDGE_RISK = 0.01, 0.004
"""Daily deviations of the market, and of what is earned beside it."""
YEAR = np.sqrt(252.0)


def normal(rng: Rng, shape: Shape) -> np.ndarray:
    return rng.standard_normal(shape)


def fat_tailed(rng: Rng, shape: Shape) -> np.ndarray:
    """Student's t with 3 degrees of freedom."""
    drawn: np.ndarray = rng.standard_t(3, shape) / np.sqrt(3.0)
    return drawn


def without_variance(rng: Rng, shape: Shape) -> np.ndarray:
    """Student's t with 2 degrees of freedom, whose variance is infinite."""
    return 0.5 * rng.standard_t(2, shape)


def skewed_down(rng: Rng, shape: Shape) -> np.ndarray:
    return 1.0 - rng.exponential(1.0, shape)


def skewed_up(rng: Rng, shape: Shape) -> np.ndarray:
    return rng.exponential(1.0, shape) - 1.0


def crashes(rng: Rng, shape: Shape) -> np.ndarray:
    """Normal days, of which one in a hundred loses 8 deviations more."""
    fall = (rng.random(shape) < 0.01) * rng.normal(-8.0, 3.0, shape)
    return rng.standard_normal(shape) + fall + 0.08


def jumps(rng: Rng, shape: Shape) -> np.ndarray:
    return rng.standard_normal(shape) + (rng.random(shape) < 0.01) * rng.normal(0.0, 10.0, shape)


def clustered(rng: Rng, shape: Shape, shocks: Law = normal) -> np.ndarray:
    """GARCH(1, 1) with .1 and .88."""
    drawn, variance = shocks(rng, shape), np.ones(shape[0])
    for day in range(shape[1]):
        drawn[:, day] *= np.sqrt(variance)
        variance = 0.02 + 0.1 * drawn[:, day] ** 2 + 0.88 * variance
    return drawn


def clustered_fat(rng: Rng, shape: Shape) -> np.ndarray:
    return clustered(rng, shape, fat_tailed)


def autocorrelated(rng: Rng, shape: Shape, by: float = 0.2) -> np.ndarray:
    drawn = rng.standard_normal(shape)
    for day in range(1, shape[1]):
        drawn[:, day] = by * drawn[:, day - 1] + np.sqrt(1.0 - by**2) * drawn[:, day]
    return drawn


def reverting(rng: Rng, shape: Shape) -> np.ndarray:
    return autocorrelated(rng, shape, -0.2)


def turning(rng: Rng, shape: Shape) -> np.ndarray:
    """A drift that changes once a year, by chance; what is named a drift comes on top."""
    drift = in_spells(rng, shape, 1.0 / 252.0, lambda one, of: one.normal(0.0, 1.5, of))
    drawn: np.ndarray = rng.standard_normal(shape) + drift / YEAR
    return drawn


MARKETS: dict[str, Law] = {
    "normal": normal,
    "fat-tailed": fat_tailed,
    "without a variance": without_variance,
    "skewed down": skewed_down,
    "skewed up": skewed_up,
    "crashes": crashes,
    "jumps": jumps,
    "clustered": clustered,
    "clustered, fat-tailed": clustered_fat,
    "autocorrelated": autocorrelated,
    "reverting": reverting,
    "turning": turning,
}


def in_spells(rng: Rng, shape: Shape, turns: float, values: Law) -> np.ndarray:
    """Return values that are drawn again with a probability of `turns` a day."""
    drawn = values(rng, shape)
    spell = np.cumsum(rng.random(shape) < turns, axis=1)
    return np.take_along_axis(drawn, np.minimum(spell, shape[1] - 1), axis=1)


def shares_and_cash(held: np.ndarray, part: float = 0.5) -> np.ndarray:
    """Return the exposure of an account that buys shares with a part of its cash and keeps them."""
    shares: np.ndarray = part * np.cumprod(1.0 + held, axis=1) / (1.0 + held)
    return shares / (shares + 1.0 - part)


Agent = Callable[[Rng, np.ndarray], np.ndarray]
AGENTS: dict[str, Agent] = {
    "uniform": lambda rng, held: rng.random(held.shape),
    "in on 30 % of days": lambda rng, held: (rng.random(held.shape) < 0.3) * 1.0,
    "long and short": lambda rng, held: rng.choice([-1.0, 1.0], held.shape),
    "spells of 20 days": lambda rng, held: in_spells(
        rng, held.shape, 0.05, lambda one, of: (one.random(of) < 0.5) * 1.0
    ),
    "spells of 100 days": lambda rng, held: in_spells(
        rng, held.shape, 0.01, lambda one, of: one.random(of)
    ),
    "half in shares": lambda rng, held: shares_and_cash(held),
    "half, kept so": lambda rng, held: np.full(held.shape, 0.5),
    "more and more": lambda rng, held: (
        rng.random((len(held), 1)) * np.linspace(0.2, 1, held[0].size)
    ),
    "after yesterday": lambda rng, held: np.roll(held > 0.0, 1, axis=1) * 1.0,
}
SKILLED_IN = {("after yesterday", "autocorrelated")}
"""Where to follow yesterday's return is a skill."""
BESIDE: dict[str, Law] = {
    "normal": normal,
    "fat-tailed": fat_tailed,
    "skewed down": skewed_down,
    "clustered": clustered,
    "autocorrelated": autocorrelated,
    "reverting": reverting,
}


def first_alarms(drawn: Drawn, level: float = LEVEL) -> np.ndarray:
    """Return the day of each market's first alarm, infinite without one."""
    own, held, exposure = drawn
    reached = log_evidence(place_bets(own, held, exposure=exposure)) >= -np.log(level)
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def market(law: Law, rng: Rng, shape: Shape, drift: float) -> np.ndarray:
    held: np.ndarray = np.maximum(RISK * (law(rng, shape) + drift / YEAR), -0.9)
    return held


def of_agent(law: Law, agent: Agent, rng: Rng, shape: Shape, drift: float) -> Drawn:
    held = market(law, rng, shape, drift)
    exposure = agent(rng, held)
    return exposure * held, held, exposure


def of_beside(law: Law, beside: Law, rng: Rng, shape: Shape, drift: float) -> Drawn:
    held = market(law, rng, shape, drift)
    return 0.7 * held + EDGE_RISK * beside(rng, shape), held, np.full(shape, 0.7)


def of_policies(rng: Rng, shape: Shape, drift: float) -> Drawn:
    """Agents of all sorts that trade several tickers at costs, as `verdicts.py` has them."""
    kept: list[tuple[np.ndarray, ...]] = []
    while len(kept) < shape[0]:
        returns = verdicts.market(rng, shape[1], drift=drift)
        held = verdicts.held_returns(returns)
        weights = verdicts.policies(rng, returns, 20)
        own = verdicts.account_returns(weights, returns)
        exposure = weights.sum(axis=2)
        kept += [(one, held, share) for one, share in zip(own, exposure, strict=True)]
    own, held, exposure = (np.stack(part) for part in zip(*kept[: shape[0]], strict=True))
    return own, held, exposure


def edge_beside(rng: Rng, shape: Shape, ratio: float, law: Law = normal) -> Drawn:
    held = market(normal, rng, shape, 0.5)
    edge = EDGE_RISK * (law(rng, shape) + ratio / YEAR)
    return 0.7 * held + edge, held, np.full(shape, 0.7)


def edge_fat(rng: Rng, shape: Shape, ratio: float) -> Drawn:
    return edge_beside(rng, shape, ratio, fat_tailed)


def edge_timing(rng: Rng, shape: Shape, ratio: float) -> Drawn:
    """Invested on the half of the days whose mean is the higher one."""
    invested = (rng.random(shape) < 0.5) * 1.0
    held = RISK * (rng.standard_normal(shape) + ratio / YEAR * (2.0 * invested - 1.0))
    return invested * held, held, invested


EDGES = {"beside the market": edge_beside, "beside it, fat-tailed": edge_fat, "timing": edge_timing}


def false_alarms(
    n_markets: int, days: int, drifts: Sequence[float] = DRIFTS
) -> list[dict[str, Any]]:
    """Return one row per law, agent and drift."""
    rows: list[dict[str, Any]] = []
    shape = (n_markets, days)

    def keep(market_law: str, account: str, drift: float, drawn: Drawn) -> None:
        rate = float(np.isfinite(first_alarms(drawn)).mean())
        about = {"market": market_law, "account": account, "drift": drift, "days": days}
        rows.append({**about, "markets": n_markets, "alarms": rate})

    for drift in drifts:
        seed = DRIFTS.index(drift)
        for number, (name, law) in enumerate(MARKETS.items()):
            rng = np.random.default_rng([seed, number])
            for kind, agent in AGENTS.items():
                if (kind, name) not in SKILLED_IN:
                    keep(name, kind, drift, of_agent(law, agent, rng, shape, drift))
        for number, (name, law) in enumerate(BESIDE.items()):
            rng = np.random.default_rng([seed, number, 1])
            keep("normal", f"beside: {name}", drift, of_beside(normal, law, rng, shape, drift))
        rng = np.random.default_rng([seed, 2])
        keep("generated", "verdicts.py", drift, of_policies(rng, shape, drift * RISK / YEAR))
    return rows


def days_to_alarm(n_markets: int) -> list[dict[str, Any]]:
    rows = []
    for name, edge in EDGES.items():
        for ratio in (1.0, 2.0, 3.0):
            rng = np.random.default_rng([3, int(ratio)])
            found = first_alarms(edge(rng, (n_markets, EDGE_DAYS), ratio))
            median = float(np.median(found))
            rows.append(
                {
                    "edge": name,
                    "ratio": ratio,
                    "markets": n_markets,
                    "median_days": median if np.isfinite(median) else None,
                    **{
                        f"within_{years}_years": float((found <= 252 * years).mean())
                        for years in (1, 2, 4, 8)
                    },
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markets", type=int, default=1_000, help="markets of each law")
    parser.add_argument("--days", type=int, default=DAYS, help="days of each without an edge")
    arguments = parser.parse_args()
    alarms = false_alarms(arguments.markets, arguments.days)
    table = pd.DataFrame(alarms)
    print(table.pivot_table(index=["market", "account"], columns="drift", values="alarms"))
    over = table[table["alarms"] > LEVEL]
    print(over.to_string(index=False) if len(over) else f"no law is above {LEVEL:.0%}")
    power = days_to_alarm(arguments.markets)
    print(pd.DataFrame(power).to_string(index=False))
    write_results("forward_test", [*alarms, *power])


if __name__ == "__main__":
    main()
