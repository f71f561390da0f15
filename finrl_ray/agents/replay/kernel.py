"""Compiled functions of `MarketReplayBuffer`: place transitions, and put observations together.

Everything is compared and copied as 32-bit patterns, so that a NaN or a negative zero comes back as
it was. Arrays, with N tickers, M market entries, E accounts:

    observation  S = 1 + N + M: [cash, N market entries, shares (N), the other market entries]
    record       N + 3: [cash, shares (N), place of its market entries, link to what is seen next]
    market       (T, M) entries of each day; place k >= 0 is row k of it
    whole        (K, M) entries that no day has; place -1 - k is row k of it
"""

from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, Float32Array, IntArray
from finrl_ray.machine.compiled_cache import cached_njit

compiled = cached_njit(nogil=True)

BREAKS, JUMPS, REPLACES = 1, 2, 4
"""Bits of `place_transitions`: what else there is to do for an account."""


# Slices are taken before each loop so that its index is never negative, which the compiler sees and
# then uses vector instructions.


@compiled
def differ(first: AnyArray, second: AnyArray) -> bool:
    """Return whether two arrays of equal length differ in any word."""
    difference = np.int32(0)
    for i in range(first.shape[0]):
        difference |= first[i] ^ second[i]
    return bool(difference != 0)


@compiled
def copy_words(source: AnyArray, target: AnyArray) -> None:
    """Copy an array over another of equal length."""
    for i in range(source.shape[0]):
        target[i] = source[i]


@compiled
def same_market(observation: AnyArray, entries: AnyArray, n_assets: int) -> bool:
    """Return whether an observation shows these market entries."""
    return not (
        differ(entries[:n_assets], observation[1 : 1 + n_assets])
        or differ(entries[n_assets:], observation[1 + 2 * n_assets :])
    )


@compiled
def same_account(observation: AnyArray, record: AnyArray, n_assets: int) -> bool:
    """Return whether an observation shows the cash and the shares of a record."""
    return observation[0] == record[0] and not differ(
        observation[1 + n_assets : 1 + 2 * n_assets], record[1 : 1 + n_assets]
    )


@compiled
def write_account(observation: AnyArray, record: AnyArray, n_assets: int) -> None:
    """Copy cash and shares of an observation into a record."""
    record[0] = observation[0]
    copy_words(observation[1 + n_assets : 1 + 2 * n_assets], record[1 : 1 + n_assets])


@compiled
def write_observation(out: AnyArray, record: AnyArray, entries: AnyArray, n_assets: int) -> None:
    """Put an observation together."""
    out[0] = record[0]
    copy_words(entries[:n_assets], out[1 : 1 + n_assets])
    copy_words(record[1 : 1 + n_assets], out[1 + n_assets : 1 + 2 * n_assets])
    copy_words(entries[n_assets:], out[1 + 2 * n_assets :])


@compiled
def place_transitions(
    observations: AnyArray,
    next_observations: AnyArray,
    known: bool,
    pending: AnyArray,
    market: AnyArray,
    whole: AnyArray,
    records: AnyArray,
    replaced: AnyArray,
    odd: AnyArray,
) -> bool:
    """Write the records of one step, as far as each account goes on to the next day.

    That is all there is to do at most steps. What is left of others is told by bits.

    Parameters
    ----------
    observations, next_observations : arrays of shape (E, S)
    known : whether `pending` holds the next observations of a step before
    pending : array of shape (E, N + 2)
        Records, without a link, of the next observations of the step before; overwritten where
        the account goes on.
    market, whole : see the module
    records : array of shape (E, N + 3)
        Filled; the place only where the observation is the one that was pending.
    replaced : array of shape (E, 2)
        Filled with place and link of the records before.
    odd : array of shape (E,)
        Filled with bits: BREAKS where the observation is not the pending one, JUMPS where the next
        one is not of the next day, REPLACES where the overwritten record has rows in `whole` or
        in `extra` of the buffer.

    Returns
    -------
    bool
        Whether any bit is set.
    """
    n_assets: int = pending.shape[1] - 2
    place_column, link_column = 1 + n_assets, 2 + n_assets
    anything = False
    for e in range(observations.shape[0]):
        record, seen, after = records[e], observations[e], next_observations[e]
        replaced[e, 0], replaced[e, 1] = record[place_column], record[link_column]
        bits = REPLACES if replaced[e, 0] < 0 or replaced[e, 1] > 0 else 0
        place = pending[e, place_column]
        entries = market[place] if place >= 0 else whole[-1 - place]
        write_account(seen, record, n_assets)
        record[link_column] = 0
        if (
            known
            and same_account(seen, pending[e], n_assets)
            and same_market(seen, entries, n_assets)
        ):
            record[place_column] = place
            following = place + 1
            if 0 < following < market.shape[0] and same_market(after, market[following], n_assets):
                write_account(after, pending[e], n_assets)
                pending[e, place_column] = following
            else:
                bits |= JUMPS
        else:
            bits |= BREAKS | JUMPS
        odd[e] = bits
        anything |= bits != 0
    return anything


