"""MLflow and Weights & Biases: what they are told, and that their faults stay theirs."""

import importlib.util
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pandas as pd
import pytest
import ray
from local_ray import local_ray
from ray import tune
from small_search import small_config

from finrl_ray.errors import ConfigError
from finrl_ray.search.loggers import trackers
from finrl_ray.search.loggers.trackers import GuardedTracker
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.runner import SearchResult, run_search


class Tracker(tune.Callback):
    """Notes what it is told; fails at the hooks in `faults`, waits at `held` for its event."""

    def __init__(self, *faults: str, held: str = "") -> None:
        self.faults = faults
        self.held = held
        self.go_on = threading.Event()
        self.told: list[tuple[str, Any]] = []

    def _note(self, hook: str, content: Any = None) -> None:
        if hook in self.faults:
            raise ConnectionError("the tracking server is away")
        if hook == self.held:
            self.go_on.wait(3600)
        self.told.append((hook, content))

    def setup(self, **info: Any) -> None:
        self._note("setup")

    def on_trial_start(self, iteration, trials, trial, **info: Any) -> None:
        self._note("start", trial)

    def on_trial_result(self, iteration, trials, trial, result, **info: Any) -> None:
        self._note("result", result)

    def on_trial_complete(self, iteration, trials, trial, **info: Any) -> None:
        self._note("complete", trial)

    def on_trial_error(self, iteration, trials, trial, **info: Any) -> None:
        self._note("error", trial)

    def on_experiment_end(self, trials, **info: Any) -> None:
        self._note("end")


class Trial(SimpleNamespace):
    def __str__(self) -> str:
        return f"trial_{self.trial_id}"


def one_trial(trial_id: str = "00000", **config: Any) -> Trial:
    return Trial(trial_id=trial_id, config=config, local_path="/x", experiment_dir_name="s")


def test_results_are_counted_in_timesteps() -> None:
    own = Tracker()
    guarded = GuardedTracker("x", own)
    result = {"timesteps": 512, "objective": 1.0}
    guarded.on_trial_result(1, [], one_trial(), result)
    guarded.on_experiment_end([])
    assert own.told[0] == ("result", {**result, "timesteps_total": 512})
    assert "timesteps_total" not in result


def test_a_fault_is_one_warning_and_nothing_more_is_told(caplog) -> None:
    own = Tracker("start")
    guarded = GuardedTracker("mlflow", own)
    guarded.setup()
    guarded.on_trial_start(1, [], one_trial())
    guarded.on_trial_result(1, [], one_trial(), {"timesteps": 1})
    guarded.on_trial_complete(1, [], one_trial())
    guarded.on_experiment_end([])
    assert [hook for hook, _ in own.told] == ["setup"]
    assert caplog.text.count("the tracking server is away") == 1
    assert "search.trackers 'mlflow' has failed" in caplog.text


def test_a_server_that_does_not_answer_holds_nothing_up(caplog, monkeypatch) -> None:
    monkeypatch.setattr(trackers, "_LAST_S", 0.2)
    own = Tracker(held="start")
    guarded = GuardedTracker("mlflow", own)
    began = time.monotonic()
    guarded.on_trial_start(1, [], one_trial())
    guarded.on_trial_result(1, [], one_trial(), {"timesteps": 1})
    assert time.monotonic() - began < 1800
    guarded.on_experiment_end([])
    assert time.monotonic() - began < 1800
    assert caplog.text.count("has not taken everything within 0.2 s") == 1
    own.go_on.set()


def test_hyperparameters_stay_those_that_a_trial_began_with() -> None:
    own = Tracker()
    guarded = GuardedTracker("mlflow", own, "small_1")
    trial = one_trial(learning_rate=0.1)
    guarded.on_trial_start(1, [], trial)
    trial.config["learning_rate"] = 0.2
    guarded.on_trial_start(2, [], trial)
    guarded.on_trial_complete(3, [], trial)
    guarded.on_experiment_end([])
    (first, again, ended) = [content for _, content in own.told[:3]]
    assert first.config == {"learning_rate": 0.1}
    assert again is first
    assert ended is first
    assert str(first) == "trial_00000"


def test_ids_of_two_searches_differ_and_fit() -> None:
    ids = []
    for name in ("x" * 80 + "_1", "x" * 80 + "_2"):
        own = Tracker()
        guarded = GuardedTracker("wandb", own, name)
        guarded.on_trial_start(1, [], one_trial())
        guarded.on_experiment_end([])
        ids.append(own.told[0][1].trial_id)
    assert ids[0] != ids[1]
    assert max(map(len, ids)) <= 64


def test_the_run_of_an_interrupted_trial_is_ended() -> None:
    own = Tracker()
    guarded = GuardedTracker("wandb", own)
    for name in ("00000", "00001"):
        guarded.on_trial_start(1, [], one_trial(name))
    guarded.on_trial_complete(1, [], one_trial("00000"))
    guarded.on_experiment_end([])
    assert [(hook, str(content)) for hook, content in own.told[2:]] == [
        ("complete", "trial_00000"),
        ("error", "trial_00001"),
        ("end", "None"),
    ]


