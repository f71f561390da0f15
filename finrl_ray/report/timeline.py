"""When each result came: the search's events as a table over the time that it has been running."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.journal.lines import Event
from finrl_ray.search.journal.records import ENDED
from finrl_ray.search.results.ranking import mean_score, result_score

if TYPE_CHECKING:
    import pandas as pd

_LOST = ("failed", "rejected")
_COLUMNS = (
    "elapsed_s",
    "total_timesteps",
    "trial",
    "timesteps",
    "score",
    "best_score",
    "best_trial",
)


def running_seconds(events: Sequence[Event]) -> list[float]:
    """Return for each event how long the search had been running, s, pauses left out.

    A search that was killed and resumed has run from each start to the last event before the next.
    """
    seconds, before, last = [], 0.0, math.nan
    for event in events:
        begins = event["event"] == "search" and event.get("state") in ("started", "resumed")
        if not math.isnan(last) and not begins:
            before += max(0.0, event["time"] - last)
        last = event["time"]
        seconds.append(before)
    return seconds


def result_times(events: Sequence[Event], config: ExperimentConfig) -> "pd.DataFrame":
    """Return one row per result, in the order in which they came.

    Columns: `elapsed_s` (s the search had been running), `total_timesteps` (of all trials),
    `trial`, `timesteps` and `score` of that result (what trials are ranked by), `best_score` and
    `best_trial`: the trial that would have won at that moment. It is judged as at the end, by the
    result that stands for each trial and without failed and rejected ones, so that it can fall.
    """
    scores: dict[int, float] = {}
    own: dict[int, dict[int, float | None]] = {}
    steps: dict[int, int] = {}
    index: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for event, elapsed in zip(events, running_seconds(events), strict=True):
        kind = event["event"]
        if "index" in event:
            index[event["trial_id"]] = event["index"]
        trial = index.get(event.get("trial_id", ""))
        if trial is None:
            continue
        if kind == "end" and event["state"] in _LOST:
            scores.pop(trial, None)
        if kind == "exploit":
            own[trial] = {}  # what comes is of another agent
        if kind == "result":
            metrics = event["metrics"]
            _update(scores, trial, metrics, config, own.setdefault(trial, {}))
            steps[trial] = int(metrics["timesteps"])
            best = max(scores, key=lambda one: scores[one], default=None)
            rows.append(
                {
                    "elapsed_s": elapsed,
                    "total_timesteps": sum(steps.values()),
                    "trial": trial,
                    "timesteps": steps[trial],
                    "score": result_score(metrics, config),
                    "best_score": None if best is None else scores[best],
                    "best_trial": best,
                }
            )
    # where the table is printed, pandas would take most of the time
    import pandas as pd

    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _update(
    scores: dict[int, float],
    trial: int,
    metrics: Mapping[str, Any],
    config: ExperimentConfig,
    own: dict[int, float | None],
) -> None:
    """Note what a trial is ranked by after a result; `own` are its agent's by timesteps."""
    score = result_score(metrics, config)
    if config.search.select == "best" and score is not None:
        score = max(score, scores.get(trial, score))
    if config.search.select == "mean":
        now = int(metrics["timesteps"])
        # a trial that starts over from a checkpoint comes by the same timesteps again
        for later in [steps for steps in own if steps >= now]:
            del own[later]
        own[now] = score
        score = mean_score(list(own.values()), config)
    if score is not None:
        scores[trial] = score
    elif config.search.select != "best":
        scores.pop(trial, None)


def running_trials(events: Sequence[Event]) -> "pd.DataFrame":
    """Return how many trials were running: `elapsed_s`, `running`, one row per change."""
    running: set[str] = set()
    rows = [(0.0, 0)]
    for event, elapsed in zip(events, running_seconds(events), strict=True):
        before = len(running)
        if event["event"] == "search":
            running.clear()
        elif event["event"] == "start":
            running.add(event["trial_id"])
        elif event["event"] == "end" and event["state"] in (*ENDED, "interrupted"):
            running.discard(event["trial_id"])
        if len(running) != before:
            rows.append((elapsed, len(running)))
    import pandas as pd

    return pd.DataFrame(rows, columns=["elapsed_s", "running"])
