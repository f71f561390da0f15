"""Several steps at once are kept as one by one."""

from typing import Any

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from env_markets import random_market

from finrl_ray.agents.replay.buffer import MarketReplayBuffer
from finrl_ray.env.vec_env import StockTradingVecEnv

N_STEPS = 30


def walk(env: StockTradingVecEnv, foreign: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations (T + 1, E, S), actions and rewards of random steps; some of no day."""
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (N_STEPS, env.num_envs, 3)).astype(np.float32)
    seen, rewards = [env.reset()], []
    for each in actions:
        observations, paid, _, _ = env.step(each)
        seen.append(observations)
        rewards.append(paid)
    observed = np.stack(seen)
    if foreign:
        observed[5:9, 0, -1] += 1
    return observed, actions, np.stack(rewards)


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("rows", [1, 7, 30, 100])
@pytest.mark.parametrize("foreign", [False, True])
def test_a_run_is_kept_as_its_steps_are(n_envs: int, rows: int, foreign: bool) -> None:
    env = StockTradingVecEnv(random_market(40), n_envs)
    spaces: Any = env.observation_space, env.action_space
    table = env.accounts.table
    at_once, one_by_one = (
        MarketReplayBuffer(rows * n_envs, *spaces, "cpu", n_envs, table=table) for _ in range(2)
    )
    seen, actions, rewards = walk(env, foreign)
    assert at_once.keeps_runs
    dones, infos = np.zeros(n_envs), [{"TimeLimit.truncated": False}] * n_envs
    first = 0
    for n_steps in (1, 12, 4, 13):
        stop = first + n_steps
        run = seen[first:stop], seen[first + 1 : stop + 1], actions[first:stop], rewards[first:stop]
        at_once.keep_run(*run)
        for k in range(first, stop):
            one_by_one.add(seen[k], seen[k + 1], actions[k], rewards[k], dones, infos)
        assert_equal_bits(one_by_one.get_state(), at_once.get_state())
        if rows > 1:
            assert_equal_bits(one_by_one.transitions(), at_once.transitions())
        first = stop
    assert at_once.full == (rows <= N_STEPS)
    newest = (at_once.pos - 1) % rows
    np.testing.assert_array_equal(at_once.transitions()[1][newest], seen[-1])
