"""The tables of docs/performance.md and docs/scaling.md, of `benchmarks/results/KIND/NAME.json`.

    python benchmarks/tables.py            # writes them into the pages
    python benchmarks/tables.py --check    # says which page is not what was measured

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->`, and has a column, or a
row, for each kind of processor that the benchmark has run on.
"""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
PAGES = ("docs/performance.md", "docs/scaling.md")
KINDS = {"intel": "Intel", "amd": "AMD", "arm": "ARM"}
BLOCK = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)

Cell = Callable[[dict[str, Any]], str]
Rows = list[dict[str, Any]]
Measured = Mapping[str, Rows]
"""Rows by the kind of processor."""


def measured(name: str) -> dict[str, Rows]:
    """Return the rows of a benchmark by kind of processor, each with its `versions`."""
    found = {}
    for kind in KINDS:
        path = RESULTS / kind / f"{name}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            found[kind] = [{"versions": kept["versions"], **row} for row in kept["rows"]]
    return found


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *lines))


def written_by(rows: Measured) -> str:
    """Return a line that says what each kind is: processor, day, and whether it was busy."""
    told = []
    for kind, of_kind in rows.items():
        days = sorted({row["versions"]["measured"][:10] for row in of_kind})
        processor = re.sub(r"\([RT]M?\)|Processor", "", of_kind[-1]["versions"]["cpu"])
        load = max(row["versions"].get("load_before", 0.0) for row in of_kind)
        busy = f", while other programs ran (load {load:.0f})" if load > 1 else ""
        days = days[:1] + days[1:][-1:]
        told.append(f"{KINDS[kind]}: {' '.join(processor.split())}, {' to '.join(days)}{busy}")
    return f"\n{'; '.join(told)}.\n"


def median(cell: Any) -> float:
    return float(cell["median"] if isinstance(cell, Mapping) else cell)


def three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def by_kind(rows: Measured, key: Callable[[dict[str, Any]], Any]) -> dict[Any, dict[str, Any]]:
    """Return rows by what they are about, and by kind of processor."""
    found: dict[Any, dict[str, Any]] = {}
    for kind, of_kind in rows.items():
        for row in of_kind:
            found.setdefault(key(row), {})[kind] = row
    return found


def cells(of: Mapping[str, Any], kinds: Iterable[str], cell: Callable[[Any], str]) -> list[str]:
    return [cell(of[kind]) if kind in of else "" for kind in kinds]


def compared(
    rows: Measured,
    about: Callable[[dict[str, Any]], tuple[str, ...] | str | None],
    first: Sequence[str],
    columns: Mapping[str, Cell],
) -> str:
    """Return a table with one line per case and, for each measure, a column per kind."""
    if not rows:
        return "Not measured yet.\n"
    kinds = list(rows)
    head = [*first, *(f"{name}, {KINDS[kind]}" for name in columns for kind in kinds)]
    lines = [
        [
            *(case if isinstance(case, tuple) else (case,)),
            *(text for cell in columns.values() for text in cells(of, kinds, cell)),
        ]
        for case, of in by_kind(rows, about).items()
        if case is not None
    ]
    return markdown(head, lines) + written_by(rows)


def speed(name: str) -> Cell:
    return lambda row: f"{median(row['steps_per_cpu_s'][name]):,.0f}"


def ours_over_free(row: dict[str, Any]) -> str:
    if "finrl_ray_vs_sb3_free" in row:
        return f"{median(row['finrl_ray_vs_sb3_free']):.2f}"
    speeds = row["steps_per_cpu_s"]
    return f"{median(speeds['finrl_ray']) / median(speeds['sb3_free']):.2f}"


def training() -> str:
    columns = {
        "FinRL + SB3": speed("finrl"),
        "SB3, free env": speed("sb3_free"),
        "ours, our env": speed("finrl_ray"),
    }
    return compared(
        measured("training"), lambda row: row["algorithm"], ["steps per CPU second"], columns
    )


def training_ratios() -> str:
    columns = {
        "FinRL + SB3": lambda row: f"{median(row['vs_finrl']):.1f}",
        "SB3, free env": ours_over_free,
        "both with the free env": lambda row: f"{median(row['fused_vs_sb3_free']):.2f}",
    }
    return compared(
        measured("training"), lambda row: row["algorithm"], ["times faster than"], columns
    )


