"""What the search took: trials running at once, and env steps per second."""

from typing import Any

import numpy as np
import pandas as pd

from finrl_ray.report.charts.figure import Figure
from finrl_ray.report.charts.model import Line, Panel, Rule
from finrl_ray.report.read_search import SearchReport
from finrl_ray.report.timeline import running_trials

_BINS = 60


def throughput(search: SearchReport) -> Figure:
    """Return the trials that ran at once, and the env steps per second of all of them together."""
    results = search.results
    running = running_trials(search.events)
    shell: dict[str, Any] = {
        "name": "throughput",
        "title": "Resources and throughput",
        "caption": "Trials running at once, and env steps per second of all trials together, over "
        "the time that the search was running. Steps are counted when an evaluation reports them.",
        "table": running,
    }
    end = float(search.records.time_s)
    if not len(results) or end <= 0:
        return Figure(**shell, empty="no trial has reported a result yet")
    edges, speed = steps_per_second(results, end)
    at_once = Panel(
        marks=[
            Line(
                name="trials running",
                x=running["elapsed_s"].to_numpy(),
                y=running["running"].to_numpy(dtype=float),
                role="trial",
                steps=True,
                fill=True,
            )
        ],
        x_label="wall time, s",
        y_label="trials",
    )
    mean = search.total_timesteps / end
    steps = Panel(
        marks=[
            Line(name="steps per second", x=edges, y=speed, role="winner", steps=True),
            Rule(at=mean, label=f"mean {mean:,.0f}", role="other"),
        ],
        x_label="wall time, s",
        y_label="env steps per second",
        y_format="count",
    )
    return Figure(**shell, panels=[at_once, steps], beside=True, height=320)


def steps_per_second(results: pd.DataFrame, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the left edges of equal stretches of time, s, and the steps per second in each."""
    done = results["total_timesteps"].to_numpy(dtype=np.float64)
    new = np.maximum(np.diff(done, prepend=0.0), 0.0)
    n = int(min(_BINS, max(1, len(results) // 3)))
    counts, edges = np.histogram(
        results["elapsed_s"], bins=n, range=(0.0, max(end, 1e-9)), weights=new
    )
    return edges, np.append(counts, counts[-1]) / np.diff(edges)[0]
