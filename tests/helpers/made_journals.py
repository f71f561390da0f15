"""Searches of every kind event by event, with checkpoints, made without Ray and without training.

A search of two trials runs them in turns, as on two CPUs. Its journal can be cut after any event.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from made_search import EVALUATIONS, STEPS, Clock, made_config, prices, sample

from finrl_ray.baselines.buy_and_hold import buy_and_hold
from finrl_ray.config.data import DataConfig
from finrl_ray.data.load import market_data_of
from finrl_ray.data.windows.folds import Fold
from finrl_ray.data.windows.split import make_split
from finrl_ray.search.folder.folder import SearchFolder, create_folder
from finrl_ray.search.journal.lines import JOURNAL_FILE, Event
from finrl_ray.training.agent import EVALUATIONS_FILE
from finrl_ray.training.fold_results import FoldResult, write_folds
from finrl_ray.training.folds import fold_metrics

KINDS: Mapping[str, dict[str, dict[str, Any]]] = {
    "one_window": {},
    "asha": {"search": {"scheduler": {"type": "asha", "grace_period": STEPS}}},
    "hyperband": {"search": {"scheduler": {"type": "hyperband"}}},
    "median": {"search": {"scheduler": {"type": "median", "min_samples": 1}}},
    "pbt": {"search": {"scheduler": {"type": "pbt", "perturbation_interval": STEPS}}},
    "objectives": {
        "search": {"searcher": "optuna", "objectives": ["sharpe_ratio", "max_drawdown"]}
    },
    "select_best": {"search": {"select": "best"}},
    "select_mean": {"search": {"select": "mean", "select_last": 2}},
    "failed": {},
    "rejected": {"search": {"max_drawdown_limit": -0.05}},
    "walk_forward": {"validation": {"scheme": "walk_forward", "n_windows": 3}},
    "walk_forward_seeds": {
        "validation": {"scheme": "walk_forward", "n_windows": 2, "seeds": 2}
    },
    "cpcv": {"validation": {"scheme": "cpcv", "n_groups": 4, "embargo": 2}},
    "seeds": {"validation": {"seeds": 2}},
}  # fmt: skip
N_TRIALS = 2
_ENDS = {
    "asha": "stopped",
    "hyperband": "stopped",
    "median": "stopped",
    "failed": "failed",
    "rejected": "rejected",
}


def made_folder(storage: Path, kind: str) -> SearchFolder:
    """Make the folder of a search of which nothing has run, with the checkpoints that it will have.

    Its whole journal is in `whole.jsonl`; `cut` puts a part of it in place.
    """
    config = made_config(storage, N_TRIALS, **KINDS[kind])
    data, report = market_data_of(prices(("AAA", "BBB", "CCC")), DataConfig(features=()))
    split = make_split(data, config.split)
    facts = {**report.to_dict(), "lines": report.lines()}
    folder = create_folder(config, data, split, facts, storage)
    clock = Clock()
    lines = []
    for number, content in enumerate(_events(folder, kind), start=1):
        clock.now += 0.5
        lines.append(json.dumps({**content, "n": number, "time": clock.now}))
    (folder.path / "whole.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def cut(folder: SearchFolder, length: int) -> list[Event]:
    """Let the journal be the first `length` events, as if the driver had been killed then."""
    lines = (folder.path / "whole.jsonl").read_text(encoding="utf-8").splitlines()[:length]
    text = "".join(f"{line}\n" for line in lines)
    (folder.path / JOURNAL_FILE).write_text(text, encoding="utf-8")
    return [json.loads(line) for line in lines]


def _events(folder: SearchFolder, kind: str) -> Iterator[dict[str, Any]]:
    yield {"event": "search", "state": "started"}
    for index in range(N_TRIALS):
        yield {"event": "created", "trial_id": f"{index}", "index": index, "sample": sample(index)}
    results = [list(_results(folder, kind, index)) for index in range(N_TRIALS)]
    for turn in range(max(map(len, results))):
        for index, own in enumerate(results):
            if turn == 0 or kind == "pbt":
                yield {"event": "start", "trial_id": f"{index}"}
            if turn < len(own):
                yield from own[turn]
        if kind == "pbt" and turn == 0:
            yield {
                "event": "exploit", "trial_id": "0", "donor": "1", "timesteps": STEPS,
                "sample": sample(7), "checkpoint": "ray/1/checkpoint_000000",
            }  # fmt: skip
        if kind == "failed" and turn == 0:
            yield {"event": "recover", "trial_id": "0"}
            yield {"event": "start", "trial_id": "0"}
        if turn == 0:
            yield from _breaks(kind)
    yield {"event": "search", "state": "finished", "ended_by": ""}


def _breaks(kind: str) -> Iterator[dict[str, Any]]:
    """Yield an interruption and what a resume adds."""
    if kind not in ("one_window", "walk_forward"):
        return
    for index in range(N_TRIALS):
        yield {
            "event": "end", "trial_id": f"{index}", "state": "interrupted", "reason": "interrupted"
        }  # fmt: skip
    yield {"event": "search", "state": "interrupted", "ended_by": ""}
    yield {"event": "search", "state": "resumed"}
    for index in range(N_TRIALS):
        yield {"event": "start", "trial_id": f"{index}"}


def _results(folder: SearchFolder, kind: str, index: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the events of each evaluation: its result and its checkpoint; the last ends the trial.

    In kind "failed" trial 0 fails after its first result and trial 1 before it has one.
    """
    own = {"trial_id": f"{index}"}
    end = _ENDS.get(kind, "completed")
    last = {"event": "end", **own, "state": end, "reason": f"{end}: <b>no</b>", "error": "Trace"}
    if kind == "failed":
        yield [] if index else [_result(folder, index, 1)]
        yield [last]
        return
    plan = folder.plan
    total = EVALUATIONS - 1 if plan is None else len(plan.folds)
    total = total - 1 if end == "stopped" and index else total
    for number in range(1, total + 1):
        path = f"ray/{index}/checkpoint_{number - 1:06d}"
        (folder.path / path).mkdir(parents=True)
        result = _result(folder, index, number, folder.path / path)
        steps = result["metrics"]["timesteps"]
        checkpoint = {"event": "checkpoint", **own, "timesteps": steps, "path": path}
        yield [result, checkpoint, *([last] if number == total else [])]