def earlier() -> str:
    columns = {"times": lambda row: f"{median(row['times']):.2f}"}
    rows = measured("against_checkout")
    return compared(rows, lambda row: (row["algorithm"], row["earlier"]), ["", "commit"], columns)


def evaluation() -> str:
    def case(row: dict[str, Any]) -> str:
        policy = "" if row["policy"] == "MlpPolicy" else f", `{row['policy']}`"
        return f"{row['algorithm']}{policy}, {row['days']:,} days"

    def us(name: str) -> Cell:
        return lambda row: three_digits(median(row[f"{name}_us_per_day"]))

    columns = {
        "evaluation": us("evaluation"),
        "`DRL_prediction`": us("DRL_prediction"),
        "SB3's loop": us("sb3"),
        "times": lambda row: f"{median(row['evaluation_ratio']):.1f}",
    }
    return compared(measured("evaluation"), case, ["us per day"], columns)


WHOLE = {
    "finrl": "FinRL 0.3.7, `tune_sb3` as it is",
    "finrl_one_thread": "the same with one torch thread",
    "ray": "a plain Ray Tune script with FinRL's env and SB3",
    "zoo": "rl-zoo3, two processes",
    "finrl_ray": "`finrl-ray tune`, every trial to its end",
    "finrl_ray_asha": "`finrl-ray tune` with ASHA",
}


def whole_search() -> str:
    rows = measured("whole_search")

    def ratio(peer: str) -> Cell:
        return lambda row: f"{row[f'vs_{peer}']:.1f}" if f"vs_{peer}" in row else ""

    columns: dict[str, Cell] = {
        "seconds": lambda row: f"{row['seconds']:,.0f}{' (scaled up)' if was_scaled(row) else ''}",
        "times FinRL": ratio("finrl"),
        "times one thread": ratio("finrl_one_thread"),
        "best Sharpe": lambda row: f"{row['best_sharpe']:.2f}" if "best_sharpe" in row else "",
    }
    return compared(rows, lambda row: WHOLE[row["tool"]], ["tool"], columns)


def was_scaled(row: dict[str, Any]) -> bool:
    """Return whether a peer ran shorter trials, whose seconds stand for longer ones."""
    return float(row.get("measured_seconds", row["seconds"])) < 0.9 * float(row["seconds"])


ENV_CASES = {
    "single": "1 (`StockTradingEnv`)",
    "vec_1": "1 (vec env)",
    "vec_16": "16",
    "vec_64": "64",
    "vec_64_3000_days": "64, 3,000 days",
    "vec_256": "256",
    "vec_4096": "4,096",
    "vec_64_parity": "64, FinRL's quirks (`parity`)",
    "vec_64_500_stocks": "64, 500 stocks",
    "finrl_335": "FinRL's env",
    "finrl_3000": "FinRL's env, 3,000 days",
}


def env() -> str:
    columns: dict[str, Cell] = {
        "us per account-step": lambda row: three_digits(row["us_per_account_step"]),
        "times FinRL": lambda row: f"{median(row['vs_finrl']):,.0f}" if row.get("vs_finrl") else "",
    }
    order = list(ENV_CASES)
    rows = {
        kind: sorted(
            (row for row in of_kind if row["case"] in ENV_CASES),
            key=lambda row: order.index(row["case"]),
        )
        for kind, of_kind in measured("env").items()
    }
    return compared(rows, lambda row: ENV_CASES[row["case"]], ["accounts"], columns)


def scale() -> str:
    columns: dict[str, Cell] = {
        "driver's CPU per result, ms": lambda row: f"{row['mean_cpu_ms_per_result']:.2f}",
        "last eighth over second": lambda row: f"{row['slope']:.2f}",
        "peak memory, MB": lambda row: f"{row['peak_rss_mb']:,}",
        "`show`, CPU s": lambda row: f"{row['show_cpu_s']:.1f}",
        "`ls`, CPU s": lambda row: f"{row['ls_cpu_s']:.1f}",
    }

    def size(row: dict[str, Any]) -> str | None:
        return f"{row['trials']:,}" if "trials" in row else None

    return compared(measured("scale"), size, ["trials"], columns)


