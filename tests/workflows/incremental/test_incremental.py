"""`incremental_training` goes on: counts, schedules, buffers, and judges before it learns."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from env_markets import finrl_frame, random_market
from stable_baselines3 import A2C, DDPG, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.config.env_options.trading import TradingOptions
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.scaling import fit_observation_scaling
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError, DataError
from finrl_ray.workflows.incremental.incremental import incremental_training
from finrl_ray.workflows.incremental.replay_buffer import close_last_episode

SMALL: dict[str, dict[str, Any]] = {
    "a2c": {"n_steps": 10},
    "ppo": {"n_steps": 20, "batch_size": 20, "n_epochs": 1},
    "ddpg": {"learning_starts": 10, "batch_size": 8, "buffer_size": 500},
    "td3": {"learning_starts": 10, "batch_size": 8, "buffer_size": 500},
    "sac": {"learning_starts": 10, "batch_size": 8, "buffer_size": 500},
    "tqc": {"learning_starts": 10, "batch_size": 8, "buffer_size": 500},
    "crossq": {"learning_starts": 10, "batch_size": 8, "buffer_size": 500},
    "recurrent_ppo": {"n_steps": 20, "batch_size": 20, "n_epochs": 1},
    "trpo": {"n_steps": 20, "batch_size": 20},
}


def pieces(count: int = 3, days: int = 30, **options: Any) -> list[MarketData]:
    market = random_market(count * days, 2, 1, **options)
    return [market.rows(i * days, (i + 1) * days) for i in range(count)]


class Watch(BaseCallback):
    """Keeps what the optimizers really use."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []
        self.steps: list[int] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        optimizer = self.model.policy.optimizer
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.steps.append(self.num_timesteps)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", list(SMALL))
@pytest.mark.parametrize("replay", ["keep", "flush"])
def test_every_algorithm_counts_on_and_leaves_its_files(
    algorithm: str, replay: Any, tmp_path: Path
) -> None:
    first, *chunks = pieces()
    rows: list[dict[str, Any]] = []
    model = incremental_training(
        first,
        chunks,
        timesteps_per_chunk=40,
        algorithm=algorithm,
        model_kwargs={**SMALL[algorithm], "policy_kwargs": {"net_arch": [8]}},
        n_envs=2,
        seed=0,
        replay_buffer=replay,
        save_dir=tmp_path,
        evaluations=rows,
    )
    assert model.num_timesteps == 120
    names = {"initial_model.zip", "chunk_0_model.zip", "chunk_1_model.zip", "walk_forward.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    with (tmp_path / "walk_forward.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["chunk"] for row in written] == ["0", "1"]
    assert [row["timesteps"] for row in rows] == [40, 80]
    assert rows[0]["first_date"] == "2020-01-31"
    assert {"sharpe_ratio", "max_drawdown", "total_return", "buy_and_hold_return"} <= set(rows[0])
    last = type(model).load(tmp_path / "chunk_1_model.zip")
    assert last.num_timesteps == 120
    if not ALGORITHMS[algorithm].on_policy:
        assert model.replay_buffer.size() * 2 == (120 if replay == "keep" else 40)
        assert model.learning_starts == 10


def test_schedules_run_once_over_the_true_total(tmp_path: Path) -> None:
    first, *chunks = pieces(4)
    watch = Watch()
    incremental_training(
        first,
        iter(chunks),
        timesteps_per_chunk=40,
        model_kwargs={**SMALL["ppo"], "learning_rate": "lin_1e-3"},
        callback=watch,
        save_dir=tmp_path,
    )
    assert watch.steps == list(range(0, 160, 20))
    # the rate of an update holds until the next; progress falls from 1 to 0 without a restart
    expected = [1e-3, *(1e-3 * (1 - step / 160) for step in range(20, 160, 20))]
    assert watch.rates == pytest.approx(expected)