def test_it_can_be_pickled_before_a_search(tmp_path: Path) -> None:
    guarded = GuardedTracker("x", tune.Callback(), "small_1")
    guarded.setup()
    again = cloudpickle.loads(cloudpickle.dumps(guarded))
    assert again.search == "small_1"
    again.on_experiment_end([])
    guarded.on_experiment_end([])


def test_a_tracker_that_cannot_be_made_is_a_warning(tmp_path, monkeypatch, caplog) -> None:
    def absent(folder: Any) -> Any:
        raise ImportError("No module named 'mlflow'")

    monkeypatch.setitem(trackers._MAKERS, "mlflow", absent)
    config = small_config(tmp_path, search={"trackers": ["mlflow"]})
    assert trackers.make_trackers(SimpleNamespace(config=config)) == []
    assert "the search goes on without it: No module named 'mlflow'" in caplog.text


def test_wandb_without_a_key_ends_quietly(tmp_path, monkeypatch, caplog) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)

    def wait(refs: list[Any], **named: Any) -> Any:
        raise ValueError("num_returns cannot be less than 1")  # as Ray does for no refs

    monkeypatch.setattr(ray, "wait", wait)
    folder = SimpleNamespace(path=tmp_path, config=small_config(tmp_path))
    guarded = trackers._wandb(folder)
    monkeypatch.setattr(
        "ray.air.integrations.wandb._set_api_key", lambda *a: (_ for _ in ()).throw(ValueError)
    )
    guarded.setup()
    guarded.on_experiment_end([])
    assert guarded.broken
    # what the garbage collector calls: an exception there is printed as ignored
    guarded.tracker.__del__()
    again = cloudpickle.loads(cloudpickle.dumps(guarded))
    again.tracker.__del__()


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


@pytest.fixture(scope="module")
def ray_under_trackers() -> Iterator[None]:
    """One Ray for the searches of this file: starting it costs more than any of them."""
    with pytest.MonkeyPatch.context() as patch:
        # W&B's runs are processes of Ray, which take the environment that it was started in
        patch.setenv("WANDB_MODE", "offline")
        with local_ray(num_cpus=2):
            yield


@pytest.fixture(scope="module")
def tracked(ray_under_trackers: None, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    """One search under all trackers that are installed."""
    installed = [name for name in ("mlflow", "wandb") if importlib.util.find_spec(name)]
    search = {"trackers": installed, "num_samples": 2, "max_concurrent_trials": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("WANDB_MODE", "offline")
        return run_search(small_config(tmp_path_factory.mktemp("tracked"), search=search))


@pytest.mark.slow
def test_mlflow_has_every_trial(tracked: SearchResult) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    client = mlflow.MlflowClient((tracked.path / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"trial_00000", "trial_00001"}
    curves = pd.read_csv(tracked.path / "learning_curves.csv")
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
def test_wandb_offline_has_a_run_per_trial(tracked: SearchResult) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    assert tracked.finished
    runs = list((tracked.path / "wandb").rglob("*.wandb"))
    assert len(runs) == 2
    content = b"".join(run.read_bytes() for run in runs)
    assert b"eval/sharpe_ratio" in content
    assert b"trial_00001" in content


PBT_SPACE = {
    "learning_rate": {"loguniform": [1.0e-5, 1.0e-2]},
    "n_steps": {"choice": [64]},
    "batch_size": {"choice": [64]},
    "n_epochs": {"choice": [1]},
    "net_arch": {"choice": ["tiny"]},
}


@pytest.mark.long
@pytest.mark.usefixtures("ray_under_trackers")
def test_mlflow_has_every_result_under_population_based_training(tmp_path, monkeypatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra [mlflow] is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    scheduler = {"type": "pbt", "perturbation_interval": 512}
    search = {"trackers": ["mlflow"], "scheduler": scheduler, "space": PBT_SPACE}
    result = run_search(small_config(tmp_path, search=search))
    assert result.table["lineage"].str.contains("trial").any()  # hyperparameters were changed
    client = mlflow.MlflowClient((result.path / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4
    for run in runs:
        assert run.info.status == "FINISHED"
        history = client.get_metric_history(run.info.run_id, "objective")
        assert max(point.step for point in history) == 2048


@pytest.mark.slow
@pytest.mark.usefixtures("ray_under_trackers")
def test_ctrl_c_does_not_wait_for_wandb(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("wandb", reason="the extra [wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(trackers, "_LAST_S", 3600.0)  # a search that waited would wait as long

    class Interrupter(tune.Callback):
        """Sends Ctrl-C at the first result, as a terminal does."""

        at: list[float] = []  # noqa: RUF012  # Ray pickles the callback, this class it does not

        def on_trial_result(self, iteration, trials, trial, result, **info: Any) -> None:
            if not self.at:
                self.at.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)

    result = run_search(
        small_config(
            tmp_path,
            agent={"total_timesteps": 400_000},
            search={"trackers": ["wandb"], "num_samples": 2, "max_concurrent_trials": 1},
        ),
        make_view=lambda *given: Interrupter(),
    )
    assert not result.finished
    assert time.monotonic() - Interrupter.at[0] < trackers._LAST_S
