"""Rows taken out of a market leave seams, which no episode crosses."""

import numpy as np
import pytest

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.make import make_env, make_vec_env
from finrl_ray.errors import DataError


@pytest.fixture(scope="module")
def whole() -> MarketData:
    return MarketData.from_finrl(read_bundled(), features=["volume"]).rows(0, 200)


@pytest.fixture(scope="module")
def parts(whole: MarketData) -> MarketData:
    return whole.take([(0, 40), (40, 50), (70, 90), (150, 190)])


def test_taken_rows_are_copies_with_seams(whole: MarketData, parts: MarketData) -> None:
    assert parts.n_periods == 110
    assert parts.seams == (50, 70)
    np.testing.assert_array_equal(parts.close[50:70], whole.close[70:90])
    np.testing.assert_array_equal(parts.features[70:], whole.features[150:190])
    assert not np.shares_memory(parts.close, whole.close)
    assert parts.rows(45, 75).seams == (5, 25)
    assert parts.rows(0, 50).seams == ()
    assert parts.take([(0, 60), (80, 110)]).seams == (50, 60)
    assert whole.take([(0, 200)]).content_hash == whole.content_hash
    assert parts.content_hash != whole.content_hash


@pytest.mark.parametrize(
    "segments", [[], [(5, 5)], [(5, 20), (10, 30)], [(30, 40), (5, 10)], [(0, 201)]]
)
def test_segments_must_be_in_order_and_within_the_rows(whole, segments) -> None:
    with pytest.raises(DataError, match="segments must be in order"):
        whole.take(segments)


def episodes(env, n_steps: int) -> list[tuple[int, np.ndarray]]:
    rng = np.random.default_rng(0)
    env.reset()
    found = []
    for _ in range(n_steps):
        actions = rng.uniform(-1, 1, env.action_space.shape if env.num_envs == 0 else (3, 4))
        _, _, dones, infos = env.step(actions.astype(np.float32))
        found += [(int(i), infos[i]["account_history"].dates) for i in np.flatnonzero(dones)]
    return found


@pytest.mark.parametrize("fill", ["close", "next_open"])
@pytest.mark.parametrize("random_start", [False, True])
def test_accounts_take_turns_through_the_segments(parts, fill, random_start) -> None:
    config = EnvConfig(fill=fill, random_start=random_start)
    found = episodes(make_vec_env(parts, config, n_envs=3, seed=0), 300)
    bounds = [(0, 50), (50, 70), (70, 110)]
    turns: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for account, dates in found:
        (segment,) = [
            number
            for number, (first, stop) in enumerate(bounds)
            if parts.dates[first] <= dates[0] and dates[-1] == parts.dates[stop - 1]
        ]
        first, stop = bounds[segment]
        own = parts.dates[first:stop]
        np.testing.assert_array_equal(dates, own[len(own) - len(dates) :])
        assert random_start or len(dates) == stop - first
        assert len(dates) >= (stop - first) // 2
        turns[account].append(segment)
    for account, visited in turns.items():
        assert visited[:6] == [(account + k) % 3 for k in range(6)]


def test_a_single_env_takes_turns_too(parts) -> None:
    env = make_env(parts, EnvConfig(), seed=0)
    lengths = []
    for _ in range(4):
        env.reset()
        steps, done = 1, False
        while not done:
            _, _, done, truncated, _ = env.step(np.zeros(4, dtype=np.float32))
            done, steps = done or truncated, steps + 1
        lengths.append(steps)
    assert lengths == [50, 20, 40, 50]


def test_no_reward_jumps_over_a_seam(parts) -> None:
    """Held shares are worth what the segment's own closes say, never the next segment's."""
    env = make_vec_env(parts, EnvConfig(buy_cost_pct=0, sell_cost_pct=0), record_trades=True)
    env.reset()
    worth = []
    for day in range(49):
        action = np.ones((1, 4), dtype=np.float32) if day == 0 else np.zeros((1, 4), np.float32)
        _, rewards, _, infos = env.step(action)
        worth.append(float(rewards[0]))
    shares = infos[0]["account_history"].trades[0]
    moved = np.diff(parts.close[:50] @ shares) * 1e-4
    np.testing.assert_allclose(worth, moved, rtol=1e-5, atol=1e-6)


def test_a_saved_account_goes_on_to_the_end_of_its_segment(parts) -> None:
    first = make_vec_env(parts, EnvConfig(random_start=True), n_envs=2, seed=5)
    first.reset()
    for _ in range(25):
        first.step(np.full((2, 4), 0.3, dtype=np.float32))
    second = make_vec_env(parts, EnvConfig(random_start=True), n_envs=2, seed=9)
    second.set_state(first.get_state())
    for _ in range(120):
        one = first.step(np.full((2, 4), -0.1, dtype=np.float32))
        other = second.step(np.full((2, 4), -0.1, dtype=np.float32))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[2], other[2])


def test_a_segment_of_one_row_is_refused(whole) -> None:
    with pytest.raises(DataError, match="an episode needs at least 2 days"):
        make_vec_env(whole.take([(0, 20), (30, 31)]), EnvConfig())
