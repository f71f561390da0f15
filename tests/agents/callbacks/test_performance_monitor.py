"""Training episodes as pictures and as data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from market_env import MarketEnv
from small_models import small_env, small_model
from stable_baselines3 import A2C, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, configure
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from finrl_ray.agents.callbacks.callback_state import (
    capture_callback_state,
    restore_callback_state,
)
from finrl_ray.agents.callbacks.performance_figure import (
    average_window,
    moving_average,
    progress_figure,
)
from finrl_ray.agents.callbacks.performance_monitor import PerformanceMonitorCallback
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.agents.state.training_state import capture_state, learn_from, restore_state
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

pytestmark = pytest.mark.slow  # they train, or start a server

PNG_HEADER = b"\x89PNG\r\n\x1a\n"
EPISODE = 29  # steps of MarketEnv's 30 days


class Endings(BaseCallback):
    """Keeps the account histories that the infos show at episode ends."""

    def __init__(self) -> None:
        super().__init__()
        self.histories: list[tuple[int, object]] = []

    def _on_step(self) -> bool:
        for index in np.flatnonzero(self.locals["dones"]):
            history = self.locals["infos"][index]["account_history"]
            self.histories.append((int(index), history))
        return True


def monitor(tmp_path: Path, **options) -> PerformanceMonitorCallback:
    return PerformanceMonitorCallback(**{"check_freq": 1000, "plot_dir": tmp_path, **options})


def steps_drawn(folder: Path) -> list[int]:
    return sorted(int(p.stem.rsplit("_", 1)[1]) for p in folder.glob("training_progress_step_*"))


class TestEpisodes:
    def test_terminal_values_of_all_envs_not_those_after_the_reset(self, tmp_path, market) -> None:
        env = StockTradingVecEnv(market, 3)
        callback, endings = monitor(tmp_path), Endings()
        A2C("MlpPolicy", env, seed=0).learn(400, [callback, endings])
        assert [e.env for e in callback.episodes] == [0, 1, 2, 0, 1, 2]
        expected = [h.account_value[-1] for _, h in endings.histories]
        assert callback.portfolio_values == expected
        assert all(value != 1_000_000 for value in expected)
        assert callback.episode_timesteps == [177, 177, 177, 354, 354, 354]
        assert [e.portfolio_return for e in callback.episodes] == pytest.approx(
            [v / 1e6 - 1 for v in expected]
        )

    def test_no_monitor_is_needed_and_rewards_are_the_envs_own(self, tmp_path) -> None:
        env = VecNormalize(DummyVecEnv([MarketEnv, lambda: MarketEnv(market_seed=1)]))
        callback, endings = monitor(tmp_path), Endings()
        A2C("MlpPolicy", env, seed=0).learn(130, [callback, endings])
        expected = [h.rewards.sum() * 1e-2 for _, h in endings.histories]
        assert len(expected) == 4
        assert callback.episode_rewards == pytest.approx(expected, rel=1e-4)
        assert callback.episode_lengths == [EPISODE] * 4

    @pytest.mark.parametrize("algorithm", ["a2c", "ppo", "ddpg", "td3", "sac"])
    def test_every_algorithm(self, algorithm, tmp_path) -> None:
        callback = monitor(tmp_path)
        small_model(algorithm, 2).learn(100, callback)
        assert callback.episode_lengths[:2] == [EPISODE] * 2
        assert (tmp_path / "performance.csv").exists()

    def test_a_second_training_starts_its_episodes_anew(self, tmp_path) -> None:
        callback = monitor(tmp_path)
        model = A2C("MlpPolicy", DummyVecEnv([MarketEnv]), seed=0)
        model.learn(40, callback)
        model.learn(40, callback)
        assert callback.episode_lengths == [EPISODE, EPISODE]

    @pytest.mark.parametrize("algorithm", [A2C, SAC])
    def test_training_that_goes_on_in_another_env_starts_its_episodes_anew(
        self, algorithm, tmp_path
    ) -> None:
        callback = monitor(tmp_path)
        model = algorithm("MlpPolicy", DummyVecEnv([MarketEnv]), seed=0)
        model.learn(40, callback)
        model.set_env(DummyVecEnv([MarketEnv]))
        model.learn(40, callback, reset_num_timesteps=False)
        assert callback.episode_lengths == [EPISODE, EPISODE]

    @pytest.mark.parametrize("algorithm", [A2C, SAC])
    def test_training_that_goes_on_in_the_same_env_goes_on_with_its_episodes(
        self, algorithm, tmp_path
    ) -> None:
        callback = monitor(tmp_path)
        model = algorithm("MlpPolicy", DummyVecEnv([MarketEnv]), seed=0)
        model.learn(20, callback)
        model.learn(20, callback, reset_num_timesteps=False)
        assert callback.episode_lengths == [EPISODE]

    def test_an_env_without_an_account(self, tmp_path) -> None:
        callback = monitor(tmp_path)
        A2C("MlpPolicy", "Pendulum-v1", seed=0).learn(220, callback)
        assert callback.episode_lengths == [200]
        assert np.isnan(callback.portfolio_values).all()
        summary = json.loads((tmp_path / "performance.json").read_text())
        assert summary["last_episode"]["portfolio_value"] is None

    def test_the_history_is_bounded_and_says_so(self, tmp_path) -> None:
        callback = monitor(tmp_path, history=3)
        A2C("MlpPolicy", small_env(), seed=0).learn(EPISODE * 5, callback)
        assert len(callback.episodes) == 3
        assert callback.dropped_episodes == 2
        assert callback.episode_timesteps == [EPISODE * k for k in (3, 4, 5)]
        assert json.loads((tmp_path / "performance.json").read_text())["n_episodes"] == 5

    @pytest.mark.slow
    def test_envs_in_subprocesses(self, tmp_path) -> None:
        env = SubprocVecEnv([MarketEnv, MarketEnv])
        try:
            callback = monitor(tmp_path)
            A2C("MlpPolicy", env, seed=0).learn(100, callback)
        finally:
            env.close()
        assert len(callback.portfolio_values) == 2
        assert 10_000.0 not in callback.portfolio_values

    def test_training_goes_on_as_without_it(self, tmp_path) -> None:
        first = small_model("ppo").learn(128)
        second = small_model("ppo").learn(128, monitor(tmp_path, check_freq=20))
        one, other = first.get_parameters()["policy"], second.get_parameters()["policy"]
        assert all(bool((one[name] == other[name]).all()) for name in one)


class TestFiles:
    @pytest.mark.parametrize(("n_envs", "expected"), [(1, [40, 80, 120, 150]), (4, [120])])
    def test_frequency_is_in_timesteps_whatever_n_envs(self, n_envs, expected, tmp_path) -> None:
        # four envs end their first episodes at 116 timesteps, and no others before 150
        callback = monitor(tmp_path, check_freq=40)
        small_model("a2c", n_envs, n_steps=1, normalize=False).learn(150, callback)
        assert steps_drawn(tmp_path) == expected

    def test_nothing_is_drawn_before_an_episode_has_ended(self, tmp_path) -> None:
        small_model("a2c").learn(25, monitor(tmp_path / "plots", check_freq=5))
        assert not (tmp_path / "plots").exists()

    def test_the_data_lie_beside_the_picture(self, tmp_path) -> None:
        callback = monitor(tmp_path)
        small_model("a2c", 2).learn(200, callback)
        with (tmp_path / "performance.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["reward"]) for row in rows] == callback.episode_rewards
        assert [int(row["timesteps"]) for row in rows] == callback.episode_timesteps
        assert [float(row["portfolio_value"]) for row in rows] == callback.portfolio_values
        pictures = list(tmp_path.glob("*.png"))
        assert pictures
        assert all(path.read_bytes().startswith(PNG_HEADER) for path in pictures)
        assert not list(tmp_path.glob(".*"))

    def test_the_folder_of_a_chosen_logger_is_used(self, tmp_path) -> None:
        model = small_model("a2c")
        model.set_logger(configure(str(tmp_path / "run"), ["csv"]))
        model.learn(40, PerformanceMonitorCallback())
        assert steps_drawn(tmp_path / "run" / "plots") == [40]
        assert "performance/portfolio_value" in (tmp_path / "run" / "progress.csv").read_text()

    def test_otherwise_plots_in_the_working_folder_at_the_start(
        self, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        callback = PerformanceMonitorCallback()
        model = small_model("a2c")
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(40, callback)
        assert callback.plot_dir == tmp_path / "plots"
        assert steps_drawn(tmp_path / "plots") == [40]

    def test_a_full_disk_does_not_end_training(self, tmp_path, caplog) -> None:
        (tmp_path / "plots").write_text("a file where the folder should be")
        model = small_model("a2c")
        model.learn(100, monitor(tmp_path / "plots"))
        assert model.num_timesteps == 100
        assert "could not be written" in caplog.text


class TestFigure:
    def test_an_average_stands_where_its_window_ends(self) -> None:
        indices, means = moving_average(np.arange(12.0), 3)
        assert indices.tolist() == list(range(2, 12))
        assert means == pytest.approx(np.arange(1.0, 11.0))
        assert [average_window(n) for n in (10, 11, 100, 400)] == [None, 2, 25, 50]

    def test_panels_share_the_numbers_of_the_episodes(self) -> None:
        rewards = np.arange(20.0)
        figure = progress_figure(rewards, rewards, rewards * np.nan, first=101)
        first, _, value, average = figure.axes
        assert first.lines[0].get_xdata().tolist() == list(range(101, 121))
        assert average.get_title() == "Moving Average Rewards (window=5)"
        assert average.lines[0].get_xdata()[0] == 105
        assert average.lines[0].get_ydata()[0] == pytest.approx(2.0)
        assert average.get_xlabel() == "Episode"
        assert not value.lines

    def test_few_episodes_have_no_average(self) -> None:
        figure = progress_figure(np.ones(10), np.ones(10), np.ones(10))
        assert not figure.axes[3].lines


class TestState:
    @pytest.mark.parametrize("algorithm", ["a2c", "sac"])
    def test_a_resumed_run_ends_with_the_same_episodes(self, algorithm, tmp_path) -> None:
        straight = monitor(tmp_path / "one")
        learn_from(small_model(algorithm), 100, straight)

        first, saved = monitor(tmp_path / "two"), tmp_path / "state.pt"
        model = small_model(algorithm)

        def save_at_40(model) -> bool:
            if model.num_timesteps < 40:
                return True
            state = {"model": capture_state(model), "callback": capture_callback_state(first)}
            save_plain(state, saved)
            return False

        learn_from(model, 100, first, save_at_40)
        resumed, model = monitor(tmp_path / "three"), small_model(algorithm)
        state = load_plain(saved)
        restore_state(model, state["model"])
        restore_callback_state(resumed, state["callback"])
        learn_from(model, 100, resumed, resumed=True)
        assert resumed.episodes == straight.episodes
        assert len(resumed.episodes) == 3
        content = (tmp_path / "one" / "performance.csv").read_text()
        assert (tmp_path / "three" / "performance.csv").read_text() == content

    def test_without_monitor_half_an_episode_is_kept(self, tmp_path) -> None:
        callback = monitor(tmp_path)
        model = A2C("MlpPolicy", DummyVecEnv([MarketEnv]), seed=0)
        model.learn(15, callback)
        again = monitor(tmp_path)
        restore_callback_state(again, capture_callback_state(callback))
        model.learn(20, again, reset_num_timesteps=False)
        assert again.episode_lengths == [EPISODE]


@pytest.mark.parametrize("options", [{"check_freq": 0}, {"history": 0}, {"history": 2.5}])
def test_bad_arguments(options) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        PerformanceMonitorCallback(**options)


def test_the_agents_own_training_works(tmp_path, market) -> None:
    agent = DRLAgent(StockTradingVecEnv(market, 2))
    model = agent.get_model("ppo", model_kwargs={"n_steps": 64}, verbose=0)
    callback = monitor(tmp_path)
    agent.train_model(model, "ppo", total_timesteps=256, callbacks=[callback])
    assert len(callback.episodes) == 4


def test_the_figure_is_an_image_in_tensorboard_and_nothing_in_the_other_formats(
    tmp_path: Path,
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = small_model("a2c")
    model.set_logger(configure(str(tmp_path / "log"), ["tensorboard", "csv", "json", "log"]))
    model.learn(300, callback=monitor(tmp_path / "plots", check_freq=100))
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    images = events.Images("performance/figure")
    assert [image.step for image in images] == steps_drawn(tmp_path / "plots")[-len(images) :]
    assert all(image.encoded_image_string.startswith(PNG_HEADER) for image in images)
    assert "figure" not in (tmp_path / "log" / "progress.csv").read_text(encoding="utf-8")
