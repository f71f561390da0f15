"""`PerformanceMonitorCallback`: what the training episodes earned, as pictures and as data."""

import csv
import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Figure as LoggedFigure
from stable_baselines3.common.monitor import Monitor

from finrl_ray._typing import AnyArray
from finrl_ray.agents.callbacks.interval import TimestepInterval
from finrl_ray.agents.callbacks.performance_figure import progress_figure
from finrl_ray.agents.callbacks.run_folder import run_folder
from finrl_ray.agents.checkpoints.disk_errors import surviving_disk_errors
from finrl_ray.agents.sb3_internals import last_observations
from finrl_ray.errors import ConfigError
from finrl_ray.files.atomic import atomic_path

logger = logging.getLogger(__name__)

CSV_FILE = "performance.csv"
JSON_FILE = "performance.json"


@dataclass(frozen=True)
class FinishedEpisode:
    """One episode of one training account.

    Parameters
    ----------
    timesteps : of training when it ended
    env : index of the account
    reward : sum of the env's own rewards, not normalised
    length : steps
    portfolio_value : account value on its last day, currency; NaN if the env has no account
    portfolio_return : of the account from the first to the last day, as a fraction; NaN likewise
    """

    timesteps: int
    env: int
    reward: float
    length: int
    portfolio_value: float
    portfolio_return: float


COLUMNS = tuple(field.name for field in fields(FinishedEpisode))


