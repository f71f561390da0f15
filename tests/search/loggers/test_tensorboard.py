"""TensorBoard's files of a search: scalars, hyperparameters, endings, faults."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from small_search import small_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.loggers.tensorboard import METRICS, TensorBoardLog
from finrl_ray.search.run.runner import run_search


def record(index: int, state: str = "running", values: tuple[float, ...] = ()) -> TrialRecord:
    sample = {"n_steps": 64, "net_arch": "tiny", "learning_rate": 1e-3}
    made = TrialRecord(trial_id=f"{index:05d}", index=index, sample=sample, started=True)
    made.state = state  # type: ignore[assignment]  # one of the states
    made.results = [
        {"timesteps": 100 * (k + 1), "objective": value, "eval/sharpe_ratio": value, "notes": "x"}
        for k, value in enumerate(values)
    ]
    return made


class Journal:
    def __init__(self, *records: TrialRecord) -> None:
        self.kept = list(records)

    @property
    def records(self) -> Any:
        return SimpleNamespace(in_order=lambda: self.kept)


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return events


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(e.step, pytest.approx(e.value)) for e in read(folder).Scalars(tag)]


PARSERS = {
    metadata.EXPERIMENT_TAG: metadata.parse_experiment_plugin_data,
    metadata.SESSION_START_INFO_TAG: metadata.parse_session_start_info_plugin_data,
    metadata.SESSION_END_INFO_TAG: metadata.parse_session_end_info_plugin_data,
}


def plugin(folder: Path) -> dict[str, Any]:
    """Return what the HParams tab is told of a run, by tag."""
    events = read(folder)
    told = events.PluginTagToContent("hparams")
    return {tag: parse(told[tag]) for tag, parse in PARSERS.items() if tag in told}


def test_one_run_per_trial_with_its_scalars_and_hyperparameters(tmp_path: Path) -> None:
    journal = Journal(record(0, values=(0.5,)), record(1), record(3, "failed", (1.0,)))
    log = TensorBoardLog(tmp_path, small_config(tmp_path), journal)
    log.update()
    journal.kept[0] = record(0, "stopped", (0.5, float("nan"), 0.7))
    log.update()
    log.on_experiment_end([])
    folder = tmp_path / "tensorboard"
    # trial 1 has reported nothing yet
    assert sorted(p.name for p in folder.iterdir()) == ["trial_00000", "trial_00003"]
    assert scalars(folder / "trial_00000", "eval/sharpe_ratio") == [(100, 0.5), (300, 0.7)]
    assert read(folder / "trial_00000").Tags()["scalars"] == ["objective", "eval/sharpe_ratio"]
    told = plugin(folder / "trial_00000")
    start = told[metadata.SESSION_START_INFO_TAG].hparams
    assert start["n_steps"].number_value == 64
    assert start["learning_rate"].number_value == pytest.approx(1e-3)
    assert start["net_arch"].string_value == "[32]"
    experiment = told[metadata.EXPERIMENT_TAG]
    assert [m.name.tag for m in experiment.metric_infos] == list(METRICS)
    assert told[metadata.SESSION_END_INFO_TAG].status == api_pb2.STATUS_SUCCESS
    failed = plugin(folder / "trial_00003")[metadata.SESSION_END_INFO_TAG]
    assert failed.status == api_pb2.STATUS_FAILURE


def test_files_are_closed_with_their_trial(tmp_path: Path) -> None:
    journal = Journal(record(0, "completed", (1.0,)), record(1, values=(1.0,)))
    log = TensorBoardLog(tmp_path, small_config(tmp_path), journal)
    log.update()
    assert list(log.writers) == [1]
    log.update()
    assert list(log.writers) == [1]  # an ended trial is not opened again
    assert len(list((tmp_path / "tensorboard" / "trial_00000").iterdir())) == 1
    log.on_experiment_end([])


def test_a_search_that_goes_on_writes_everything_again(tmp_path: Path) -> None:
    left = tmp_path / "tensorboard" / "trial_00009"
    left.mkdir(parents=True)
    (left / "events.out.tfevents.1").write_bytes(b"half an ev")
    log = TensorBoardLog(tmp_path, small_config(tmp_path), Journal(record(0, values=(1.0, 2.0))))
    log.update()
    log.on_experiment_end([])
    assert not left.exists()
    assert len(scalars(tmp_path / "tensorboard" / "trial_00000", "objective")) == 2


def test_a_fault_is_one_warning_and_never_reaches_the_search(tmp_path: Path, caplog) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    log = TensorBoardLog(tmp_path, small_config(tmp_path), Journal(record(0, values=(1.0,))))
    for _ in range(3):
        log.next = 0.0
        log.on_step_end(0, [])
    log.on_experiment_end([])
    assert caplog.text.count("TensorBoard's files are written no longer") == 1


def test_a_disk_that_is_full_at_the_end_does_not_reach_the_search(tmp_path, caplog) -> None:
    log = TensorBoardLog(tmp_path, small_config(tmp_path), Journal(record(0, values=(1.0,))))
    log.update()
    (writer,) = log.writers.values()
    writer.close()  # its own, in time

    def full() -> None:
        raise OSError("no space left on device")

    writer.flush, writer.close = (lambda: None), full
    log.on_experiment_end([])
    assert "no space left on device" in caplog.text
    assert log.writers == {}


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_real_search(tmp_path: Path) -> None:
    result = run_search(
        small_config(tmp_path, search={"num_samples": 2, "max_concurrent_trials": 1})
    )
    curves = pd.read_csv(result.path / "learning_curves.csv")
    for trial, rows in curves.groupby("trial"):
        folder = result.path / "tensorboard" / f"trial_{trial:05d}"
        assert scalars(folder, "eval/max_drawdown") == list(
            zip(rows["timesteps"], rows["eval/max_drawdown"], strict=True)
        )
        assert metadata.SESSION_END_INFO_TAG in plugin(folder)
    _check_command(result.path)


def _check_command(folder: Path) -> None:
    """`finrl-ray tensorboard` serves the page and leaves no process behind when it is ended."""
    script = Path(sys.executable).with_name("finrl-ray")
    process = subprocess.Popen(
        [str(script), "tensorboard", str(folder), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        with urllib.request.urlopen(f"{url}data/runs", timeout=600) as answer:
            assert b"trial_00000" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=600) == 0
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=5)
    finally:
        process.kill()
        process.wait()