def test_a_chunk_is_judged_before_it_is_learned_from(tmp_path: Path) -> None:
    """The judged model is the one saved before: the row can be computed again from its file."""
    first, chunk = pieces(2)
    rows: list[dict[str, Any]] = []
    incremental_training(
        first,
        [chunk],
        timesteps_per_chunk=100,
        algorithm="ddpg",
        model_kwargs=SMALL["ddpg"],
        env_kwargs={"initial_amount": 1000.0},
        seed=1,
        save_dir=tmp_path,
        evaluations=rows,
    )
    env = StockTradingVecEnv(chunk, initial_amount=1000.0)
    before = DDPG.load(tmp_path / "initial_model.zip")
    after = DDPG.load(tmp_path / "chunk_0_model.zip")
    returns = [
        DRLAgent.DRL_prediction(model, env)[0]["account_value"].iloc[-1] / 1000 - 1
        for model in (before, after)
    ]
    assert rows[0]["total_return"] == pytest.approx(returns[0], abs=1e-12)
    assert rows[0]["total_return"] != returns[1]


def test_stationary_observations_are_standardised_by_the_initial_data(tmp_path: Path) -> None:
    first, *chunks = pieces(3)
    model = incremental_training(
        first,
        chunks,
        timesteps_per_chunk=60,
        algorithm="sac",
        model_kwargs=SMALL["sac"],
        env_kwargs={"observation": "stationary", "lookback": 2},
        save_dir=tmp_path,
    )
    expected = fit_observation_scaling(first, 1.0, TradingOptions(observation="stationary"))
    assert model.env is not None
    table = model.env.get_attr("accounts")[0].table
    assert table.dates[0] == chunks[-1].dates[0]
    assert table.scaling.key() == expected.key()
    # the transitions of all three markets are kept by their days
    state = model.replay_buffer.get_state()  # type: ignore[attr-defined]  # off-policy
    assert len(state["market"]["history"]) == 60
    assert len(state["whole"]) == 0


def test_a_short_stage_still_trains_a_whole_rollout(tmp_path: Path) -> None:
    first, *chunks = pieces()
    model = incremental_training(
        first, chunks, timesteps_per_chunk=5, model_kwargs=SMALL["ppo"], save_dir=tmp_path
    )
    assert model.num_timesteps == 60


def test_a_base_model_goes_on_with_its_statistics(tmp_path: Path) -> None:
    first, *chunks = pieces()
    env = VecNormalize(StockTradingVecEnv(first, 2))
    base = PPO("MlpPolicy", env, **SMALL["ppo"]).learn(40)
    seen = env.obs_rms.count
    model = incremental_training(None, chunks, base, 40, save_dir=tmp_path)
    assert model is base
    assert model.num_timesteps == 120
    normalizer = model.get_vec_normalize_env()
    assert normalizer is not None
    assert normalizer.obs_rms.count == pytest.approx(seen + 80, abs=4)
    assert (tmp_path / "chunk_1_vecnormalize.pkl").exists()
    assert not (tmp_path / "initial_model.zip").exists()
    again = VecNormalize.load(
        str(tmp_path / "chunk_1_vecnormalize.pkl"), StockTradingVecEnv(chunks[1])
    )
    assert np.array_equal(again.obs_rms.mean, normalizer.obs_rms.mean)


def test_a_loaded_model_fills_its_empty_buffer_before_it_learns(tmp_path: Path) -> None:
    first, chunk = pieces(2)
    model = SAC("MlpPolicy", StockTradingVecEnv(first), **SMALL["sac"]).learn(40)
    model.save(tmp_path / "base.zip")
    base = SAC.load(tmp_path / "base.zip")
    updates = base._n_updates
    incremental_training(None, [chunk], base, 15, save_dir=tmp_path)
    # 10 steps of warm-up, then one update per step
    assert base._n_updates - updates == 5
    assert base.learning_starts == 10


