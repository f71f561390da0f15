"""A run's progress in a terminal or a notebook, while it goes on."""

import io
import subprocess
import sys
import threading
import time
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from run_folders import write_episodes, write_evaluations, write_journal
from stable_baselines3.common.vec_env import DummyVecEnv

from finrl_ray.errors import ConfigError
from finrl_ray.monitoring.panels import sparkline
from finrl_ray.monitoring.real_time_monitor import RealTimeMonitor


def shown(folder, *writers, **options) -> tuple[RealTimeMonitor, Figure, str]:
    for write in writers:
        write(folder)
    stream = io.StringIO()
    monitor = RealTimeMonitor(60, folder, stream=stream, **options)
    monitor.update_metrics()
    figure = monitor.plot_live_metrics()
    return monitor, figure, stream.getvalue()


class TestMetrics:
    def test_the_guides_keys_hold_the_training_episodes(self, tmp_path) -> None:
        monitor, _, _ = shown(tmp_path, write_episodes, write_evaluations)
        metrics = monitor.metrics
        assert metrics["steps"] == [100, 200, 300, 400]
        assert metrics["portfolio_values"] == [1001.0, 1002.0, 1003.0, 1004.0]
        assert metrics["episode_rewards"] == [1.5, 2.5, 3.5, 4.5]
        assert metrics["eval_timesteps"] == [200, 400, 600]
        assert metrics["eval_sharpe_ratio"] == [-1.0, 0.0, 1.0]

    def test_without_episodes_they_hold_the_evaluations(self, tmp_path) -> None:
        monitor, _, _ = shown(tmp_path, write_evaluations)
        assert monitor.metrics["steps"] == [200, 400, 600]
        assert monitor.metrics["portfolio_values"] == [1008.0, 1018.0, 1028.0]

    def test_the_keys_are_there_before_anything_is_written(self) -> None:
        monitor = RealTimeMonitor(refresh_interval=60)
        assert monitor.metrics["episode_rewards"] == []
        assert monitor.metrics["portfolio_values"] == monitor.metrics["steps"] == []

    def test_a_folder_may_come_later(self, tmp_path) -> None:
        monitor = RealTimeMonitor()
        with pytest.raises(ConfigError, match="needs the folder of a run"):
            monitor.update_metrics()
        write_episodes(tmp_path)
        assert monitor.update_metrics(str(tmp_path))["steps"]
        assert monitor.update_metrics()["steps"]

    def test_what_a_run_hands_back_stands_for_its_folder(self, tmp_path) -> None:
        write_episodes(tmp_path)
        for run in (SimpleNamespace(experiment_dir=str(tmp_path)), SimpleNamespace(path=tmp_path)):
            assert RealTimeMonitor(run_dir=run).update_metrics()["steps"]

    def test_an_env_is_refused_and_left_alone(self) -> None:
        class Untouchable(DummyVecEnv):
            def __init__(self) -> None:
                self.envs = []

            def __del__(self) -> None:
                pass

        monitor = RealTimeMonitor()
        for method in (monitor.update_metrics, monitor.monitor_training, monitor.start):
            with pytest.raises(ConfigError, match="pass the run's folder"):
                method(Untouchable())
            with pytest.raises(ConfigError, match="pass the run's folder"):
                method(env=Untouchable())


