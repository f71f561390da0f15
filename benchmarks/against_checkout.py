"""Training steps per CPU second of this checkout against those of another one, in one run.

    git worktree add ../earlier COMMIT
    python benchmarks/against_checkout.py ../earlier [--algorithms ppo a2c sac] [--repeats 15]

FinRL's default keywords, one account of this package's env, one thread, 29 stocks x 335 days x 8
indicators, as in `training.py`. Each checkout trains in a process of its own that imports its own
package, and the two are asked in turn for a chunk, so that a busy machine slows both alike. `times`
is the median over the rounds of the ratio within a round. Both use this script's virtual
environment; run `git worktree remove ../earlier` afterwards.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import interleaved, paired_ratio, summary, versions, write_results

REPOSITORY = Path(__file__).parents[1]
CHILD = Path(__file__).parent / "peers" / "checkout_training.py"
CHUNKS = {"ppo": 4 * 2048, "a2c": 8000, "sac": 250, "td3": 250, "ddpg": 250}
"""Steps of training between two looks at the clock."""


class Checkout:
    """A process that trains with the package of one folder, a chunk whenever it is asked.

    Parameters
    ----------
    folder : of the checkout
    algorithm : what it trains
    """

    def __init__(self, folder: Path, algorithm: str) -> None:
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        self._child = subprocess.Popen(
            [sys.executable, str(CHILD), algorithm, str(CHUNKS[algorithm])],
            env={**os.environ, **single, "PYTHONPATH": str(folder.resolve())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.imported_from = json.loads(self._answer())["package"]
        if not Path(self.imported_from).is_relative_to(folder.resolve()):
            raise SystemExit(f"{folder} was asked, and {self.imported_from} was imported")

    def steps_per_cpu_s(self) -> float:
        assert self._child.stdin is not None
        self._child.stdin.write("chunk\n")
        self._child.stdin.flush()
        return float(json.loads(self._answer())["steps_per_cpu_s"])

    def _answer(self) -> str:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                return line
        raise SystemExit(f"the process of a checkout ended with {self._child.wait()}")

    def end(self) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


def measure(algorithm: str, earlier: Path, repeats: int) -> dict[str, Any]:
    checkouts = {"this": Checkout(REPOSITORY, algorithm), "earlier": Checkout(earlier, algorithm)}
    cases = {name: checkout.steps_per_cpu_s for name, checkout in checkouts.items()}
    for case in cases.values():
        case()
    speeds = interleaved(cases, repeats)
    for checkout in checkouts.values():
        checkout.end()
    return {
        "algorithm": algorithm,
        "earlier": commit_of(earlier),
        "steps_per_cpu_s": {name: summary(values) for name, values in speeds.items()},
        "times": paired_ratio(speeds["this"], speeds["earlier"]),
    }


def commit_of(folder: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("earlier", type=Path, help="folder of the other checkout")
    parser.add_argument("--algorithms", nargs="+", choices=list(CHUNKS), default=list(CHUNKS))
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    known = versions()
    rows = [measure(name, arguments.earlier, arguments.repeats) for name in arguments.algorithms]
    write_results("against_checkout", rows, known, same=["algorithm", "earlier"])


if __name__ == "__main__":
    main()