def _result(
    folder: SearchFolder, index: int, number: int, checkpoint: Path | None = None
) -> dict[str, Any]:
    own = {"event": "result", "trial_id": f"{index}"}
    plan, rng = folder.plan, np.random.default_rng([index, number])
    if plan is not None:
        done = [_fold(folder, plan.folds[i], i, index) for i in range(number)]
        if checkpoint is not None:
            write_folds(done, checkpoint)
        return {**own, "metrics": fold_metrics(done, folder.config, folder.periods_per_year)}
    window = folder.validation_data
    if checkpoint is not None:
        held = buy_and_hold(window, folder.config.env)
        noise = np.exp(np.cumsum(rng.normal(0.0, 0.004, (number, len(held))), axis=1))
        noise[:, 0] = 1.0
        np.savez(
            checkpoint / EVALUATIONS_FILE,
            timesteps=np.arange(1, number + 1) * STEPS,
            account_value=(held * noise)[:, None, :],
        )
    value = float(rng.normal(0.5, 0.4))
    metrics = {
        "timesteps": number * STEPS,
        "objective": value,
        "eval_objective": value,
        "eval/sharpe_ratio": value,
        "eval/appraisal_ratio": value,
        "eval/max_drawdown": -0.1,
        "eval/total_return": 0.05,
    }
    return {**own, "metrics": metrics}


def _fold(folder: SearchFolder, fold: Fold, number: int, index: int) -> FoldResult:
    rng = np.random.default_rng([index, number])
    dates = np.concatenate(
        [folder.development.dates[first + 1 : stop] for first, stop in fold.judged]
    )
    returns = rng.normal(0.0005, 0.01, len(dates))
    return FoldResult(
        fold=number, seed=number, timesteps=EVALUATIONS * STEPS, dates=dates, returns=returns,
        active=returns - rng.normal(0.0003, 0.01, len(dates)), turnover=2.0,
    )  # fmt: skip
