"""What the winner of a whole search earns, as a share of what can be earned.

    python benchmarks/learning.py [--laws strong ...] [--setups defaults ...] [--seeds 3]

Each search runs as `finrl-ray tune` runs it, on a generated market of a law whose best rule is
known (`known_markets.py`); its winner then trades fresh markets of the same law. The score is the
winner's information ratio beyond buy & hold there, over the oracle's. Setups are what `finrl-ray
new` writes, the same with FinRL's formulation, and others. A trial computes in one thread, so that
the seconds of all trials are the CPU seconds that training and evaluating took.

Seeds from 1000 on are left for those who judge a change; a change is made on seeds below.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from known_markets import (
    LAWS,
    SIGNALLED,
    KnownMarket,
    attainable,
    information_ratio,
    known_market,
)
from measuring import write_results

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.template import template_text
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.results.winner import load_winner, winners_env
from finrl_ray.search.run.runner import run_search

N_TRAIN, N_VALIDATION, N_FRESH, N_WARMUP = 2_000, 750, 800, 80
FRESH_SEED = 900_000
SETUPS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "defaults": ("learning", {}),
    "finrl": ("finrl", {}),
    "finrl_tuned": (
        "finrl",
        {
            "env": {"hmax": 1000, "random_start": True},
            "agent": {"total_timesteps": 65_536, "n_envs": 16, "normalize": "observations"},
            "evaluation": {"eval_freq": 8_192},
        },
    ),
    "raw_return": ("learning", {"env": {"reward": "log_return"}}),
    "prices_seen": (
        "learning",
        {
            "env": {"observation": "finrl", "nearest_spread": False},
            "agent": {"normalize": "observations"},
        },
    ),
    "orders": ("learning", {"env": {"action": "orders", "hmax": 1000}}),
    "weights_of_its_own_for_each_ticker": ("learning", {"agent": {"policy": "MlpPolicy"}}),
    "without_spread": ("learning", {"env": {"nearest_spread": False}}),
    "last_of_all": ("learning", {"search": {"scheduler": {"type": "fifo"}}}),
    "optuna": ("learning", {"search": {"searcher": "optuna"}}),
}
"""The style of `finrl-ray new`, and what is laid over its config, section by section."""


def search_config(setup: str, law: str, seed: int, market: KnownMarket, place: Path) -> Any:
    """Return the config of one search, over a file with the market's prices."""
    source = place / "prices.csv"
    market.frame.to_csv(source, index=False)
    style, changes = SETUPS[setup]
    raw: dict[str, Any] = yaml.safe_load(template_text(style).replace("NAME", "learning"))
    dates = market.frame["date"].to_numpy()[:: len(market.close[0])]
    last = dates[N_WARMUP + N_TRAIN]
    raw["seed"] = seed
    raw["data"]["source"] = str(source)
    if law in SIGNALLED:
        raw["data"]["features"] = ["signal"]
        raw["search"]["space"].pop("data.features", None)
    # a test window of some days, which nothing opens
    end = dates[N_WARMUP + N_TRAIN + N_VALIDATION]
    raw["split"] = {"train": [None, last], "validation": [last, end], "test": [end, None]}
    raw["search"]["storage_path"] = str(place / "runs")
    for section, values in changes.items():
        raw[section] = {**raw[section], **values}
    if raw["env"]["action"] == "orders":
        raw["search"]["space"].pop("env.trade_rate", None)  # which orders do not have
    return parse_config(raw)


def fresh_markets(law: str, seed: int, count: int) -> list[KnownMarket]:
    """Return markets of the law that no search has seen."""
    return [
        known_market(law, FRESH_SEED + 1_000 * seed + k, N_WARMUP + N_FRESH) for k in range(count)
    ]


def windows(markets: list[KnownMarket], config: ExperimentConfig) -> list[MarketData]:
    """Return the last N_FRESH rows of each market as the search's data."""
    found = [market_data_of(market.frame, config.data)[0] for market in markets]
    return [data.rows(data.n_periods - N_FRESH, data.n_periods) for data in found]


def measure(setup: str, law: str, seed: int, n_fresh: int) -> dict[str, Any]:
    """Return one row: what the winner of a search has reached on fresh markets."""
    market = known_market(law, seed, N_WARMUP + N_TRAIN + N_VALIDATION + 20)
    fresh = fresh_markets(law, seed, n_fresh)
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        config = search_config(setup, law, seed, market, Path(folder))
        began = time.monotonic()
        result = run_search(config)
        wall = time.monotonic() - began
        opened = open_folder(result.path)
        record, model, source = load_winner(opened)
        cuts = windows(fresh, config)
        benchmarks = [simple_returns(buy_and_hold(data, config.env)) for data in cuts]
        ratios, exposure = [], []
        for data, benchmark in zip(cuts, benchmarks, strict=True):
            history = evaluate_account(model, winners_env(opened, record, data, source))[0]
            ratios.append(information_ratio(simple_returns(history.account_value), benchmark))
            exposure.append(float(np.mean(1 - history.cash / history.account_value)))
        verdict = None if result.judged is None else result.judged.verdict.kind
    best = attainable(
        fresh,
        N_WARMUP,
        benchmarks,
        lag=int(config.env.fill == "next_open"),
        cost=config.env.buy_cost_pct,
    )
    reached = float(np.mean(ratios))
    return {
        "setup": setup,
        "law": law,
        "seed": seed,
        "attainable": round(best, 2),
        "reached": round(reached, 2),
        "share": round(reached / best, 3) if law != "none" else None,
        "exposure": round(float(np.mean(exposure)), 2),
        "timesteps": int(result.table["timesteps"].sum()),
        "wall_s": round(wall),
        "trial_s": round(float(result.table["time_s"].sum())),
        "verdict": verdict,
        "winner": record.index,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--laws", nargs="+", default=LAWS, choices=LAWS)
    parser.add_argument("--setups", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--seeds", type=int, default=3, help="searches of each setup and law")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--fresh", type=int, default=4, help="fresh markets per search")
    arguments = parser.parse_args()
    logging.getLogger("finrl_ray").setLevel(logging.WARNING)
    rows = []
    for law in arguments.laws:
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for setup in arguments.setups:
                rows.append(measure(setup, law, seed, arguments.fresh))
                print(setup, law, seed, rows[-1]["share"], rows[-1]["verdict"], flush=True)
    write_results("learning", rows)


if __name__ == "__main__":
    main()
