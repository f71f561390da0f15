"""How often a search without skill is given a verdict of skill, and how often skill is found.

    python benchmarks/verdicts.py                    surrogate searches, about ten minutes of CPU
    python benchmarks/verdicts.py --real 20          also whole searches with real training

A surrogate search is a search whose training is replaced by a draw: N agents that trade at costs
or have returns of a law of their own. The winner is the one with the best damped appraisal ratio,
as in a search; the verdict is the product's own, on residual returns. `LAWS` are those without
skill; with skill, one agent or half of them earn an appraisal ratio of their own.

A real search is `run_search` on a market from a seed of its own.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
from measuring import write_results

from finrl_ray.config.load import parse_config
from finrl_ray.data.load import market_data_of
from finrl_ray.data.sources.generated import generated_market
from finrl_ray.metrics.beside_benchmark import appraisal_ratio, residual_returns
from finrl_ray.search.run.runner import run_search
from finrl_ray.statistics.verdict import EVIDENCE, NONE, Verdict, judge

COST = 0.001
MOST = {"evidence": 0.01, "weak or better": 0.06}
"""What searches without skill may come to."""
LEAST = {"at 20 % exposure": 0.55, "fully invested": 0.65, "half of the trials": 0.95}
"""Share of searches that must be `evidence`, by where the skill is."""
SKILL = 3.0
"""Annual appraisal ratio of skilled agents."""
EDGE_RISK = 0.006
"""Daily deviation of what a skilled agent earns beside the market, fully invested."""
DAYS, TRIALS = 504, 20

Drawn = tuple[np.ndarray, np.ndarray]
"""Daily returns of N agents, of shape (N, T), and of buy & hold, of shape (T,)."""
Law = Callable[[np.random.Generator, int, int], Drawn]


def policies(
    rng: np.random.Generator, returns: np.ndarray, n_agents: int, most: float = 1.0
) -> np.ndarray:
    """Return the weights of N agents, of shape (N, T, assets): what each holds over each day.

    Some hold fixed weights, some follow or fade recent returns by chance coefficients, some change
    their minds at random, and some only hold cash: the sorts of policies that untrained and badly
    trained agents have. None is invested by more than `most`.
    """
    t, assets = returns.shape
    recent = np.zeros((t, assets))
    for lag in range(1, 6):
        recent[lag:] += returns[:-lag]
    weights = np.empty((n_agents, t, assets))
    for agent in range(n_agents):
        base = rng.dirichlet(np.ones(assets)) * rng.uniform(0, 1)
        slope = rng.normal(0, 10) * (rng.random() < 0.5)
        wander = np.cumsum(rng.normal(0, 0.02, (t, assets)), axis=0) * (rng.random() < 0.5)
        raw = np.clip(base + slope * recent + wander, 0.0, None)
        total = raw.sum(axis=1, keepdims=True)
        weights[agent] = most * raw / np.maximum(total, 1.0)
    return weights


def account_returns(weights: np.ndarray, returns: np.ndarray) -> np.ndarray:
    """Return the daily returns of weights at costs, of shape (N, T)."""
    gross = (weights * returns).sum(axis=2)
    traded = np.abs(np.diff(weights, axis=1, prepend=0.0)).sum(axis=2)
    return gross - COST * traded


def held_returns(returns: np.ndarray) -> np.ndarray:
    """Return the daily returns of drifting equal weights, bought at costs."""
    growth = np.cumprod(1.0 + returns, axis=0).mean(axis=1) * (1.0 - COST)
    return growth / np.concatenate([[1.0], growth[:-1]]) - 1.0


def market(rng: np.random.Generator, t: int, drift: float = 0.0) -> np.ndarray:
    """Return the daily returns of the tickers of a generated market, of shape (T, assets)."""
    frame = generated_market("noise", seed=int(rng.integers(2**31)), n_days=t + 1)
    close = frame.pivot_table(index="date", columns="tic", values="close").to_numpy()
    returns = close[1:] / close[:-1] - 1.0
    # a ticker falls as its part in the market says: else to hold one and not another is a skill
    mean = returns.mean(axis=1)
    betas = (returns * (mean - mean.mean())[:, np.newaxis]).mean(axis=0) / mean.var()
    result: np.ndarray = returns + drift * betas
    return result


def trading(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Agents of all sorts that trade at costs."""
    returns = market(rng, t)
    return account_returns(policies(rng, returns, n), returns), held_returns(returns)


