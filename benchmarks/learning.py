"""What the winner of a whole search earns, as a share of what can be earned.

    python benchmarks/learning.py [--laws strong ...] [--setups defaults ...] [--seeds 10]

Each search runs as `finrl-ray tune` runs it, on a generated market of a law whose best rule is
known (`known_markets.py`); its winner then trades fresh markets of the same law. The score is the
winner's information ratio beyond buy & hold there, over the oracle's. Setups are what `finrl-ray
new` writes, the same with FinRL's formulation, and others. What would have been chosen by another
rule is read from the same searches (`search_readings.py`), and each setup and reading is compared
with the defaults seed by seed (`search_comparison.py`).

A whole measurement takes hours. Several processes may share it, each with a file of its own:

    python benchmarks/learning.py --setups defaults --first-seed 1 --seeds 5 --rows a.jsonl
    python benchmarks/learning.py --setups defaults --first-seed 6 --seeds 5 --rows b.jsonl
    python benchmarks/learning.py --laws --join a.jsonl b.jsonl

Seeds from 1000 on are left for those who judge a change; a change is made on seeds below.
"""

import argparse
import json
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from childrens_cpu import ChildrensCpu
from known_markets import LAWS, SIGNALLED, KnownMarket, attainable, known_market
from measuring import RESULTS, processor_kind, write_results
from search_comparison import as_markdown, compared
from search_readings import MEASURES, FreshTrading, choices, curves_of, winners_reading

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.template import template_text
from finrl_ray.data.load import market_data_of
from finrl_ray.data.market_data import MarketData
from finrl_ray.metrics.returns import simple_returns
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.results.table import winner
from finrl_ray.search.run.driver import driver_environment, search_session
from finrl_ray.search.run.runner import run_search