def test_frames_and_a_generator_of_known_length(tmp_path: Path) -> None:
    first, *chunks = [finrl_frame(piece) for piece in pieces()]
    taken = []

    def stream() -> Any:
        for number, chunk in enumerate(chunks):
            taken.append(number)
            yield chunk

    options = {"algorithm": "a2c", "save_dir": tmp_path, "n_chunks": 2}
    model = incremental_training(first, stream(), None, 20, **options)
    assert model.num_timesteps == 60
    with pytest.raises(ConfigError, match="n_chunks = 2, but more came"):
        incremental_training(first, iter([*chunks, chunks[0]]), None, 20, **options)


def renamed(market: MarketData, tickers: tuple[str, ...]) -> MarketData:
    import dataclasses

    return dataclasses.replace(market, tickers=tickers)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: [c[0], renamed(c[1], ("T00", "XXX"))], "chunk 1: the tickers must be those"),
        (lambda c: [c[0], renamed(c[1], ("T01", "T00"))], "chunk 1: the tickers must be in the"),
        (lambda c: [c[1], c[0]], "chunk 1 starts on 2020-01-31, but the data before it ends on"),
        (lambda c: [c[0], c[0]], "judged on dates that it has learned from"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_chunks_that_do_not_fit(spoil: Any, words: str, lazy: bool, tmp_path: Path) -> None:
    first, *chunks = pieces()
    options = {"n_chunks": 2} if lazy else {}
    with pytest.raises(ConfigError, match=re.escape(words)):
        incremental_training(
            first, iter(spoil(chunks)), None, 20, algorithm="a2c", save_dir=tmp_path, **options
        )
    # what is at hand is checked before any training; what is read one by one, before its own
    assert (tmp_path / "initial_model.zip").exists() == lazy
    assert not (tmp_path / "chunk_1_model.zip").exists()


def test_indicators_that_differ(tmp_path: Path) -> None:
    first, chunk = pieces(2)
    other = random_market(60, 2, 2).rows(30, 60)
    with pytest.raises(ConfigError, match=r"chunk 0: the indicators .*\['feature_1'\] added"):
        incremental_training(first, [other], None, 20, save_dir=tmp_path)
    base = A2C("MlpPolicy", StockTradingVecEnv(first))
    base.env = None
    with pytest.raises(ConfigError, match="have 9 entries, but the model was built for 7"):
        incremental_training(None, [other], base, 20, save_dir=tmp_path)
    with pytest.raises(ConfigError, match="chunk 0 starts on 2020-01-31"):
        incremental_training(
            None, [chunk], A2C("MlpPolicy", StockTradingVecEnv(chunk)), 20, save_dir=tmp_path
        )


def test_a_base_model_may_know_the_initial_data_but_no_chunk(tmp_path: Path) -> None:
    first, chunk, last = pieces()
    base = A2C("MlpPolicy", StockTradingVecEnv(chunk)).learn(20)
    # the base model has learned from the first chunk, whatever comes in between
    with pytest.raises(ConfigError, match="chunk 0 starts on"):
        incremental_training(first, [chunk], base, 20, save_dir=tmp_path)
    assert base.num_timesteps == 20
    model = incremental_training(first, [last], base, 20, save_dir=tmp_path)
    assert model.num_timesteps == 60
    with pytest.raises(ConfigError, match=r"base_model must be an SB3 model.*'model.zip'"):
        incremental_training(first, [chunk], "model.zip")  # type: ignore[arg-type]


def test_what_cannot_begin(tmp_path: Path) -> None:
    first, chunk = pieces(2)
    with pytest.raises(ConfigError, match="both are None"):
        incremental_training(None, [chunk], save_dir=tmp_path)
    with pytest.raises(ConfigError, match="replay_buffer must be 'keep' or 'flush', got 'drop'"):
        incremental_training(first, [], replay_buffer="drop")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="timesteps_per_chunk must be >= 1, got 0"):
        incremental_training(first, [], timesteps_per_chunk=0)
    with pytest.raises(DataError, match="chunk 0: create_env needs"):
        incremental_training(first, [[1, 2]], save_dir=tmp_path)
    stacked = A2C("MlpPolicy", VecFrameStack(StockTradingVecEnv(first), 2))
    with pytest.raises(ConfigError, match="is wrapped in"):
        incremental_training(None, [chunk], stacked, 20, save_dir=tmp_path)


