"""A checkpoint of an earlier version, whose files name modules that have moved since."""

from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits

from finrl_ray.agents.checkpoints.load import load_checkpoint
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.replay.buffer import MarketReplayBuffer
from finrl_ray.agents.saved_models.inert_pickle import record_class
from finrl_ray.agents.saved_models.known_classes import built
from finrl_ray.agents.schedules import LinearSchedule
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.errors import ConfigError

# of CheckpointCallback when the package had a folder `agent`: td3, 50 random steps, the last 40
# before the 50th in the buffer, seed 3, on the market of these tests
BEFORE_ROOMS = Path(__file__).parent / "before_rooms"


def _env(market: MarketData) -> StockTradingVecEnv:
    return StockTradingVecEnv(market, 1, hmax=20, initial_amount=1e5)


def test_a_replay_buffer_of_an_earlier_version_holds_the_same(market: MarketData) -> None:
    kwargs = {
        "learning_starts": 10**9,
        "batch_size": 16,
        "buffer_size": 40,
        "policy_kwargs": {"net_arch": [4]},
    }
    again: Any = DRLAgent(_env(market)).get_model("td3", model_kwargs=kwargs, verbose=0, seed=3)
    again.learn(49)  # a callback sees a step before it is in the buffer
    loaded: Any = load_checkpoint(BEFORE_ROOMS, _env(market), device="cpu", trust=True)
    assert type(loaded.replay_buffer) is MarketReplayBuffer
    assert (loaded.num_timesteps, loaded.replay_buffer.size()) == (50, 40)
    drawn = []
    for model in (loaded, again):
        np.random.seed(0)  # noqa: NPY002  # SB3's buffers draw from the global generator
        drawn.append(model.replay_buffer.sample(16))
    for ours, theirs in zip(*drawn, strict=True):
        assert_equal_bits(ours, theirs)


def test_a_module_that_is_nowhere_is_refused_in_words(tmp_path: Path, market: MarketData) -> None:
    folder = copytree(BEFORE_ROOMS, tmp_path / "checkpoints")
    (folder / "td3_model_50_steps.json").unlink()
    pickled = folder / "td3_model_replay_buffer_50_steps.pkl"
    content = pickled.read_bytes()
    assert content.count(b"market_replay") == 1
    pickled.write_bytes(content.replace(b"market_replay", b"market_nowher"))
    with pytest.raises(ConfigError, match=r"cannot be loaded into this model: .*finrl_ray\.agent"):
        load_checkpoint(folder, _env(market), device="cpu", trust=True)


def test_a_schedule_of_an_earlier_version_is_known() -> None:
    record = record_class("finrl_ray.agent.schedules.LinearSchedule")()
    record.state = [3e-4]
    assert built(record) == LinearSchedule(3e-4)
