"""What networks of other sizes earn with the off-policy algorithms, on markets of known answer.

    OMP_NUM_THREADS=1 python benchmarks/network_sizes.py [--algorithms sac td3] [--seeds 5]

The formulation of `finrl-ray new` with `MlpPolicy`: one agent per algorithm, size, law and seed is
trained without a search, on one generated market, and trades three that it has not seen. `share` is
the mean information ratio beyond buy & hold there, over what the law's oracle attains
(`known_markets.py`); the sizes are the names that a search space has for them. One JSON object per
agent; `summary` rows compare each size with the algorithm's default, seed by seed.
"""

import argparse
import statistics
import time
from itertools import product
from typing import Any

import numpy as np
import torch as th
import yaml
from known_markets import SIGNALLED, attainable, information_ratio, known_market
from learning import N_TRAIN, N_WARMUP, fresh_markets, windows
from measuring import versions, write_results

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.load import parse_config
from finrl_ray.config.template import template_text
from finrl_ray.data.load import market_data_of
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.metrics.returns import simple_returns

SIZES = {"small": [64, 64], "medium": [256, 256], "big": [400, 300]}
DEFAULT_SIZE = {"sac": "medium", "td3": "big", "ddpg": "big"}
LAWS = ("strong", "medium", "momentum")
TIMESTEPS, N_ENVS = 32_768, 4
KEYWORDS: dict[str, dict[str, Any]] = {
    "sac": {"ent_coef": "auto_0.1"},
    "td3": {"action_noise": "normal"},
    "ddpg": {"action_noise": "normal"},
}
COMMON: dict[str, Any] = {
    "learning_rate": 3e-4,
    "gamma": 0.9,
    "batch_size": 128,
    "buffer_size": 50_000,
    "learning_starts": 1_000,
    "device": "cpu",
}


def config_for(law: str) -> Any:
    raw: dict[str, Any] = yaml.safe_load(template_text("learning").replace("NAME", "sizes"))
    raw["agent"] = {"policy": "MlpPolicy"}
    raw["search"]["space"] = {}
    raw["data"]["features"] = ["signal"] if law in SIGNALLED else []
    return parse_config(raw)


def measure(algorithm: str, size: str, law: str, seed: int) -> dict[str, Any]:
    """Return one row: what one agent has reached on fresh markets."""
    config = config_for(law)
    data, _ = market_data_of(known_market(law, seed, N_WARMUP + N_TRAIN).frame, config.data)
    fresh = fresh_markets(law, seed, 3)
    cuts = windows(fresh, config)
    benchmarks = [simple_returns(buy_and_hold(cut, config.env)) for cut in cuts]
    best = attainable(fresh, N_WARMUP, benchmarks, lag=0, cost=config.env.buy_cost_pct)
    scaling = fitted_scaling(config.env, data)
    env = make_vec_env(data, config.env, n_envs=N_ENVS, seed=seed, scaling=scaling)
    kwargs = {**COMMON, **KEYWORDS[algorithm], "policy_kwargs": {"net_arch": SIZES[size]}}
    model = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=seed)
    began = time.process_time()
    model.learn(TIMESTEPS)
    cpu = time.process_time() - began
    ratios = []
    for cut, benchmark in zip(cuts, benchmarks, strict=True):
        alone = make_vec_env(cut, config.env, scaling=scaling, training=False)
        (account,) = evaluate_account(model, alone)
        ratios.append(information_ratio(simple_returns(account.account_value), benchmark))
    return {
        "algorithm": algorithm,
        "size": size,
        "law": law,
        "seed": seed,
        "attainable": round(best, 2),
        "share": round(statistics.fmean(ratios) / best, 3),
        "cpu_s": round(cpu, 1),
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return, per algorithm and size, the mean share and its difference from the default's."""
    found = {(row["algorithm"], row["size"], row["law"], row["seed"]): row for row in rows}
    summaries = []
    for algorithm, size in dict.fromkeys(key[:2] for key in found):
        own = [row for key, row in found.items() if key[:2] == (algorithm, size)]
        pairs = [
            (row["share"], found[algorithm, DEFAULT_SIZE[algorithm], row["law"], row["seed"]])
            for row in own
        ]
        more = np.array([share - default["share"] for share, default in pairs])
        error = float(more.std(ddof=1) / np.sqrt(len(more))) if len(more) > 1 else float("nan")
        summaries.append(
            {
                "summary": algorithm,
                "size": size,
                "agents": len(own),
                "share": round(statistics.fmean(row["share"] for row in own), 3),
                "beyond_default": round(float(more.mean()), 3),
                "standard_error": round(error, 3),
                "cpu_s": round(statistics.median(row["cpu_s"] for row in own), 1),
            }
        )
    return summaries


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--algorithms", nargs="+", choices=list(KEYWORDS), default=["sac", "td3"])
    parser.add_argument("--laws", nargs="+", default=list(LAWS))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    th.set_num_threads(1)
    known = versions()
    rows = []
    seeds = range(1, options.seeds + 1)
    for seed, law, name in product(seeds, options.laws, options.algorithms):
        rows.extend(measure(name, size, law, seed) for size in SIZES)
        print(*rows[-len(SIZES) :], sep="\n", flush=True)
    write_results("network_sizes", [*rows, *compared(rows)], known)


if __name__ == "__main__":
    main()
