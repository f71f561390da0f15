"""Training one agent without Ray, into a folder that reads like a search of one trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from finrl_ray.config import ExperimentConfig
from finrl_ray.errors import FinRLRayError
from finrl_ray.search.folder import SearchFolder, create_folder
from finrl_ray.search.journal import (
    Records,
    TrialRecord,
    append_event,
    interruption,
    reported_metrics,
)
from finrl_ray.search.outputs import write_outputs
from finrl_ray.search.preparation import prepare_search
from finrl_ray.search.retention import prune
from finrl_ray.training import train_agent

CHECKPOINTS_FOLDER = "checkpoints"
_TRIAL = "train"


def train_single(
    config: ExperimentConfig,
    *,
    base_dir: Path = Path(),
    on_evaluation: Callable[[str], None] = lambda line: None,
) -> tuple[Path, bool]:
    """Train the agent of `config.agent` once, into a folder with its model and evaluations.

    Ctrl-C ends training; what was evaluated until then is kept.

    Parameters
    ----------
    config : the experiment; its search section is used for `storage_path` and limits alone
    base_dir : folder that a relative `data.source` is looked up from
    on_evaluation : called with one line after each evaluation

    Returns
    -------
    path : the folder
    completed : False if training was interrupted

    Raises
    ------
    ConfigError, DataError
        Before anything is written.
    TrialDivergedError
        When the networks' parameters are no longer finite; the folder keeps what was reported.
    """
    prepared = prepare_search(config, base_dir=base_dir)
    storage = Path(config.search.storage_path)
    folder = create_folder(
        prepared.config,
        prepared.market_data,
        prepared.split,
        prepared.data_report,
        storage,
        kind="train",
    )
    log = _SingleLog(folder, on_evaluation)
    append_event(folder.path, log.records, "start", trial_id=_TRIAL, index=0, sample={})
    try:
        train_agent({}, prepared.config, folder.train_data, folder.validation_data, log.report)
    except FinRLRayError as error:
        log.end("failed", str(error), error=str(error))
        raise
    except KeyboardInterrupt:
        log.end("interrupted", interruption(log.record))
    else:
        steps = log.record.last["timesteps"]
        reason = log.record.last.get("stop_reason") or f"completed {steps:,} timesteps"
        log.end("completed", reason)
    write_outputs(folder, log.records.in_order())
    return folder.path, log.record.state == "completed"


class _SingleLog:
    """Keeps the journal and the best and last checkpoints of one agent."""

    def __init__(self, folder: SearchFolder, on_evaluation: Callable[[str], None]) -> None:
        self.folder = folder
        self.on_evaluation = on_evaluation
        self.records = Records()

    @property
    def record(self) -> TrialRecord:
        return self.records.trials[_TRIAL]

    def end(self, state: str, reason: str, **content: Any) -> None:
        append_event(
            self.folder.path,
            self.records,
            "end",
            trial_id=_TRIAL,
            state=state,
            reason=reason,
            **content,
        )

    def report(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        """Write the checkpoint whole, then note the evaluation."""
        steps = metrics["timesteps"]
        place = self.folder.path / CHECKPOINTS_FOLDER / f"checkpoint_{steps:09d}"
        partial = place.with_name(f".{place.name}.partial")
        partial.mkdir(parents=True)
        save(partial)
        partial.rename(place)
        where = str(place.relative_to(self.folder.path))
        content = reported_metrics(metrics)
        append_event(self.folder.path, self.records, "result", trial_id=_TRIAL, metrics=content)
        append_event(
            self.folder.path,
            self.records,
            "checkpoint",
            trial_id=_TRIAL,
            timesteps=steps,
            path=where,
        )
        prune(self.folder.path, [self.record], keep_best=1)
        self.on_evaluation(
            f"{steps:>9,} timesteps: Sharpe {metrics['eval/sharpe_ratio']:.3f}, "
            f"max drawdown {metrics['eval/max_drawdown']:.1%}"
        )