def test_an_episode_that_was_cut_between_chunks_is_marked_as_such() -> None:
    first = pieces(1)[0]
    model: Any = SAC("MlpPolicy", StockTradingVecEnv(first, 2), **SMALL["sac"]).learn(20)
    buffer = model.replay_buffer
    newest = buffer.pos - 1
    assert buffer.dones[newest].tolist() == [0, 0]
    close_last_episode(model)
    assert buffer.dones[newest].tolist() == [1, 1]
    assert buffer.timeouts[newest].tolist() == [1, 1]
    # a truncated episode is bootstrapped: what is sampled is not a terminal state
    assert not (buffer.dones * (1 - buffer.timeouts)).any()


class EndAt(BaseCallback):
    """Ends the training, as an early stop does."""

    def __init__(self, timestep: int) -> None:
        super().__init__()
        self.timestep = timestep

    def _on_step(self) -> bool:
        return self.num_timesteps < self.timestep


def test_a_callback_that_ends_the_training_ends_it_for_all_chunks(tmp_path: Path) -> None:
    first, *chunks = pieces(4)
    rows: list[dict[str, Any]] = []
    model = incremental_training(
        first,
        chunks,
        timesteps_per_chunk=20,
        model_kwargs=SMALL["ppo"],
        callback=EndAt(30),
        save_dir=tmp_path,
        evaluations=rows,
    )
    assert model.num_timesteps == 30
    assert [row["chunk"] for row in rows] == [0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chunk_0_model.zip",
        "initial_model.zip",
        "walk_forward.csv",
    ]


def test_a_single_frame_is_no_list_of_chunks(tmp_path: Path) -> None:
    first, chunk = pieces(2)
    for single in (chunk, finrl_frame(chunk)):
        with pytest.raises(ConfigError, match="must be a list of frames or MarketData"):
            incremental_training(first, single, save_dir=tmp_path)  # type: ignore[arg-type]


def test_keywords_of_a_new_model_beside_a_base_model(tmp_path: Path, caplog: Any) -> None:
    first, *chunks = pieces(2)
    base = A2C("MlpPolicy", DRLAgent(StockTradingVecEnv(first, 1)).env, n_steps=10)
    with pytest.raises(ConfigError, match="base_model is of A2C, got 'sac'"):
        incremental_training(None, chunks, base, 20, algorithm="sac", save_dir=tmp_path)
    kwargs = {"gamma": 0.5}
    incremental_training(None, chunks, base, 20, model_kwargs=kwargs, save_dir=tmp_path)
    assert "the base_model keeps its own" in caplog.text


def test_fewer_chunks_than_announced_are_mentioned(tmp_path: Path, caplog: Any) -> None:
    first, *chunks = pieces(2)
    kwargs = SMALL["a2c"]
    incremental_training(
        first,
        iter(chunks),
        None,
        10,
        algorithm="a2c",
        model_kwargs=kwargs,
        n_chunks=2,
        save_dir=tmp_path,
    )
    assert "n_chunks is 2, but 1 chunks came" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("n_chunks", [None, 1])
def test_the_year_is_read_from_the_dates(n_chunks: int | None, tmp_path: Path) -> None:
    first, chunk = pieces(2)  # a bar on each day of the week: 365 a year
    ratios = {}
    for periods in (None, 365.0, 252.0):
        rows: list[dict[str, Any]] = []
        incremental_training(
            first,
            iter([chunk]) if n_chunks else [chunk],
            timesteps_per_chunk=20,
            algorithm="a2c",
            model_kwargs={"n_steps": 10},
            seed=0,
            save_dir=tmp_path,
            n_chunks=n_chunks,
            evaluations=rows,
            periods_per_year=periods,
        )
        ratios[periods] = rows[0]["buy_and_hold_sharpe_ratio"]
    assert ratios[None] == ratios[365.0]
    assert ratios[252.0] == pytest.approx(ratios[365.0] * (252 / 365) ** 0.5)
