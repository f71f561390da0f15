"""The cells of the kill table: what is killed, when in a trial's life, under which algorithm.

Trials of one search differ in `gamma`, by which faults find them. Cells with the same algorithm and
the same target share a search, one trial each; the search is run, struck, resumed until it is
finished, and compared with one that nothing disturbed.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from searches import Search, TrialResult, results_by, whole_results

PHASES = ("setup", "rollout", "update", "evaluation", "save", "upload", "persisted", "report")
"""Moments of a trial's life, see tests/faults/inject/sitecustomize.py."""
EVENTS = {"rollout": 3, "update": 2, "evaluation": 10}
"""Which event of a phase is struck, so that it falls inside of something; else the first."""
GAMMAS = tuple(round(0.9 + 0.01 * i, 2) for i in range(len(PHASES)))
ON_POLICY = ("a2c", "ppo")
OFF_POLICY = ("ddpg", "td3", "sac")
ALGORITHMS = (*ON_POLICY, *OFF_POLICY)
MODEL_KWARGS: Mapping[str, dict[str, Any]] = {
    "a2c": {"n_steps": 5},
    "ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "learning_rate": "lin_1e-3"},
    "ddpg": {"action_noise": "ornstein_uhlenbeck"},
    "td3": {"train_freq": 2, "gradient_steps": 2},
    "sac": {"learning_rate": "lin_1e-3"},
    "tqc": {"policy_kwargs": {"n_quantiles": 5}},
    "crossq": {"policy_delay": 2},
    "recurrent_ppo": {
        **{"n_steps": 16, "batch_size": 16, "n_epochs": 2},
        "policy_kwargs": {"lstm_hidden_size": 8},
    },
    "trpo": {"n_steps": 16, "batch_size": 16, "n_critic_updates": 2},
    "dqn": {"target_update_interval": 20, "exploration_fraction": 0.8},
    "sac-gsde": {"use_sde": True, "sde_sample_freq": 4},
}
WEIGHTS = {
    "action": "target_weights",
    "fractional_shares": True,
    "observation": "stationary",
    "lookback": 2,
}
"""The env of the `-weights` variants, beside what all have."""
SHORT = {
    **WEIGHTS,
    "short": True,
    "borrow_rate": 0.05,
    "maintenance_margin": 0.5,
    "volume_slippage": 0.01,
    "reward": "active",
}
"""The env of the `-short` variants, beside what all have."""
LATER = ("tqc", "crossq", "recurrent_ppo", "trpo", "dqn")
"""Algorithms that are struck in some phases alone."""
OWN_FILE = Path(__file__).parents[1] / "helpers" / "own_envs.py"
"""The user's own code of the `-own` variants, which lies beside their configs."""
FORMULATIONS: Mapping[str, dict[str, Any]] = {"weights": WEIGHTS, "short": SHORT}
REPLAY = {"buffer_size": 1000, "learning_starts": 40, "batch_size": 16}
TIMESTEPS = 192
EVAL_FREQ = 64
ONE_SIGNAL = ("SIGKILL",)
MOST_RESUMES = 10


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: `signals` to `target` when a trial of `variant` is in `phase`.

    Parameters
    ----------
    variant : an algorithm, with `-asha`, `-gsde`, `-weights`, `-short` or `-own` after it for
        another scheduler, exploration or formulation of the env, or a user's own env
    phase : one of PHASES
    target : `worker`, `driver`, `raylet`, `cluster` (all Ray processes), `machine` (and driver),
        `group` (the driver's process group)
    """

    variant: str
    phase: str
    target: str
    signals: tuple[str, ...] = ONE_SIGNAL

    @property
    def name(self) -> str:
        what = self.target if self.signals == ONE_SIGNAL else "+".join(self.signals).lower()
        what = f"group-{what}" if self.target == "group" else what
        return f"{self.variant}/{what}/{self.phase}"

    @property
    def group(self) -> tuple[str, str, tuple[str, ...]]:
        """Cells of one group share a search."""
        return (self.variant, self.target, self.signals)

    @property
    def gamma(self) -> float:
        return GAMMAS[PHASES.index(self.phase)]

    def fault(self) -> dict[str, Any]:
        return {
            "name": self.name.replace("/", "-"),
            "match": {"gamma": self.gamma},
            "phase": self.phase,
            # under ASHA a trial may end with its first report
            "after_reports": 0 if self.phase == "setup" or "asha" in self.variant else 1,
            "event": EVENTS.get(self.phase, 1),
            "target": self.target,
            "signals": list(self.signals),
        }


def all_cells() -> list[Cell]:
    """Return the whole table."""
    cells = [
        Cell(variant=name, phase=phase, target="worker") for name in ALGORITHMS for phase in PHASES
    ]
    cells += [
        Cell(variant=name, phase=phase, target="driver")
        for name in ("ppo", "sac")
        for phase in PHASES
    ]
    cells += [
        Cell(variant=name, phase=phase, target="worker")
        for name in LATER
        for phase in ("rollout", "update", "save")
    ]
    cells += [
        Cell(variant="sac-gsde", phase="rollout", target="worker"),
        Cell(variant="ppo-asha", phase="update", target="worker"),
        Cell(variant="ppo-asha", phase="rollout", target="driver"),
        Cell(variant="ppo-asha", phase="persisted", target="driver"),
    ]
    cells += [
        Cell(variant=f"{name}-weights", phase=phase, target=target)
        for name in ("ppo", "sac")
        for target, phase in (
            ("worker", "rollout"),
            ("worker", "update"),
            ("worker", "save"),
            ("driver", "evaluation"),
            ("driver", "persisted"),
        )
    ]
    cells += [
        Cell(variant=f"{name}-short", phase=phase, target=target)
        for name in ("ppo", "sac")
        for target, phase in (("worker", "rollout"), ("worker", "save"), ("driver", "persisted"))
    ]
    cells += [
        Cell(variant="ppo-own", phase=phase, target="worker")
        for phase in ("rollout", "evaluation", "save")
    ]
    cells += [
        Cell(variant="a2c", phase=phase, target=target)
        for target in ("raylet", "cluster", "machine")
        for phase in ("update", "upload")
    ]
    cells += [
        Cell(variant="td3", phase="update", target="driver", signals=signals)
        for signals in (("SIGTERM",), ("SIGINT",), ("SIGINT", "SIGINT"), ("SIGTERM", "SIGTERM"))
    ]
    cells += [
        Cell(variant="a2c", phase=phase, target="group", signals=("SIGTERM",))
        for phase in ("rollout", "upload")
    ]
    return cells


def raw_config(
    variant: str, max_failures: int = 0, gammas: Sequence[float] = GAMMAS
) -> dict[str, Any]:
    """Return the config of a variant: short trials that differ in gamma, one at a time."""
    algorithm, _, extra = variant.partition("-")
    kwargs = dict(MODEL_KWARGS.get(variant, MODEL_KWARGS[algorithm]))
    if algorithm in (*OFF_POLICY, "tqc", "crossq", "dqn"):
        kwargs = REPLAY | kwargs
    asha = {"type": "asha", "grace_period": EVAL_FREQ, "reduction_factor": 2}
    return {
        "name": "kills",
        "seed": 3,
        "split": {
            "train": [None, "2008-01-01"],
            "validation": ["2008-01-01", "2008-07-01"],
            "test": ["2008-07-01", "2009-01-01"],
        },
        "env": _raw_env(algorithm, extra),
        "agent": {
            "algorithm": algorithm,
            "total_timesteps": TIMESTEPS,
            "n_envs": 2,
            "normalize": True,
            "model_kwargs": kwargs,
        },
        "evaluation": {"eval_freq": EVAL_FREQ},
        "search": {
            "num_samples": 1,
            "max_concurrent_trials": 1,
            "max_failures": max_failures,
            "scheduler": asha if extra == "asha" else {"type": "fifo"},
            "default_space": False,
            "space": {"net_arch": "tiny", "gamma": {"grid": list(gammas)}},
        },
    }


def _raw_env(algorithm: str, extra: str) -> dict[str, Any]:
    if extra == "own":
        return {"class": f"{OWN_FILE.stem}:StatefulEnv"}
    return {
        "random_start": True,
        "discrete_actions": "product" if algorithm == "dqn" else "none",
        **FORMULATIONS.get(extra, {}),
    }


def _new_search(home: Path, variant: str, raw: dict[str, Any], **arguments: Any) -> Search:
    """Return a search that has not begun, with the own code that it needs."""
    search = Search(home=home, raw=raw, **arguments)
    if variant.endswith("-own"):
        shutil.copy(OWN_FILE, home)
    return search


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What an undisturbed search of a variant left."""

    trials: Mapping[str, TrialResult]
    whole: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one cell ended: what is wrong (nothing if it holds), exit codes and seconds."""

    cell: Cell
    faults: tuple[str, ...]
    exit_codes: tuple[int, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return not self.faults


def run_baseline(variant: str, home: Path, gammas: Sequence[float] = GAMMAS) -> Baseline:
    """Run a search that nothing disturbs."""
    with _new_search(home, variant, raw_config(variant, gammas=gammas)) as search:
        search.start()
        code = search.wait()
        assert code == 0, f"the undisturbed search of {variant} ended with {code}\n{search.tail()}"
        return Baseline(
            trials=results_by(search.folder, "gamma"), whole=whole_results(search.folder)
        )


def run_group(
    cells: Sequence[Cell], baseline: Baseline, home: Path, gammas: Sequence[float] = GAMMAS
) -> list[Verdict]:
    """Run one search that is struck in every cell, resume it to its end, judge each cell."""
    started = time.monotonic()
    retries = int(any(cell.target == "worker" for cell in cells))
    variant = cells[0].variant
    raw = raw_config(variant, retries, gammas)
    with _new_search(home, variant, raw, faults=[cell.fault() for cell in cells]) as search:
        codes, trouble = _run_to_the_end(search, cells)
        compared = _compare(search, cells, baseline) if codes[-1:] == (0,) else {}
        faults = {cell: [*trouble, *compared.get(cell, [])] for cell in cells}
        for cell in cells:
            if not search.fired(cell.fault()["name"]):
                faults[cell].insert(0, "the fault did not strike")
    seconds = time.monotonic() - started
    return [
        Verdict(cell=cell, faults=tuple(faults[cell]), exit_codes=codes, seconds=seconds)
        for cell in cells
    ]


def _run_to_the_end(search: Search, cells: Sequence[Cell]) -> tuple[tuple[int, ...], list[str]]:
    """Start the search and resume it until it is finished; return exit codes and what is wrong."""
    expected = {0, *(code for cell in cells for code in _expected_codes(cell))}
    codes: list[int] = []
    trouble: list[str] = []
    try:
        search.start()
        codes.append(search.wait())
        # another exit code is a fault, but whether the search can go on is worth knowing
        while codes[-1] != 0 and len(codes) <= MOST_RESUMES:
            if codes[-1] not in expected:
                allowed = sorted(expected - {0})
                trouble.append(f"exit code {codes[-1]}, not in {allowed}: {search.tail(1)[-200:]}")
            elif codes[-1] > 0 and "finrl-ray resume" not in search.output:
                trouble.append("nothing says how to go on")
            search.resume()
            codes.append(search.wait())
    except (AssertionError, ValueError) as error:
        trouble.append(str(error).strip().replace("\n", " | ")[-400:])
    if codes[-1:] != [0]:
        trouble.append("not finished")
    if "Traceback" in search.output:
        trouble.append("a traceback was printed")
    return tuple(codes), trouble


def _expected_codes(cell: Cell) -> tuple[int, ...]:
    """Exit codes of a search that a cell's fault may end; none: it goes on."""
    if cell.target == "worker":
        return ()
    if cell.target in ("driver", "machine", "group"):
        return (-9,) if cell.signals == ONE_SIGNAL else (130,)
    # a lost Ray is an error (2) or an interruption (130), and says how to go on
    return (2, 130)


def _compare(search: Search, cells: Sequence[Cell], baseline: Baseline) -> dict[Cell, list[str]]:
    trials = results_by(search.folder, "gamma")
    missing, extra = baseline.trials.keys() - trials.keys(), trials.keys() - baseline.trials.keys()
    whole = whole_results(search.folder)
    shared = [f"{name} differs" for name in baseline.whole if whole[name] != baseline.whole[name]]
    shared += [f"lost trials {sorted(missing)}"] if missing else []
    shared += [f"trials too many {sorted(extra)}"] if extra else []
    shared += _others(cells, trials, baseline)
    faults = {}
    for cell in cells:
        key = str(cell.gamma)
        own = _differences(trials[key], baseline.trials[key]) if key in trials else ["lost"]
        # a lost cluster may be counted as a failure of its trials, or not
        failures = {"worker": 1, "driver": 0, "machine": 0, "group": 0}.get(cell.target)
        if failures is not None and key in trials and trials[key].failures != failures:
            own.append(f"failures {trials[key].failures}, not {failures}")
        faults[cell] = own
    # a cell that fails explains what is wrong with the whole; else every cell is in question
    if not any(faults.values()):
        faults = {cell: list(shared) for cell in cells}
    return faults


def _others(
    cells: Sequence[Cell], trials: Mapping[str, TrialResult], baseline: Baseline
) -> list[str]:
    struck = {str(cell.gamma) for cell in cells}
    return [
        f"the undisturbed trial {key} differs: {'; '.join(_differences(trials[key], expected))}"
        for key, expected in baseline.trials.items()
        if key not in struck and key in trials and _differences(trials[key], expected)
    ]


def _differences(found: TrialResult, expected: TrialResult) -> list[str]:
    faults = [
        f"{name}: {found.row.get(name)!r}, not {value!r}"
        for name, value in expected.row.items()
        if found.row.get(name) != value
    ]
    if found.curve != expected.curve:
        faults.append(f"learning curve of {len(found.curve)} rows, not {len(expected.curve)}")
    if found.parameters != expected.parameters:
        faults.append("other parameters or optimizers")
    return faults