@compiled
def place_run(
    observations: AnyArray,
    next_observations: AnyArray,
    given: tuple[Float32Array, Float32Array],
    known: bool,
    pos: int,
    pending: AnyArray,
    market: AnyArray,
    whole: AnyArray,
    ring: AnyArray,
    outcomes: tuple[Any, Float32Array, Float32Array, Float32Array],
    replaced: AnyArray,
    odd: AnyArray,
) -> tuple[int, bool]:
    """Write records and outcomes of steps that end no episode, up to one with more to do.

    Parameters
    ----------
    observations, next_observations : arrays of shape (K, E, S)
    given : actions (K, E, A) and rewards (K, E)
    known, pending, market, whole, replaced, odd : see `place_transitions`
    pos : row of the ring for the first step
    ring : array of shape (R, E, N + 3)
    outcomes : actions (R, E, A), rewards, dones and timeouts (R, E)

    Returns
    -------
    steps : int
        Those with nothing more to do.
    more : bool
        Whether the step after them was written, too, and has bits in `odd`.
    """
    actions, rewards = given
    held_actions, held_rewards, dones, timeouts = outcomes
    for k in range(rewards.shape[0]):
        row = (pos + k) % ring.shape[0]
        for e in range(rewards.shape[1]):
            acted, held = actions[k, e], held_actions[row, e]
            for i in range(acted.shape[0]):
                held[i] = acted[i]
            held_rewards[row, e] = rewards[k, e]
            dones[row, e] = np.float32(0.0)
            timeouts[row, e] = np.float32(0.0)
        if place_transitions(
            observations[k], next_observations[k], known or k > 0, pending, market, whole,
            ring[row], replaced, odd,
        ):  # fmt: skip
            return k, True
    return rewards.shape[0], False


@compiled
def gather_one(
    row: int,
    e: int,
    newest: int,
    in_ring: bool,
    ring: AnyArray,
    pending: AnyArray,
    extra: AnyArray,
    market: AnyArray,
    whole: AnyArray,
    out: AnyArray,
    out_next: AnyArray,
) -> None:
    """Put what account `e` has seen (S,) and then seen (S,) together; see `gather_observations`."""
    n_assets: int = pending.shape[1] - 2
    place_column, link_column = 1 + n_assets, 2 + n_assets
    record = ring[row, e]
    place, link = record[place_column], record[link_column]
    entries = market[place] if place >= 0 else whole[-1 - place]
    write_observation(out, record, entries, n_assets)
    if row == newest:
        place = pending[e, place_column]
        entries = market[place] if place >= 0 else whole[-1 - place]
        write_observation(out_next, pending[e], entries, n_assets)
    elif link > 0 and not in_ring:
        place = extra[link - 1, place_column]
        entries = market[place] if place >= 0 else whole[-1 - place]
        write_observation(out_next, extra[link - 1], entries, n_assets)
    else:
        after = ring[(row + 1) % ring.shape[0], e]
        place = after[place_column]
        entries = market[place] if place >= 0 else whole[-1 - place]
        write_observation(out_next, after, entries, n_assets)