class TestShowing:
    def test_a_figure_also_without_a_screen(self, tmp_path) -> None:
        _, figure, text = shown(tmp_path, write_episodes, write_evaluations)
        titles = [axes.get_title() for axes in figure.axes]
        assert titles == ["Portfolio Value", "Episode Returns (%)", "Validation Sharpe Ratio"]
        first, second, _ = figure.axes
        assert first.lines[0].get_xdata().tolist() == [100, 200, 300, 400]
        assert first.get_xlabel() == "Timesteps"
        # of each episode itself, not between neighbours and across resets
        assert second.lines[0].get_ydata() == pytest.approx([0.1, 0.2, 0.3, 0.4])
        assert "600 timesteps, 4 episodes, 3 evaluations" in text
        assert "Portfolio Value" in text
        assert "▁▃▆█  1,004" in text
        figure.savefig(io.BytesIO())

    def test_a_search(self, tmp_path) -> None:
        _, figure, text = shown(tmp_path, write_journal)
        assert [a.get_title() for a in figure.axes] == ["Learning Curves", "Best Objective"]
        assert figure.axes[1].lines[0].get_ydata().tolist() == [0.4, 0.9]
        assert "1 completed, 1 running, best 0.9" in text

    def test_episodes_that_end_together_are_one_point(self, tmp_path) -> None:
        path = write_episodes(tmp_path, 2)
        path.write_text(path.read_text() + "200,1,9.5,100,1004.0,0.004\n300,1,1.0,100,nan,nan\n")
        _, figure, _ = shown(tmp_path)
        line = figure.axes[0].lines[0]
        assert line.get_xdata().tolist() == [100, 200]
        assert line.get_ydata().tolist() == [1001, 1003]

    def test_nothing_yet(self, tmp_path) -> None:
        _, figure, text = shown(tmp_path / "later")
        assert isinstance(figure, Figure)
        assert text == "later: waiting for the first episode or evaluation\n"
        RealTimeMonitor().plot_live_metrics()

    def test_a_stream_that_knows_ascii_alone(self, tmp_path) -> None:
        write_episodes(tmp_path)
        raw = io.BytesIO()
        monitor = RealTimeMonitor(1, tmp_path, stream=io.TextIOWrapper(raw, encoding="ascii"))
        monitor.update_metrics()
        monitor.plot_live_metrics()
        assert b"_-*#" in raw.getvalue().replace(b"+", b"*") or b"#" in raw.getvalue()

    def test_a_notebook_shows_the_picture_and_no_text(self, tmp_path, monkeypatch) -> None:
        calls = []
        display = ModuleType("IPython.display")
        display.Image = lambda data: data
        display.display = lambda data: calls.append(data[:4])
        display.clear_output = lambda wait: calls.append(wait)
        ipython = ModuleType("IPython")
        ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        _, _, text = shown(tmp_path, write_episodes)
        assert calls == [True, b"\x89PNG"]
        assert text == ""

    def test_sparklines(self) -> None:
        assert sparkline(np.array([0.0, 7.0])) == "▁█"
        assert sparkline(np.array([2.0, 2.0])) == "▁▁"
        assert sparkline(np.arange(100.0), width=8) == "▁▂▃▄▅▆▇█"
        assert sparkline(np.array([])) == ""

    def test_neither_pyplot_nor_ipython_is_imported(self) -> None:
        code = (
            "import sys; import finrl_ray.monitoring.real_time_monitor; "
            "import finrl_ray.agents.callbacks.performance_monitor; "
            "print([m for m in ('IPython', 'matplotlib.pyplot', 'ray') if m in sys.modules])"
        )
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert out.stdout.strip() == "[]"


class TestWatching:
    def test_the_background_thread_stops_promptly(self, tmp_path) -> None:
        stream = io.StringIO()
        before = threading.active_count()
        with RealTimeMonitor(3600, tmp_path, stream=stream) as monitor:
            assert monitor.is_running
            assert any(t.name == "RealTimeMonitor" and t.daemon for t in threading.enumerate())
            start = time.perf_counter()
        assert time.perf_counter() - start < 1800  # of the 3600 between two looks
        assert not monitor.is_running
        assert threading.active_count() == before
        monitor.stop()

    def test_it_looks_again_and_ends_with_the_run(self, tmp_path) -> None:
        write_episodes(tmp_path, 2)
        stream = io.StringIO()
        monitor = RealTimeMonitor(0.02, tmp_path, stream=stream).start()
        deadline = time.monotonic() + 600
        while stream.getvalue().count("2 episodes") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        write_episodes(tmp_path, 3)
        (tmp_path / "metrics.json").write_text("{}")
        monitor._thread.join(600)
        assert not monitor.is_running
        assert "3 episodes, 0 evaluations, finished" in stream.getvalue()
        assert monitor.metrics["steps"] == [100, 200, 300]
        monitor.start()
        monitor._thread.join(600)

    def test_two_threads_are_refused(self, tmp_path) -> None:
        with (
            RealTimeMonitor(60, tmp_path, stream=io.StringIO()) as monitor,
            pytest.raises(ConfigError, match="running already"),
        ):
            monitor.start()

    def test_monitor_training_ends_with_the_run(self, tmp_path) -> None:
        write_journal(tmp_path, ended=True)
        monitor = RealTimeMonitor(60, stream=io.StringIO())
        monitor.monitor_training(tmp_path)
        assert monitor.metrics["trials"] == {"completed": 2}

    def test_monitor_training_ends_by_stop(self, tmp_path) -> None:
        monitor = RealTimeMonitor(3600, tmp_path, stream=io.StringIO())
        timer = threading.Timer(0.3, monitor.stop)
        timer.start()
        start = time.perf_counter()
        monitor.monitor_training()
        assert time.perf_counter() - start < 1800  # of the 3600 between two looks

    def test_ctrl_c_ends_it_without_a_traceback(self, tmp_path, monkeypatch) -> None:
        monitor = RealTimeMonitor(60, tmp_path, stream=io.StringIO())

        def interrupted(timeout) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(monitor._stop, "wait", interrupted)
        monitor.monitor_training()

    def test_the_latest_of_several_runs_is_followed(self, tmp_path) -> None:
        write_episodes(tmp_path / "first", 2)
        (tmp_path / "first" / "metrics.json").write_text("{}")
        stream = io.StringIO()
        with RealTimeMonitor(0.02, tmp_path, stream=stream) as monitor:
            deadline = time.monotonic() + 600
            while "finished" not in stream.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
            write_episodes(tmp_path / "second", 5)
            while "second: 500" not in stream.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert monitor.is_running
        assert "second: 500 timesteps, 5 episodes" in stream.getvalue()


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan"), "30"])
def test_bad_intervals(interval) -> None:
    with pytest.raises(ConfigError, match="refresh_interval must be > 0"):
        RealTimeMonitor(interval)
