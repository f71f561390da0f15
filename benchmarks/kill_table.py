"""The kill table: what is killed, when in a trial's life, under which algorithm, and what is lost.

    python benchmarks/kill_table.py                        # every cell; `make kills`
    python benchmarks/kill_table.py --cells 'sac/*' '*/driver/upload'
    python benchmarks/kill_table.py --cells '*/worker/rollout' --few
    python benchmarks/kill_table.py --list

A cell holds when the search, after its own retry or after `finrl-ray resume`, has left the table,
the learning curves and the models of a search that nothing disturbed, bit for bit. Cells with the
same algorithm and target share a search, whose trials are those of all phases, with `--few` those
of the chosen cells alone. Ends with 1 if a cell does not hold.
"""

import argparse
import fnmatch
import json
import platform
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from kill_cells import GAMMAS, Baseline, Cell, Verdict, all_cells, run_baseline, run_group
from searches import close_all_on_sigterm


def chosen_cells(patterns: list[str]) -> list[Cell]:
    cells = all_cells()
    if not patterns:
        return cells
    return [cell for cell in cells if any(fnmatch.fnmatch(cell.name, p) for p in patterns)]


def grouped(cells: list[Cell]) -> list[list[Cell]]:
    groups: dict[object, list[Cell]] = defaultdict(list)
    for cell in cells:
        # a cluster that dies takes up to a minute to be given up: one search each keeps them apart
        alone = cell.target in ("raylet", "cluster", "machine")
        groups[cell.name if alone else cell.group].append(cell)
    return list(groups.values())


def gammas_of(variant: str, cells: list[Cell], *, few: bool) -> tuple[float, ...]:
    """Return by what the trials of a variant's searches differ."""
    if not few:
        return GAMMAS
    return tuple(sorted({cell.gamma for cell in cells if cell.variant == variant}))


def run_cells(cells: list[Cell], home: Path, jobs: int, *, few: bool) -> list[Verdict]:
    verdicts: list[Verdict] = []
    gammas = {cell.variant: gammas_of(cell.variant, cells, few=few) for cell in cells}
    with ThreadPoolExecutor(jobs) as pool:
        baselines: dict[str, Future[Baseline]] = {
            variant: pool.submit(run_baseline, variant, home / f"baseline-{variant}", values)
            for variant, values in gammas.items()
        }
        running = []
        for group in grouped(cells):
            # baselines are submitted first, so a waiting group cannot hold up its own baseline
            work = home / group[0].name.replace("/", "-")
            variant = group[0].variant
            running.append(pool.submit(_after, baselines[variant], group, work, gammas[variant]))
        for future in running:
            for verdict in future.result():
                verdicts.append(verdict)
                print(line(verdict), flush=True)
    return verdicts


def _after(
    baseline: "Future[Baseline]", group: list[Cell], home: Path, gammas: tuple[float, ...]
) -> list[Verdict]:
    return run_group(group, baseline.result(), home, gammas)


def line(verdict: Verdict) -> str:
    mark = "pass" if verdict.passed else "FAIL"
    codes = ",".join(map(str, verdict.exit_codes))
    text = f"{mark}  {verdict.cell.name:<34} exits {codes}"
    return text if verdict.passed else f"{text}\n      {'; '.join(verdict.faults)}"


def write_json(path: Path, verdicts: list[Verdict]) -> None:
    rows = [
        {
            "cell": verdict.cell.name,
            "passed": verdict.passed,
            "faults": list(verdict.faults),
            "exit_codes": list(verdict.exit_codes),
            "seconds": round(verdict.seconds, 1),
        }
        for verdict in verdicts
    ]
    content = {"python": platform.python_version(), "machine": platform.machine(), "cells": rows}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", nargs="*", default=[], metavar="PATTERN", help="e.g. 'ppo/*'")
    parser.add_argument("--few", action="store_true", help="no trials but those that are struck")
    parser.add_argument("--list", action="store_true", help="print the cells and end")
    parser.add_argument("--jobs", type=int, default=1, help="searches at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here, too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the searches here")
    return parser.parse_args()


def main() -> int:
    close_all_on_sigterm()
    arguments = parse_arguments()
    cells = chosen_cells(arguments.cells)
    if not cells:
        print(f"no cell matches {arguments.cells}; see --list", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    started = time.monotonic()
    home = arguments.keep or Path(tempfile.mkdtemp(prefix="kills"))
    try:
        verdicts = run_cells(cells, home.absolute(), arguments.jobs, few=arguments.few)
    finally:
        if arguments.keep is None:
            shutil.rmtree(home, ignore_errors=True)
    failed = sum(not verdict.passed for verdict in verdicts)
    seconds = time.monotonic() - started
    print(f"\n{len(verdicts) - failed} of {len(verdicts)} cells hold ({seconds:.0f} s)")
    if arguments.json:
        write_json(arguments.json, verdicts)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