@compiled
def gather_observations(
    rows: IntArray,
    accounts: IntArray,
    newest: int,
    in_ring: bool,
    ring: AnyArray,
    pending: AnyArray,
    extra: AnyArray,
    market: AnyArray,
    whole: AnyArray,
    out: AnyArray,
    out_next: AnyArray,
) -> None:
    """Put the observations and next observations of B transitions together.

    Parameters
    ----------
    rows, accounts : arrays of shape (B,)
    newest : row of the newest transitions, whose next observations are in `pending`
    in_ring : what is seen next is always the next row, as with SB3's `optimize_memory_usage`
    ring : array of shape (R, E, N + 3)
    pending : array of shape (E, N + 2)
    extra : array of shape (K, N + 2)
        Next observations that no row of the ring holds; a record of link k > 0 has row k - 1.
    market, whole : see the module
    out, out_next : arrays of shape (B, S), filled
    """
    for b in range(rows.shape[0]):
        gather_one(
            rows[b], accounts[b], newest, in_ring, ring, pending, extra, market, whole,
            out[b], out_next[b],
        )  # fmt: skip


@compiled
def gather_outcomes(
    rows: IntArray,
    accounts: IntArray,
    actions: Any,
    rewards: Float32Array,
    dones: Float32Array,
    timeouts: Float32Array,
    out_actions: Any,
    out_rewards: Float32Array,
    out_dones: Float32Array,
) -> None:
    """Copy actions (B, N) and rewards (B, 1), and say which transitions (B, 1) ended an episode.

    An episode that a time limit has cut did not end.
    """
    for b in range(rows.shape[0]):
        row, e = rows[b], accounts[b]
        for i in range(actions.shape[2]):
            out_actions[b, i] = actions[row, e, i]
        out_rewards[b, 0] = rewards[row, e]
        out_dones[b, 0] = dones[row, e] * (np.float32(1.0) - timeouts[row, e])


@compiled
def gather_transitions(
    rows: IntArray,
    accounts: IntArray,
    newest: int,
    in_ring: bool,
    ring: AnyArray,
    pending: AnyArray,
    extra: AnyArray,
    market: AnyArray,
    whole: AnyArray,
    outcomes: tuple[Float32Array, Float32Array, Float32Array, Float32Array],
    inputs: Float32Array,
    out_rewards: Float32Array,
    out_dones: Float32Array,
) -> None:
    """Put B transitions together where an update reads them.

    Parameters
    ----------
    rows, accounts, newest, in_ring, ring, pending, extra, market, whole : see `gather_observations`
    outcomes : actions (R, E, N), rewards, dones and timeouts (R, E)
    inputs : array of shape (2B, S + N or more)
        Filled with observations and actions, and in its second half with next observations.
    out_rewards, out_dones : arrays of shape (B, 1), filled; see `gather_outcomes`
    """
    actions, rewards, dones, timeouts = outcomes
    n_rows, n_assets, n_actions = rows.shape[0], pending.shape[1] - 2, actions.shape[2]
    width = 1 + n_assets + market.shape[1]
    bits = inputs.view(np.int32)
    for b in range(n_rows):
        row, e = rows[b], accounts[b]
        gather_one(
            row, e, newest, in_ring, ring, pending, extra, market, whole,
            bits[b, :width], bits[n_rows + b, :width],
        )  # fmt: skip
        acted, target = actions[row, e], inputs[b, width : width + n_actions]
        for j in range(n_actions):
            target[j] = acted[j]
        out_rewards[b, 0] = rewards[row, e]
        out_dones[b, 0] = dones[row, e] * (np.float32(1.0) - timeouts[row, e])


@compiled
def row_hashes(rows: AnyArray) -> AnyArray:
    """Return a 64-bit FNV-1a hash over the words of each row, of shape (T,)."""
    result = np.empty(rows.shape[0], dtype=np.uint64)
    for t in range(rows.shape[0]):
        value = np.uint64(14695981039346656037)
        for j in range(rows.shape[1]):
            value = (value ^ np.uint64(np.uint32(rows[t, j]))) * np.uint64(1099511628211)
        result[t] = value
    return result


def as_bits(array: Float32Array | AnyArray) -> AnyArray:
    """Return a C-contiguous float32 array as int32 words, a view where it is one already."""
    return np.ascontiguousarray(array, dtype=np.float32).view(np.int32)
