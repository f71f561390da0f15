"""`MarketReplayBuffer`: SB3's replay buffer with each day of the market kept once.

It is long because it is one class: SB3's interface, and the arrays behind it, in one place.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray._typing import AnyArray, Float32Array, IntArray
from finrl_ray.agents.replay.kernel import (
    BREAKS,
    REPLACES,
    as_bits,
    gather_observations,
    gather_outcomes,
    gather_transitions,
    place_transitions,
)
from finrl_ray.agents.replay.market_rows import (
    MarketRows,
    RowPool,
    compact_records,
    market_entries,
    market_words,
)
from finrl_ray.agents.replay.runs import keep_run
from finrl_ray.env.market_table import MarketTable, find_live_table
from finrl_ray.errors import ConfigError

logger = logging.getLogger(__name__)

_OUTCOMES = ("actions", "rewards", "dones", "timeouts")
_NOT_PICKLED = (*_OUTCOMES, "_ring", "_pending", "_extra", "_whole", "_market", "_market_wanted")
_CHECK_EVERY = 1000
"""After so many observations that had to be kept whole, check whether most of them are."""


class MarketReplayBuffer(ReplayBuffer):
    """SB3's `ReplayBuffer` for envs that trade a `MarketTable`, in about a tenth of the memory.

    An observation holds cash, shares and the market entries of a day. The buffer stores cash and
    shares, and of the market entries only which day they are of. The next observation is the next
    row of the ring, unless an episode ended between them. Each observation is compared with the
    market: one that shows no day of it (such as a terminal observation that VecNormalize has scaled
    and scaled back) is stored whole. Samples are those of SB3's buffer, bit for bit, and take the
    same random numbers.

    A pickle and `get_state()` hold a hash of the market instead of the market. A pickled buffer
    takes the market from an env of the process that loads it.

    Parameters
    ----------
    buffer_size : transitions, over all accounts
    observation_space, action_space, device, n_envs, optimize_memory_usage : as in SB3's buffer;
        `optimize_memory_usage` changes which transitions are sampled, as there, and saves nothing
    handle_timeout_termination : as in SB3's buffer
    table : the market that the env trades

    Raises
    ------
    ConfigError
        If observations are not those of accounts in this market. Of a pickled buffer on its first
        use, if no env of the process trades its market.
    ValueError
        If both `optimize_memory_usage` and `handle_timeout_termination` are set.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        table: MarketTable,
    ) -> None:
        if observation_space.shape != (table.observation_size,):
            raise ConfigError(
                f"observations of this market have {table.observation_size} entries, but the "
                f"observation space has the shape {observation_space.shape}"
            )
        if optimize_memory_usage and handle_timeout_termination:
            raise ValueError(
                "optimize_memory_usage needs handle_timeout_termination=False in "
                "replay_buffer_kwargs, as in SB3's buffer"
            )
        # not ReplayBuffer's own constructor, which makes the arrays that this class does without
        BaseBuffer.__init__(
            self, buffer_size, observation_space, action_space, device, n_envs=n_envs
        )
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = optimize_memory_usage
        self.handle_timeout_termination = handle_timeout_termination
        self._market: MarketRows | None = MarketRows(table)
        self._market_wanted: dict[str, Any] = {}
        self._make_arrays(table.n_assets)

    def _make_arrays(self, n_assets: int) -> None:
        self._n_assets = n_assets
        self._observation_size = int(self.obs_shape[0])
        rows = (self.buffer_size, self.n_envs)
        # zeros take no memory before they are written to
        self._ring = np.zeros((*rows, n_assets + 3), dtype=np.int32)
        self._pending = np.zeros((self.n_envs, n_assets + 2), dtype=np.int32)
        self._extra = RowPool(n_assets + 2)
        self._whole = RowPool(self._observation_size - 1 - n_assets)
        dtype = self._maybe_cast_dtype(self.action_space.dtype)
        self.actions = np.zeros((*rows, self.action_dim), dtype=dtype)
        self.rewards = np.zeros(rows, dtype=np.float32)
        self.dones = np.zeros(rows, dtype=np.float32)
        self.timeouts = np.zeros(rows, dtype=np.float32)
        self._action_dtype = th.from_numpy(self.actions[:0]).dtype
        self._n_added = self._n_unknown = 0
        self._has_warned = False
        # a subclass may have samples of its own
        plain = type(self) is MarketReplayBuffer and self._action_dtype == th.float32
        self.gathers = self.keeps_runs = plain and self.device.type == "cpu"

    # -- the market ---------------------------------------------------------------------------

    @property
    def market(self) -> MarketRows:
        """The rows of the market.

        Raises
        ------
        ConfigError
            If this buffer was unpickled and no env of this process trades its market.
        """
        if self._market is None:
            self._find_market()
        if self._market is None:
            raise ConfigError(
                "this replay buffer holds days of a market "
                f"({market_words(self._market_wanted)}) that no env of this process trades; build "
                "an env on the same window, indicators and observation scaling before the buffer "
                "is used"
            )
        return self._market

    def _find_market(self) -> None:
        wanted = self._market_wanted
        table = find_live_table(wanted["hash"], wanted["n_periods"])
        if table is not None:
            self._market = MarketRows(table, wanted["history"])

    def follow(self, table: MarketTable) -> None:
        """Take observations of another market from here on; the transitions so far are kept.

        Raises
        ------
        ConfigError
            If its observations are of another size.
        """
        if self.market.is_of(table):
            return
        if (table.n_assets, table.observation_size) != (self._n_assets, self._observation_size):
            raise ConfigError(
                f"this replay buffer holds observations of {self._n_assets} tickers with "
                f"{self._observation_size} entries, the market has {table.n_assets} with "
                f"{table.observation_size}; use the same tickers and indicators"
            )
        empty = self.size() == 0
        self._market = MarketRows(table) if empty else self.market.followed_by(table)

    # -- adding -------------------------------------------------------------------------------

    def add(
        self,
        obs: AnyArray,
        next_obs: AnyArray,
        action: AnyArray,
        reward: AnyArray,
        done: AnyArray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep one transition of each account; the arrays are copied."""
        shape = (self.n_envs, self._observation_size)
        seen, after = as_bits(obs).reshape(shape), as_bits(next_obs).reshape(shape)
        replaced = np.empty((self.n_envs, 2), dtype=np.int32)
        odd = np.empty(self.n_envs, dtype=np.int64)
        if place_transitions(
            seen,
            after,
            self.size() > 0,
            self._pending,
            self.market.bits,
            self._whole.rows,
            self._ring[self.pos],
            replaced,
            odd,
        ):
            for account in np.flatnonzero(odd).tolist():
                self._place(account, int(odd[account]), replaced[account], seen, after)
        self.actions[self.pos] = action.reshape((self.n_envs, self.action_dim))
        self.rewards[self.pos] = reward
        self.dones[self.pos] = done
        if self.handle_timeout_termination:
            self.timeouts[self.pos] = [info.get("TimeLimit.truncated", False) for info in infos]
        self._advance(1)

    def keep_run(self, *steps: Float32Array) -> None:
        """Keep steps in which no episode ends; see `runs.keep_run` for their arrays."""
        keep_run(self, *steps)

    def _advance(self, n_steps: int) -> None:
        self._n_added += n_steps * self.n_envs
        self.full = self.full or self.pos + n_steps >= self.buffer_size
        self.pos = (self.pos + n_steps) % self.buffer_size

    def _place(
        self, account: int, bits: int, replaced: AnyArray, seen: AnyArray, after: AnyArray
    ) -> None:
        """Finish the record of an account for which `place_transitions` has set a bit."""
        place, link = self._n_assets + 1, self._n_assets + 2
        record, pending = self._ring[self.pos, account], self._pending[account]
        if bits & REPLACES:
            self._drop(int(replaced[0]), int(replaced[1]))
        if bits & BREAKS:
            if self.size() > 0:
                self._detach(account, pending)
            record[place] = self._find(seen[account])
            record[link] = 0
        elif not bits & ~REPLACES:
            return
        n = self._n_assets
        pending[0] = after[account, 0]
        pending[1 : 1 + n] = after[account, 1 + n : 1 + 2 * n]
        pending[place] = self._find(after[account])

    def _drop(self, place: int, link: int) -> None:
        """Free the rows of `_whole` and `_extra` that an overwritten record pointed to."""
        if place < 0:
            self._whole.drop(-1 - place)
        if link > 0:
            self._drop(int(self._extra.rows[link - 1, self._n_assets + 1]), 0)
            self._extra.drop(link - 1)

    def _detach(self, account: int, pending: AnyArray) -> None:
        """Store the next observation of an account's last record outside of the ring."""
        before = (self.pos - 1) % self.buffer_size
        if self.optimize_memory_usage or before == self.pos:
            self._drop(int(pending[self._n_assets + 1]), 0)
        else:
            self._ring[before, account, self._n_assets + 2] = 1 + self._extra.put(pending)

    def _find(self, observation: AnyArray) -> int:
        """Return the place of an observation's market entries; those of no day are stored whole."""
        known = self.market.find(observation)
        if known is not None:
            return known
        self._n_unknown += 1
        if self._n_unknown % _CHECK_EVERY == 0 and not self._has_warned:
            self._warn_if_most()
        return -1 - self._whole.put(market_entries(observation, self._n_assets))

    def _warn_if_most(self) -> None:
        self._has_warned = 2 * self._n_unknown > self._n_added
        if self._has_warned:
            logger.warning(
                "most observations show no day of the market that the replay buffer was built for "
                "(%s) and are kept whole, which takes memory; after model.set_env call "
                "finrl_ray.agents.replay.choose.follow_market(model)",
                market_words(self.market.description),
            )

    def reset(self) -> None:
        """Forget every transition."""
        rows = self.size()
        self._ring[:rows, :, self._n_assets + 1 :] = 0
        self._pending[:] = 0
        self._extra.clear()
        self._whole.clear()
        self._n_added = self._n_unknown = 0
        super().reset()

    # -- sampling -----------------------------------------------------------------------------

    def _get_samples(
        self, batch_inds: AnyArray, env: VecNormalize | None = None
    ) -> ReplayBufferSamples:
        # the global generator, drawn from as SB3's buffer does
        accounts = np.random.randint(0, high=self.n_envs, size=(len(batch_inds),))  # noqa: NPY002
        batch = len(batch_inds)
        shapes = (self._observation_size, self._observation_size, 1, 1)
        # made by torch, whose alignment results may depend on in the last digit
        observations, next_observations, rewards, dones = (
            th.empty((batch, width), dtype=th.float32) for width in shapes
        )
        actions = th.empty((batch, self.action_dim), dtype=self._action_dtype)
        self._gather(batch_inds, accounts, observations.numpy(), next_observations.numpy())
        outcomes = (tensor.numpy() for tensor in (actions, rewards, dones))
        gather_outcomes(batch_inds, accounts, *self._outcomes().values(), *outcomes)
        if env is not None:
            normalize: Any = env.normalize_obs  # which gives a dict for Dict spaces alone
            next_observations = self.to_torch(normalize(next_observations.numpy()))
            observations = self.to_torch(normalize(observations.numpy()))
            rewards = self.to_torch(self._normalize_reward(rewards.numpy(), env))
        data = (observations, actions, next_observations, dones, rewards)
        return ReplayBufferSamples(*(tensor.to(self.device) for tensor in data))

    def _gather(
        self, rows: IntArray, accounts: IntArray, out: Float32Array, out_next: Float32Array
    ) -> None:
        bits = out.view(np.int32), out_next.view(np.int32)
        gather_observations(rows, accounts, *self._held(), *bits)

    def gather_into(self, rows: IntArray, accounts: IntArray, *filled: Float32Array) -> None:
        """Fill inputs, rewards and dones with transitions; see `gather_transitions`."""
        gather_transitions(rows, accounts, *self._held(), tuple(self._outcomes().values()), *filled)

    def _held(self) -> tuple[Any, ...]:
        newest = (self.pos - 1) % self.buffer_size
        rows = self._ring, self._pending, self._extra.rows, self.market.bits, self._whole.rows
        return newest, self.optimize_memory_usage, *rows

    def transitions(self) -> tuple[Float32Array, Float32Array]:
        """Return all observations and next observations, of shape (rows, E, S), put together."""
        shape = (self.size(), self.n_envs)
        rows, accounts = (index.ravel() for index in np.indices(shape))
        flat = (len(rows), self._observation_size)
        seen, after = np.empty(flat, dtype=np.float32), np.empty(flat, dtype=np.float32)
        self._gather(rows, accounts, seen, after)
        whole = (*shape, self._observation_size)
        return seen.reshape(whole), after.reshape(whole)

    # -- saving and restoring -----------------------------------------------------------------

    @property
    def filled_bytes(self) -> int:
        """Bytes of what is held, without the market; about the size of a file of it."""
        row = sum(array[:1].nbytes for array in (self._ring, *self._outcomes().values()))
        return self.size() * row + self._pending.nbytes + self._extra.nbytes + self._whole.nbytes

    def _outcomes(self) -> dict[str, AnyArray]:
        return {name: getattr(self, name) for name in _OUTCOMES}

    def get_state(self) -> dict[str, Any]:
        """Return the transitions as plain arrays, and the market by its hash alone."""
        rows = self.size()
        state: dict[str, Any] = {
            **compact_records(self._ring[:rows], self._pending, self._extra.rows, self._whole.rows),
            **{name: array[:rows].copy() for name, array in self._outcomes().items()},
        }
        if self._market is None:
            market = self._market_wanted
        else:
            market = {**self._market.description, "history": self._market.history.copy()}
        return {**state, "pos": self.pos, "full": self.full, "rows": rows, "market": market}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Hold the transitions of `get_state` instead of these.

        Raises
        ------
        ConfigError
            If they are of another market, or do not fit.
        """
        own, wanted = self.market.description, state["market"]
        if own["hash"] != wanted["hash"]:
            raise ConfigError(
                f"the replay buffer was saved in another market ({market_words(wanted)}), the env "
                f"trades {market_words(own)}; build the env on the same window, indicators and "
                "observation scaling"
            )
        rows, size = state["rows"], self.buffer_size
        if rows > size or (state["full"] and rows != size):
            raise ConfigError(
                f"the state holds a replay buffer of {rows} rows, the model's has {size}; build "
                "the model with the captured buffer_size and n_envs"
            )
        shapes = [(array.shape[1:], np.shape(state[name])[1:]) for name, array in self._arrays()]
        if any(mine != saved for mine, saved in shapes):
            raise ConfigError(
                f"the state's replay buffer has rows of {[saved for _, saved in shapes]}, the "
                f"model's of {[mine for mine, _ in shapes]}; build the model with the captured "
                "n_envs"
            )
        self._load(state)
        if len(wanted["history"]) or self.market.n_earlier:
            self._market = MarketRows(self.market.table, wanted["history"])

    def _arrays(self) -> list[tuple[str, AnyArray]]:
        return [("ring", self._ring), *self._outcomes().items()]

    def _load(self, state: Mapping[str, Any]) -> None:
        self.reset()
        rows = state["rows"]
        for name, array in self._arrays():
            array[:rows] = state[name]
        self._pending[:] = state["pending"]
        self._extra.load(state["extra"])
        self._whole.load(state["whole"])
        self.pos, self.full = int(state["pos"]), bool(state["full"])

    def __getstate__(self) -> dict[str, Any]:
        settings = {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}
        return {"settings": settings, "transitions": self.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state["settings"])
        self._market, self._market_wanted = None, dict(state["transitions"]["market"])
        self._make_arrays(self._n_assets)
        self._load(state["transitions"])
        self._find_market()
