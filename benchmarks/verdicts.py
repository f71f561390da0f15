"""How often a search without skill is given a verdict of skill, and how often skill is found.

    python benchmarks/verdicts.py                    surrogate searches, minutes
    python benchmarks/verdicts.py --real 20          also whole searches with real training

A surrogate search is a search whose training is replaced by a draw: N agents with a policy each on
a market of `generated_market("noise")`, which trade at costs, are stopped by successive halving on
their Sharpe ratios so far, and leave the returns of the whole window. The winner is the one with
the best raw Sharpe ratio, as in a search; the verdict is the product's own, on active returns. With
skill, one agent earns an annual Sharpe ratio of its own on top.

A real search is `run_search` on a market from a seed of its own.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
from measuring import write_results

from finrl_ray.config.load import parse_config
from finrl_ray.data.load import market_data_of
from finrl_ray.data.sources.generated import generated_market
from finrl_ray.search.run.runner import run_search
from finrl_ray.statistics.verdict import EVIDENCE, NONE, judge

COST = 0.001
ASKED = {"evidence": 0.01, "weak or better": 0.15}
CELLS = ((252, 20), (252, 100), (504, 20), (504, 100))


def policies(rng: np.random.Generator, returns: np.ndarray, n_agents: int) -> np.ndarray:
    """Return the weights of N agents, of shape (N, T, assets): what each holds over each day.

    Some hold fixed weights, some follow or fade recent returns by chance coefficients, some change
    their minds at random, and some only hold cash: the sorts of policies that untrained and badly
    trained agents have.
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
        weights[agent] = raw / np.maximum(total, 1.0)
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


def sharpe(returns: np.ndarray) -> np.ndarray:
    spread = returns.std(axis=-1, ddof=1)
    return np.divide(returns.mean(axis=-1), spread, out=np.zeros_like(spread), where=spread > 0)


def surrogate_search(seed: int, t: int, n_agents: int, skill: float = 0.0) -> str:
    """Return the verdict on one search; `skill` is the annual Sharpe ratio of one agent's edge."""
    frame = generated_market("noise", seed=seed, n_days=t + 1)
    close = frame.pivot_table(index="date", columns="tic", values="close").to_numpy()
    returns = close[1:] / close[:-1] - 1.0
    rng = np.random.default_rng([seed, n_agents])
    own = account_returns(policies(rng, returns, n_agents), returns)
    held = held_returns(returns)
    if skill:
        # an edge of its own beside buy & hold
        edge = rng.normal(skill / np.sqrt(252), 1.0, t) * 0.006
        own[0] = held + edge
    # successive halving: who is behind after each quarter of the window is stopped; as in a search
    # the returns of stopped trials count, and one of them cannot win
    alive = np.arange(n_agents)
    for share in (0.25, 0.5):
        seen = sharpe(own[alive, : int(t * share)])
        alive = alive[np.argsort(-seen, kind="stable")[: max(2, len(alive) // 2)]]
    if skill and 0 not in alive:
        alive = np.append(alive, 0)
    winner = int(alive[np.argmax(sharpe(own[alive]))])
    active = (own - held).T
    return judge(active, winner, n_trials=n_agents, seed=seed).kind


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=300, help="surrogate searches per cell")
    parser.add_argument("--real", type=int, default=0, help="whole searches on noise")
    arguments = parser.parse_args()
    rows = []
    for t, n in CELLS:
        for skill in (0.0, 3.0, 5.0):
            kinds = [surrogate_search(s, t, n, skill) for s in range(arguments.searches)]
            row = {"days": t, "trials": n, "skill": skill, "searches": len(kinds), **rates(kinds)}
            rows.append(row)
            print(f"T {t}, N {n}, skill {skill:g}: {rates(kinds)}", flush=True)
    real = []
    if arguments.real:
        ray.init(include_dashboard=False, log_to_driver=False)
        with tempfile.TemporaryDirectory() as home:
            for seed in range(arguments.real):
                real.append(real_search(seed, Path(home)))
                print(f"real search {seed}: {real[-1]}", flush=True)
        ray.shutdown()
    table = pd.DataFrame(rows)
    noise = table[table["skill"] == 0.0]
    worst = {name: float(noise[name].max()) for name in ASKED}
    print(table.to_string(index=False))
    for name, most in ASKED.items():
        print(f"on noise, {name}: at most {worst[name]:.3f} of searches (asked: {most})")
    if real:
        rows.append({"real_searches_on_noise": len(real), **rates(real)})
    write_results("verdicts", rows)


if __name__ == "__main__":
    main()