def falling(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """A market that loses a third a year, and agents of which most hold little."""
    returns = market(rng, t, drift=-0.4 / 252)
    most = rng.choice([0.02, 0.1, 0.3, 1.0], n)
    own = [account_returns(policies(rng, returns, 1, share), returns)[0] for share in most]
    return np.stack(own), held_returns(returns)


def little_exposure(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """A market that loses 30 % a year, agents invested by 1 to 100 %, a fifth of them in cash."""
    held = rng.normal(-0.3 / 252, 0.012, t)
    invested = 10.0 ** rng.uniform(-2.0, 0.0, (n, 1)) * (rng.random((n, 1)) < 0.8)
    return invested * (held + EDGE_RISK * rng.standard_normal((n, t))), held


def fifth_invested(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Agents of which a fifth is invested, each in other shares of the market."""
    held = rng.normal(0.0003, 0.01, t)
    return 0.2 * (held + EDGE_RISK * rng.standard_normal((n, t))), held


def in_and_out(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Agents that hold a falling market in spells and are in cash between them, by chance."""
    held = rng.normal(-0.3 / 252, 0.012, t)
    turns = rng.random((n, t)) < 1.0 / rng.uniform(5.0, 60.0, (n, 1))
    return (np.cumsum(turns, axis=1) % 2) * held, held


def _beside(rng: np.random.Generator, held: np.ndarray, noise: np.ndarray) -> Drawn:
    """Agents with a share of the market each, and returns beside it."""
    share = rng.uniform(0.0, 1.2, (len(noise), 1))
    scale = rng.choice([0.0005, 0.002, 0.006], (len(noise), 1))
    return share * held + scale * noise, held


def independent(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Independent normal returns, in the market and beside it."""
    return _beside(rng, rng.normal(0.0003, 0.01, t), rng.standard_normal((n, t)))


def autocorrelated(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Returns beside the market that follow an AR(1) process with coefficient 0.2."""
    noise = rng.standard_normal((n, t))
    for day in range(1, t):
        noise[:, day] = 0.2 * noise[:, day - 1] + np.sqrt(1 - 0.04) * noise[:, day]
    return _beside(rng, rng.normal(0.0003, 0.01, t), noise)


def fat_tailed(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Student's t with 3 degrees of freedom, in the market and beside it."""
    held = 0.0003 + 0.006 * rng.standard_t(3, t)
    return _beside(rng, np.maximum(held, -0.5), rng.standard_t(3, (n, t)) / np.sqrt(3.0))


def clustered(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Volatility that comes in clusters, GARCH(1, 1) with .1 and .88, one for all returns."""
    shocks, variance = rng.standard_normal((n + 1, t)), 1.0
    for day in range(t):
        shocks[:, day] *= np.sqrt(variance)
        variance = 0.02 + 0.1 * shocks[0, day] ** 2 + 0.88 * variance
    return _beside(rng, 0.0003 + 0.01 * shocks[0], shocks[1:])


def missing_days(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Accounts that stand still on a fifth of the days, and on a run of fifty of them."""
    own, held = independent(rng, t, n)
    still = rng.random((n, t)) < 0.2
    for agent, first in enumerate(rng.integers(0, t - 50, n)):
        still[agent, first : first + 50] = True
    return np.where(still, 0.0, own), held


def alike(rng: np.random.Generator, t: int, n: int) -> Drawn:
    """Trials in five groups within which they hardly differ."""
    groups = rng.standard_normal((5, t))[rng.integers(0, 5, n)]
    noise = np.sqrt(0.95) * groups + np.sqrt(0.05) * rng.standard_normal((n, t))
    return _beside(rng, rng.normal(0.0003, 0.01, t), noise)


LAWS: dict[str, Law] = {
    "independent": independent,
    "trading": trading,
    "falling": falling,
    "little exposure": little_exposure,
    "a fifth invested": fifth_invested,
    "in and out": in_and_out,
    "autocorrelated": autocorrelated,
    "fat-tailed": fat_tailed,
    "clustered": clustered,
    "missing days": missing_days,
    "alike": alike,
}


def with_skill(exposure: float, share: float) -> Law:
    """Return the law of trading agents of which a share, one at least, have skill."""

    def drawn(rng: np.random.Generator, t: int, n: int) -> Drawn:
        own, held = trading(rng, t, n)
        skilled = max(1, round(share * n))
        edge = rng.normal(SKILL / np.sqrt(252), 1.0, (skilled, t)) * EDGE_RISK
        own[:skilled] = exposure * (held + edge)
        return own, held

    return drawn


SKILLED: dict[str, Law] = {
    "at 20 % exposure": with_skill(0.2, 0.0),
    "fully invested": with_skill(1.0, 0.0),
    "half of the trials": with_skill(1.0, 0.5),
}


def surrogate_search(law: Law, seed: int, t: int, n_agents: int) -> Verdict:
    """Return the verdict on one search."""
    own, held = law(np.random.default_rng([seed, t, n_agents]), t, n_agents)
    ranked = np.array([appraisal_ratio(one, held) for one in own])
    winner = int(np.nanargmax(ranked))
    residual = np.column_stack([residual_returns(one, held) for one in own])
    return judge(residual, winner, n_trials=n_agents, seed=seed)


def rates(kinds: list[str]) -> dict[str, float]:
    return {
        "evidence": float(np.mean([kind == EVIDENCE for kind in kinds])),
        "weak or better": float(np.mean([kind != NONE for kind in kinds])),
    }


REAL: dict[str, Any] = {
    "name": "verdict",
    "data": {"features": ["macd", "rsi_30"]},
    "env": {"fill": "next_open", "hmax": 1000, "random_start": True},
    "agent": {"algorithm": "ppo", "total_timesteps": 8192, "n_envs": 8, "normalize": True},
    "evaluation": {"eval_freq": 2048},
    "search": {
        "num_samples": 20,
        "scheduler": {"type": "asha"},
        "space": {
            "n_steps": {"choice": [64, 128]},
            "batch_size": {"choice": [128, 256]},
            "n_epochs": {"choice": [2, 5]},
            "net_arch": {"choice": ["tiny", "small"]},
        },
    },
}


def real_search(seed: int, home: Path) -> str:
    """Return the verdict on a whole search, trained and scheduled by Ray."""
    raw = {**REAL, "seed": seed, "search": {**REAL["search"], "storage_path": str(home)}}
    config = parse_config(raw)
    frame = generated_market("noise", seed=1_000 + seed, n_days=1_500)
    market_data, _ = market_data_of(frame, config.data)
    judged = run_search(config, market_data=market_data).judged
    assert judged is not None
    return judged.verdict.kind


def cells() -> list[tuple[str, Law, int, int]]:
    """Return what is searched: name, law, days and trials."""
    sizes = [(DAYS, TRIALS), (252, TRIALS)]
    found = [(name, law, t, n) for t, n in sizes for name, law in LAWS.items()]
    many = ("independent", "falling", "little exposure", "autocorrelated", "alike")
    found += [(name, LAWS[name], DAYS, 100) for name in many]
    found += [(name, law, DAYS, TRIALS) for name, law in SKILLED.items()]
    return [*found, ("fully invested", SKILLED["fully invested"], DAYS, 100)]


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """Return in words which bounds do not hold."""
    found = []
    for row in rows:
        if row["law"] in SKILLED:
            # the bounds are for 20 trials
            if row["trials"] == TRIALS and row["evidence"] < LEAST[row["law"]]:
                found.append(f"{row['law']}: evidence in {row['evidence']:.1%}")
        else:
            where = f"{row['law']}, {row['days']} days, {row['trials']} trials"
            found += [
                f"{where}: {name} in {row[name]:.1%}"
                for name, most in MOST.items()
                if row[name] > most
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=200, help="surrogate searches per cell")
    parser.add_argument("--real", type=int, default=0, help="whole searches on noise")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, law, t, n in cells():
        kinds = [surrogate_search(law, seed, t, n).kind for seed in range(arguments.searches)]
        row = {"law": name, "days": t, "trials": n, "searches": len(kinds), **rates(kinds)}
        rows.append(row)
        print(f"{name}, T {t}, N {n}: {rates(kinds)}", flush=True)
    real = []
    if arguments.real:
        ray.init(include_dashboard=False, log_to_driver=False)
        with tempfile.TemporaryDirectory() as home:
            for seed in range(arguments.real):
                real.append(real_search(seed, Path(home)))
                print(f"real search {seed}: {real[-1]}", flush=True)
        ray.shutdown()
    print(pd.DataFrame(rows).to_string(index=False))
    print("; ".join(missed(rows)) or "every bound holds")
    if real:
        rows.append({"real_searches_on_noise": len(real), **rates(real)})
    write_results("verdicts", rows)


if __name__ == "__main__":
    main()
