"""`RealTimeMonitor`: a run's progress in a notebook or a terminal, while it goes on."""

import io
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeAlias

import numpy as np
from matplotlib.figure import Figure

from finrl_ray.errors import ConfigError
from finrl_ray.monitoring.panels import ASCII_BLOCKS, BLOCKS, draw, panels, text
from finrl_ray.monitoring.run_files import RunProgress, looks_like_run, newest_run, read_progress
from finrl_ray.support.text import counted

Source: TypeAlias = object
"""A path, or an object that knows its folder; anything else is refused with an explanation."""

_JOIN_S = 10.0
_PNG_DPI = 80


class RealTimeMonitor:
    """Shows how a run is doing, from the files that it writes.

    A run is the folder of a training run or of a search, also one on another machine that writes to
    a shared disk; of a folder that holds several runs, the latest is shown. An env is not asked:
    while it trains it is in the middle of a step, and in another process it is out of reach.

    Parameters
    ----------
    refresh_interval : seconds between looks
    run_dir : the run's folder, which need not exist yet; may also be given to the methods
    stream : where text goes outside notebooks; None: standard output

    Attributes
    ----------
    metrics : dict of lists. `steps`, `episode_rewards` and `portfolio_values` have one entry per
        training episode (timesteps at its end), or, of a run that writes no episodes, one per
        evaluation on the validation window. `eval_timesteps` and `eval_{measure}` have one entry
        per evaluation; for a search `trials` holds the number of trials by state and
        `best_objective` the best so far
    progress : what `metrics` was made from
    run_dir : the folder last given

    Raises
    ------
    ConfigError
        If `refresh_interval` is not a number > 0, or `run_dir` is not a folder's path.
    """

    def __init__(
        self,
        refresh_interval: float = 30,
        run_dir: Source = None,
        *,
        stream: TextIO | None = None,
    ) -> None:
        number = isinstance(refresh_interval, int | float | np.number)
        if not number or not 0 < refresh_interval < np.inf:
            raise ConfigError(f"refresh_interval must be > 0 seconds, got {refresh_interval!r}")
        self.refresh_interval = refresh_interval
        self.run_dir = None if run_dir is None else run_folder_of(run_dir)
        self.progress = RunProgress()
        self.metrics: dict[str, Any] = _metrics(self.progress)
        self._shown: Path | None = None
        self._stream = stream
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the background thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def update_metrics(self, env: Source = None) -> dict[str, Any]:
        """Read the run's files and return `metrics`; what is not written yet is left empty.

        Parameters
        ----------
        env : the run's folder, if another than before; named as in FinRL's guide, though it takes
            no env

        Raises
        ------
        ConfigError
            If no folder has been given, or `env` is an env, or no folder's path.
        """
        self._shown = newest_run(self._resolve(env))
        self.progress = read_progress(self._shown)
        self.metrics = _metrics(self.progress)
        return self.metrics

    def plot_live_metrics(self) -> Figure:
        """Show what `update_metrics` found, and return it as a figure.

        In a notebook the figure takes the place of the one before; elsewhere a few lines of text go
        to `stream`.
        """
        found, caption = panels(self.progress), self._caption()
        figure = draw(found, caption)
        if _in_notebook():
            _display(figure)
            return figure
        stream = sys.stdout if self._stream is None else self._stream
        blocks = BLOCKS if _can_encode(stream, BLOCKS) else ASCII_BLOCKS
        stream.write(text(found, caption, blocks=blocks) + "\n")
        stream.flush()
        return figure

    def monitor_training(self, env: Source = None) -> None:
        """Show the run every `refresh_interval` seconds until it ends, `stop()` or Ctrl-C.

        Given a folder of several runs, it goes on after each of them.

        Parameters
        ----------
        env : the run's folder, if another than before; named as in FinRL's guide, though it takes
            no env

        Raises
        ------
        ConfigError
            If no folder has been given, or `env` is an env, or no folder's path.
        """
        folder = self._resolve(env)
        self._stop.clear()
        try:
            self._watch(folder)
        except KeyboardInterrupt:
            self._stop.set()

    def start(self, env: Source = None) -> "RealTimeMonitor":
        """Do as `monitor_training` in a background thread, and return at once.

        Raises
        ------
        ConfigError
            If no folder has been given, `env` is no folder's path, or the thread is running.
        """
        folder = self._resolve(env)
        if self.is_running:
            raise ConfigError("this monitor is running already; call stop() first")
        self._stop.clear()
        # a daemon: it must not keep the interpreter alive
        self._thread = threading.Thread(
            target=self._watch, args=(folder,), name="RealTimeMonitor", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the background thread, or a `monitor_training` in another thread; may be repeated."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def __enter__(self) -> "RealTimeMonitor":
        """Start the background thread, if it is not running."""
        return self if self.is_running else self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the background thread."""
        self.stop()

    def _watch(self, folder: Path) -> None:
        while not self._stop.is_set():
            self.update_metrics(folder)
            self.plot_live_metrics()
            if self.progress.finished and looks_like_run(folder):
                return
            self._stop.wait(self.refresh_interval)

    def _resolve(self, source: Source | None) -> Path:
        if source is not None:
            self.run_dir = run_folder_of(source)
        if self.run_dir is None:
            raise ConfigError(
                "RealTimeMonitor needs the folder of a run: RealTimeMonitor(run_dir=...), or the "
                "folder as an argument here, for instance './experiments' for the latest run in it"
            )
        return self.run_dir

    def _caption(self) -> str:
        if self._shown is None:
            return "nothing read yet: call update_metrics() first"
        name, progress = self._shown.name, self.progress
        if progress.is_empty:
            return f"{name}: waiting for the first episode or evaluation"
        state = ", finished" if progress.finished else ""
        steps = f"{progress.timesteps:,} timesteps"
        if not progress.is_search:
            episodes = len(progress.episodes.get("timesteps", ()))
            evaluations = len(self.metrics["eval_timesteps"])
            return (
                f"{name}: {steps}, {counted(episodes, 'episode')}, "
                f"{counted(evaluations, 'evaluation')}{state}"
            )
        counts = ", ".join(f"{n} {state}" for state, n in progress.trial_states.items())
        return f"{name}: {steps}, {counts}, best {progress.best_objective:.4g}{state}"


def run_folder_of(source: Source) -> Path:
    """Return the folder that a path, or an object that knows its folder, stands for; absolute.

    Raises
    ------
    ConfigError
        If `source` is anything else, such as an env.
    """
    if not isinstance(source, str | os.PathLike):
        for name in ("experiment_dir", "path"):  # what a training run and a search hand back
            found = getattr(source, name, None)
            if isinstance(found, str | os.PathLike):
                source = found
    if not isinstance(source, str | os.PathLike):
        raise ConfigError(
            f"RealTimeMonitor reads the files of a run, got a {type(source).__name__}: an env in "
            "training is in the middle of a step and shows a new episode once the old one has "
            "ended; pass the run's folder, such as the experiment_dir of "
            "complete_training_pipeline, or './experiments' for the latest run in it"
        )
    return Path(source).expanduser().absolute()


def _metrics(progress: RunProgress) -> dict[str, Any]:
    """Return the lists of `RealTimeMonitor.metrics`."""
    episodes, evaluations = progress.episodes, progress.evaluations
    rows, reward, value = episodes, "reward", "portfolio_value"
    if not episodes:
        rows, reward, value = evaluations, "mean_reward", "account_value"
    metrics: dict[str, Any] = {
        "episode_rewards": _list(rows.get(reward)),
        "portfolio_values": _list(rows.get(value)),
        "steps": [int(step) for step in _list(rows.get("timesteps"))],
        "eval_timesteps": [int(step) for step in _list(evaluations.get("timesteps"))],
    }
    for name, values in evaluations.items():
        if name != "timesteps":
            metrics[f"eval_{name}"] = _list(values)
    metrics["trials"] = dict(progress.trial_states)
    metrics["best_objective"] = progress.best_objective
    return metrics


def _list(values: Any) -> list[float]:
    return [] if values is None else [float(value) for value in values]


def _in_notebook() -> bool:
    # a program that runs in a notebook has IPython loaded; nobody else needs it installed
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _display(figure: Figure) -> None:
    from IPython.display import Image, clear_output, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_PNG_DPI)
    clear_output(wait=True)
    display(Image(data=buffer.getvalue()))


def _can_encode(stream: TextIO, characters: str) -> bool:
    try:
        characters.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
