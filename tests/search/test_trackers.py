"""MLflow and Weights & Biases: what they are told, and that their faults stay theirs."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ray import tune
from small_search import small_config

from finrl_ray.errors import ConfigError
from finrl_ray.search.preparation import prepare_search
from finrl_ray.search.runner import run_search
from finrl_ray.search.trackers import GuardedTracker


class Tracker(tune.Callback):
    """Notes what it is told; fails at the hooks in `faults`."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self.told: list[tuple[str, Any]] = []

    def _note(self, hook: str, content: Any = None) -> None:
        if hook in self.faults:
            raise ConnectionError("the tracking server is away")
        self.told.append((hook, content))

    def setup(self, **info: Any) -> None:
        self._note("setup")

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        self._note("start")

    def on_trial_result(self, iteration, trials, trial, result, **info: Any) -> None:
        self._note("result", result)

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self._note("complete")


def test_results_are_counted_in_timesteps() -> None:
    own = Tracker()
    guarded = GuardedTracker("x", own)
    result = {"timesteps": 512, "objective": 1.0}
    guarded.on_trial_result(1, [], None, result)
    assert own.told == [("result", {**result, "timesteps_total": 512})]
    assert "timesteps_total" not in result


def test_a_fault_is_one_warning_and_nothing_more_is_told(caplog) -> None:
    own = Tracker("start")
    guarded = GuardedTracker("mlflow", own)
    guarded.setup()
    guarded.on_trial_start(1, [], None)
    guarded.on_trial_result(1, [], None, {"timesteps": 1})
    guarded.on_trial_complete(1, [], None)
    guarded.on_experiment_end([])
    assert [hook for hook, _ in own.told] == ["setup"]
    assert caplog.text.count("the tracking server is away") == 1
    assert "search.trackers 'mlflow' has failed" in caplog.text


def test_every_hook_that_a_tracker_of_ray_fills_is_passed_on() -> None:
    from ray.tune.logger import LoggerCallback

    filled = {name for name in vars(LoggerCallback) if name.startswith("on_")}
    unused = {"on_trial_restore", "on_trial_save"}  # they say nothing that is not in the others
    assert filled - unused <= set(vars(GuardedTracker))


def test_unknown_and_repeated_trackers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trackers"):
        small_config(tmp_path, search={"trackers": ["tensorflow"]})
    with pytest.raises(ConfigError, match="each tracker once"):
        small_config(tmp_path, search={"trackers": ["wandb", "wandb"]})


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_extra_is_refused_before_anything_starts(tmp_path, monkeypatch, name) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == name else found(n))
    config = small_config(tmp_path, search={"trackers": [name]})
    with pytest.raises(ConfigError, match=re.escape(f"pip install 'finrl-ray[{name}]'")):
        prepare_search(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_mlflow_has_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = run_search(small_config(tmp_path, search={"trackers": ["mlflow"], "num_samples": 2}))
    client = mlflow.MlflowClient((result.path / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"trial_00000", "trial_00001"}
    curves = pd.read_csv(result.path / "learning_curves.csv")
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params["net_arch"] == "tiny"
        assert float(run.data.params["learning_rate"]) > 0
        rows = curves[curves["trial"] == int(run.info.run_name[-5:])]
        history = client.get_metric_history(run.info.run_id, "eval/sharpe_ratio")
        assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == list(
            zip(rows["timesteps"], rows["eval/sharpe_ratio"], strict=True)
        )
        assert {"eval/max_drawdown", "objective"} <= set(run.data.metrics)


@pytest.mark.slow
def test_wandb_offline_has_a_run_per_trial(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    result = run_search(small_config(tmp_path, search={"trackers": ["wandb"], "num_samples": 2}))
    assert result.finished
    runs = list((result.path / "wandb").rglob("*.wandb"))
    assert len(runs) == 2
    content = b"".join(run.read_bytes() for run in runs)
    assert b"eval/sharpe_ratio" in content
    assert b"trial_00001" in content