def overhead() -> str:
    """Return one line per figure of `search_overhead.py`, with a column per kind."""
    rows = measured("search_overhead")
    kinds = list(rows)
    figures = {kind: overhead_figures(of_kind) for kind, of_kind in rows.items()}
    names = dict.fromkeys(name for of_kind in figures.values() for name in of_kind)
    lines = [[name, *cells_of(figures, kinds, name)] for name in names]
    return markdown(["", *(KINDS[kind] for kind in kinds)], lines) + written_by(rows)


def cells_of(figures: Mapping[str, Mapping[str, str]], kinds: list[str], name: str) -> list[str]:
    return [figures[kind].get(name, "") for kind in kinds]


def overhead_figures(rows: Rows) -> dict[str, str]:
    """Return what the parts of `search_overhead.py` have found, by a name that says it."""
    found = {}
    for row in rows:
        found |= FIGURES.get(row["part"], lambda _: {})(row)
    for workers in (1, 2):
        of_workers = [row for row in rows if row.get("workers") == workers]
        values = [median(row["overhead_ms"]) for row in of_workers]
        if values:
            name = f"between a trial's last step and the next one's first, {workers} at once"
            found[name] = f"{statistics.median(values):.0f} ms"
    return found


def start_figures(row: dict[str, Any]) -> dict[str, str]:
    return {
        "from the command to the first result": f"{median(row['first_result_s']):.1f} s",
        "`finrl-ray --help`": f"{median(row['help_s']):.2f} s",
    }


def process_figures(row: dict[str, Any]) -> dict[str, str]:
    totals, most = row["total_cpu_s_until"], row["most_mib"]
    return {
        "CPU of all processes until the first result": f"{totals['first result']:.1f} s",
        "until the command's end, with backtest": f"{totals['command']:.1f} s",
        "memory of the driver at most": f"{most['driver']} MiB",
        "of the dashboard's actor": f"{most.get('dashboard actor', 0)} MiB",
    }


def scaling_figures(row: dict[str, Any]) -> dict[str, str]:
    times = row["two_workers_over_one"]
    name = "trials per hour of two workers on two cores against one"
    return {name: f"{times:.2f} times"} if times else {}


def reading_figures(row: dict[str, Any]) -> dict[str, str]:
    return {f"CPU of `finrl-ray {name}`": f"{cpu:.2f} s" for name, cpu in row["cpu_s"].items()}


FIGURES: dict[str, Callable[[dict[str, Any]], dict[str, str]]] = {
    "start": start_figures,
    "processes": process_figures,
    "scaling": scaling_figures,
    "reading": reading_figures,
}


def learning() -> str:
    """Return one line per task, algorithm and kind."""
    lines = [
        [
            row["task"],
            row["algorithm"],
            KINDS[kind],
            str(row["seeds"]),
            f"{row['timesteps']:,}",
            f"{row['points'][-1]['sb3_mean']:.4g}",
            f"{row['points'][-1]['fused_mean']:.4g}",
            "{:.3g} .. {:.3g}".format(*row["points"][-1]["difference_95"]),
            f"{row['lowest_p']:.2f}",
        ]
        for of in by_kind(
            measured("learning_curves"), lambda row: (row["algorithm"], row["task"])
        ).values()
        for kind, row in of.items()
    ]
    head = ["task", "algorithm", "", "seeds", "timesteps", "SB3, mean at the end", "fused"]
    head += ["95 % of the difference", "lowest p of 8"]
    return markdown(head, lines) + written_by(measured("learning_curves"))


TABLES: dict[str, Callable[[], str]] = {
    "training": training,
    "training_ratios": training_ratios,
    "earlier": earlier,
    "evaluation": evaluation,
    "env": env,
    "whole_search": whole_search,
    "overhead": overhead,
    "learning": learning,
    "scale": scale,
}


def with_tables(text: str) -> str:
    """Return a page with each of its tables as it was measured."""

    def written(block: re.Match[str]) -> str:
        begin, name, end = block.groups()
        return f"{begin}\n{TABLES[name]()}\n{end}"

    return BLOCK.sub(written, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for name in PAGES:
        page = REPOSITORY / name
        text = page.read_text(encoding="utf-8")
        wanted = with_tables(text)
        if arguments.check and wanted != text:
            raise SystemExit(f"{name} is not what was measured: run python benchmarks/tables.py")
        page.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