class PerformanceMonitorCallback(BaseCallback):
    """Keeps reward, length and last account value of every training episode, and draws them.

    Episodes of all envs count, in the order in which they ended, with or without Monitor. The
    account value comes from `info["account_history"]`: an env that is asked after an episode has
    been reset already. At the first step at or past each multiple of `check_freq`, and at the end
    of training, if episodes have ended since the last time, three files are written, each whole or
    not at all: `training_progress_step_{num_timesteps}.png`, `performance.csv` (one row per
    episode) and `performance.json` (a summary). A full disk is logged and training goes on. Logged:
    `performance/episode_reward`, `.../episode_length` and `.../portfolio_value`, means over the
    episodes since the last time.

    Parameters
    ----------
    check_freq : timesteps, summed over the envs
    verbose : 1 logs each written figure at INFO level
    plot_dir : folder for the files; None: `plots` in the folder of the model's logger, or, if
        nobody chose one (by `tensorboard_log` or `set_logger`), `plots` in the working folder
    history : episodes to keep; of more, the oldest are dropped

    Attributes
    ----------
    plot_dir : absolute from the start of training
    episodes : list of FinishedEpisode
    dropped_episodes : how many are no longer in `episodes`

    Raises
    ------
    ConfigError
        If `check_freq` or `history` is not a whole number >= 1.
    """

    def __init__(
        self,
        check_freq: int = 1000,
        verbose: int = 1,
        *,
        plot_dir: str | Path | None = None,
        history: int = 10_000,
    ) -> None:
        super().__init__(verbose)
        if not isinstance(history, int | np.integer) or isinstance(history, bool) or history < 1:
            raise ConfigError(f"history must be a whole number of episodes >= 1, got {history!r}")
        self.check_freq = check_freq
        self.history = int(history)
        self.plot_dir = None if plot_dir is None else Path(plot_dir).absolute()
        self.episodes: list[FinishedEpisode] = []
        self.dropped_episodes = 0
        self._interval = TimestepInterval("check_freq", check_freq)
        self._written = 0
        self._rewards: AnyArray = np.zeros(0)
        self._lengths: AnyArray = np.zeros(0, dtype=np.int64)
        self._left_at: Any = None
        self._restored = False
        self._monitored = False

    @property
    def episode_rewards(self) -> list[float]:
        """Reward of each episode kept."""
        return [episode.reward for episode in self.episodes]

    @property
    def episode_lengths(self) -> list[int]:
        """Steps of each episode kept."""
        return [episode.length for episode in self.episodes]

    @property
    def portfolio_values(self) -> list[float]:
        """Account value at the end of each episode kept, NaN where the env has no account."""
        return [episode.portfolio_value for episode in self.episodes]

    @property
    def episode_timesteps(self) -> list[int]:
        """Timesteps of training at the end of each episode kept."""
        return [episode.timesteps for episode in self.episodes]

    @property
    def n_episodes(self) -> int:
        """Episodes that have ended so far, kept or not."""
        return self.dropped_episodes + len(self.episodes)

    def get_state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs, as plain values."""
        return {
            "interval": self._interval.get_state(),
            "episodes": {name: [getattr(e, name) for e in self.episodes] for name in COLUMNS},
            "dropped_episodes": self.dropped_episodes,
            "written": self._written,
            "rewards": self._rewards.copy(),
            "lengths": self._lengths.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo `get_state` on a callback built with the same arguments."""
        self._interval.set_state(state["interval"])
        rows = zip(*(state["episodes"][name] for name in COLUMNS), strict=True)
        self.episodes = [FinishedEpisode(*row) for row in rows]
        self.dropped_episodes = state["dropped_episodes"]
        self._written = state["written"]
        self._rewards = state["rewards"].copy()
        self._lengths = state["lengths"].copy()
        self._restored = True

    def _on_training_start(self) -> None:
        self._interval.start(self.model.num_timesteps)
        # once: an env in another process is asked through a pipe
        self._monitored = all(self.training_env.env_is_wrapped(Monitor))
        if self.plot_dir is None:
            self.plot_dir = (run_folder(self.model) or Path.cwd()) / "plots"
        # SB3 resets every env at the start of a training, and of one that goes on in another env;
        # the observations that training was left at are then replaced
        goes_on = self._restored or last_observations(self.model) is self._left_at
        self._restored = False
        if not goes_on or len(self._rewards) != self.training_env.num_envs:
            self._rewards = np.zeros(self.training_env.num_envs)
            self._lengths = np.zeros(self.training_env.num_envs, dtype=np.int64)

    def next_needed_timestep(self, num_timesteps: int) -> int:
        """Return the timesteps at which this callback must be called next (docs/callbacks.md).

        Rewards are summed up here where no Monitor, nor the env, does it.
        """
        return self._interval.next_due if self._monitored else num_timesteps + 1

    def _on_step(self) -> bool:
        self._rewards += self._original_rewards()
        self._lengths += 1
        dones = np.asarray(self.locals["dones"])
        if dones.any():
            for index in np.flatnonzero(dones).tolist():
                self._end_episode(index, self.locals["infos"][index])
        if self._interval.take(self.num_timesteps):
            self._write()
        return True

    def _on_training_end(self) -> None:
        self._left_at = last_observations(self.model)
        self._write()

    def _original_rewards(self) -> AnyArray:
        normalizer = self.model.get_vec_normalize_env()
        if normalizer is not None:
            return normalizer.get_original_reward()
        return np.asarray(self.locals["rewards"])

    def _end_episode(self, index: int, info: dict[str, Any]) -> None:
        # Monitor's numbers, where there are some, also cover steps before this callback joined
        monitored = info.get("episode", {})
        history = info.get("account_history")
        first, last = (np.nan, np.nan) if history is None else history.account_value[[0, -1]]
        self.episodes.append(
            FinishedEpisode(
                timesteps=int(self.num_timesteps),
                env=index,
                reward=float(monitored.get("r", self._rewards[index])),
                length=int(monitored.get("l", self._lengths[index])),
                portfolio_value=float(last),
                portfolio_return=float(last / first - 1.0) if first else np.nan,
            )
        )
        surplus = max(0, len(self.episodes) - self.history)
        del self.episodes[:surplus]
        self.dropped_episodes += surplus
        self._rewards[index] = self._lengths[index] = 0

    def _write(self) -> None:
        """Write figure and data and log, if there are new episodes."""
        n_new = min(self.n_episodes - self._written, len(self.episodes))
        if n_new == 0:
            return
        assert self.plot_dir is not None
        new = self.episodes[-n_new:]
        self._written = self.n_episodes
        figure = progress_figure(
            np.array(self.episode_rewards),
            np.array(self.episode_lengths),
            np.array(self.portfolio_values),
            first=self.dropped_episodes + 1,
        )
        self._record(new, figure)
        path = self.plot_dir / f"training_progress_step_{self.num_timesteps}.png"
        with surviving_disk_errors(f"the progress plot {path}"):
            self._write_data(self.plot_dir)
            with atomic_path(path) as temporary:
                figure.savefig(temporary)
            if self.verbose > 0:
                logger.info("progress plot saved: %s (%d episodes)", path, self.n_episodes)

    def _record(self, episodes: list[FinishedEpisode], figure: Figure) -> None:
        self.logger.record("performance/episode_reward", _mean([e.reward for e in episodes]))
        self.logger.record("performance/episode_length", _mean([e.length for e in episodes]))
        value = _mean([e.portfolio_value for e in episodes])
        if np.isfinite(value):
            self.logger.record("performance/portfolio_value", value)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        # the other formats have no pictures, and SB3 refuses them there
        image = LoggedFigure(figure, close=False)
        self.logger.record("performance/figure", image, exclude=("stdout", "log", "json", "csv"))
        self.logger.dump(self.num_timesteps)

    def _write_data(self, folder: Path) -> None:
        with (
            atomic_path(folder / CSV_FILE) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([getattr(e, name) for name in COLUMNS] for e in self.episodes)
        with atomic_path(folder / JSON_FILE) as temporary:
            temporary.write_text(json.dumps(self._summary(), indent=2) + "\n", encoding="utf-8")

    def _summary(self) -> dict[str, Any]:
        rewards = self.episode_rewards
        best = self.episodes[int(np.argmax(rewards))]
        summary = {
            "timesteps": int(self.num_timesteps),
            "n_episodes": self.n_episodes,
            "dropped_episodes": self.dropped_episodes,
            "mean_reward": _mean(rewards),
            "mean_reward_last_100": _mean(rewards[-100:]),
            "mean_length": _mean(self.episode_lengths),
            "mean_portfolio_value_last_100": _mean(self.portfolio_values[-100:]),
            "best_episode": _without_nan(asdict(best)),
            "last_episode": _without_nan(asdict(self.episodes[-1])),
        }
        return _without_nan(summary)


def _mean(values: list[Any]) -> float:
    return float(np.mean(values))


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return a dict with None for NaN and infinity, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }
