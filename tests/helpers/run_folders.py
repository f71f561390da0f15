"""Folders as runs leave them."""

import json
from pathlib import Path

import numpy as np

EPISODE_COLUMNS = "timesteps,env,reward,length,portfolio_value,portfolio_return"


def write_episodes(folder: Path, n: int = 4) -> Path:
    rows = [f"{100 * k},0,{k}.5,100,{1000.0 + k},{k / 1000}" for k in range(1, n + 1)]
    path = folder / "plots" / "performance.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([EPISODE_COLUMNS, *rows]) + "\n")
    return path


def write_evaluations(folder: Path, n: int = 3) -> Path:
    path = folder / "eval_logs" / "evaluations.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = 1000.0 + np.arange(n * 10.0).reshape(n, 1, 10)
    values[:, :, -1] = np.nan  # a shorter episode
    np.savez(
        path,
        timesteps=np.arange(1, n + 1) * 200,
        results=np.arange(n, dtype=float)[:, None] + [[0.0, 1.0]],
        ep_lengths=np.full((n, 2), 9),
        account_value=values,
        sharpe_ratio=np.linspace(-1, 1, n),
        max_drawdown=np.full(n, -0.1),
        reasons=np.array([""] * n),
    )
    return path


def write_journal(folder: Path, *, ended: bool = False) -> Path:
    """Two trials; the second is under way unless `ended`."""
    events = [{"event": "search", "state": "started"}]
    for index, objectives in enumerate(([0.1, 0.4], [0.9])):
        name = f"trial_{index}"
        events.append({"event": "start", "trial_id": name, "index": index, "sample": {}})
        for step, value in enumerate(objectives, start=1):
            metrics = {"timesteps": 100 * step, "objective": value}
            events.append({"event": "result", "trial_id": name, "metrics": metrics})
    end = {"event": "end", "state": "completed", "reason": ""}
    events.append({**end, "trial_id": "trial_0"})
    if ended:
        events.append({**end, "trial_id": "trial_1"})
        events.append({"event": "search", "state": "finished"})
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**event, "time": float(k)}) for k, event in enumerate(events)]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "journal.jsonl"