N_TRAIN, N_VALIDATION, N_FRESH, N_WARMUP = 2_000, 750, 800, 80
FRESH_SEED = 900_000
DETAILS = ("trials", "members")
"""What rows have in the files of `--rows` alone."""
SHORT_POINT = {
    "learning_rate": 0.0003,
    "one_minus_gamma": 0.01,
    "n_steps": 128,
    "batch_size": 64,
    "n_epochs": 10,
    "env.trade_rate": 1.0,
}
"""rl-zoo3's defaults of PPO, which are SB3's, with its rollout of 2,048 steps in all, of 16
accounts; in the named points it is that of each account."""
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
    "random": ("learning", {"search": {"searcher": "random"}}),
    "stop_by_appraisal": ("learning", {"evaluation": {"metric": "appraisal_ratio"}}),
    "first_points": ("learning", {"search": {"initial_points": ["finrl", "rl_zoo3"]}}),
    "first_point_short": ("learning", {"search": {"initial_points": [SHORT_POINT]}}),
    "rungs_of_three": (
        "learning",
        {"search": {"scheduler": {"type": "asha", "reduction_factor": 3}}},
    ),
    "rungs_from_a_sixteenth": (
        "learning",
        {
            "evaluation": {"eval_freq": 4_096},
            "search": {"scheduler": {"type": "asha", "grace_period": 4_096}},
        },
    ),
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
        # which orders do not have
        raw["search"]["space"].pop("env.trade_rate", None)
        raw["env"]["zero_action"] = "cash"
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
    """Return one row: what the winner of a search has reached on fresh markets, and the readings.

    `readings` has the share of each reading of the search (`search_readings.py`), `trials` each
    trial's evaluations.
    """
    market = known_market(law, seed, N_WARMUP + N_TRAIN + N_VALIDATION + 20)
    fresh = fresh_markets(law, seed, n_fresh)
    with tempfile.TemporaryDirectory(prefix="fr-") as folder:
        config = search_config(setup, law, seed, market, Path(folder))
        began = time.monotonic()
        with ChildrensCpu() as cpu:
            result = run_search(config)
        wall = time.monotonic() - began
        opened = open_folder(result.path)
        cuts = windows(fresh, config)
        benchmarks = [simple_returns(buy_and_hold(data, config.env)) for data in cuts]
        best = attainable(
            fresh,
            N_WARMUP,
            benchmarks,
            lag=int(config.env.fill == "next_open"),
            cost=config.env.buy_cost_pct,
        )
        records = opened.records().in_order()
        curves = curves_of(records, config, MEASURES)
        trading = FreshTrading(folder=opened, windows=cuts, benchmarks=benchmarks)
        chosen = choices(curves, config.search.rank_by)
        own = winners_reading(config.search)
        assert chosen[own].trials[0] == winner(records, config).index
        reached = {name: trading.reached(choice) for name, choice in chosen.items()}
        verdict = None if result.judged is None else result.judged.verdict.kind

    def share(ratio: float) -> float | None:
        return round(ratio / best, 3) if law != "none" else None

    ratio, invested = reached[own]
    return {
        "setup": setup,
        "law": law,
        "seed": seed,
        "attainable": round(best, 2),
        "reached": round(ratio, 2),
        "share": share(ratio),
        "exposure": round(invested, 2),
        "timesteps": int(result.table["timesteps"].sum()),
        "wall_s": round(wall),
        "trial_s": round(float(result.table["time_s"].sum())),
        "cpu_s": round(cpu.seconds, 1),
        "verdict": verdict,
        "winner": chosen[own].trials[0],
        "readings": {name: share(ratio) for name, (ratio, _) in reached.items()},
        "members": {name: list(choice.trials) for name, choice in chosen.items()},
        "trials": [
            {
                "trial": curve.trial,
                "whole": curve.whole,
                **{name: [round(score, 3) for score in curve.scores[name]] for name in MEASURES},
            }
            for curve in curves
        ],
    }


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file with one JSON object per line; none if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def last_of_each(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per setup, market and seed, by these: the last of those that were repeated."""
    last = {(row["setup"], row["law"], row["seed"]): row for row in rows}
    setups, laws = list(SETUPS), list(LAWS)
    order = sorted(last, key=lambda key: (setups.index(key[0]), laws.index(key[1]), key[2]))
    return [last[key] for key in order]


def without_replaced(
    earlier: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the earlier rows of searches that the new ones have not repeated, marked as such."""
    new = {(row["setup"], row["law"], row["seed"]) for row in rows}
    left = [row for row in earlier if (row["setup"], row["law"], row["seed"]) not in new]
    return [{**row, "earlier": True} for row in left]


def run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the rows asked for, those that the file has already among them.

    One Ray serves all searches: to start it anew each time takes longer than some of them.
    """
    rows = kept_rows(arguments.rows)
    done = {(row["setup"], row["law"], row["seed"]) for row in rows}
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    wanted = [
        (setup, law, seed)
        for law in arguments.laws
        for seed in seeds
        for setup in arguments.setups
        if (setup, law, seed) not in done
    ]
    if wanted:
        with driver_environment(), search_session(ExperimentConfig(), 1, None, False):
            for setup, law, seed in wanted:
                rows.append(measure(setup, law, seed, arguments.fresh))
                with arguments.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(setup, law, seed, rows[-1]["share"], rows[-1]["verdict"], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--laws", nargs="*", default=LAWS, choices=LAWS)
    parser.add_argument("--setups", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--seeds", type=int, default=10, help="searches of each setup and law")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--fresh", type=int, default=3, help="fresh markets per search")
    parser.add_argument(
        "--rows",
        type=Path,
        help="file that each finished search is appended to; searches that it has are not repeated",
    )
    parser.add_argument(
        "--join", nargs="*", type=Path, default=[], help="such files of other processes"
    )
    arguments = parser.parse_args()
    logging.getLogger("finrl_ray").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        arguments.rows = arguments.rows or Path(folder) / "rows.jsonl"
        rows = run(arguments)
    joined = [row for path in arguments.join for row in kept_rows(path)]
    rows = last_of_each([*rows, *joined])
    print(as_markdown(compared(rows)))
    kept = RESULTS / processor_kind() / "learning.json"
    earlier = json.loads(kept.read_text(encoding="utf-8"))["rows"] if kept.exists() else []
    slim = [{name: row[name] for name in row if name not in DETAILS} for row in rows]
    write_results("learning", [*slim, *without_replaced(earlier, slim)])


if __name__ == "__main__":
    main()
