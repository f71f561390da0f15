"""What is asked of an env of the user's, check by check; see docs/bring/env.md for the contract."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from finrl_ray.agents.state.plain_file import decode, encode
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.account_history import AccountHistory
from finrl_ray.env.own.make import OwnAccounts
from finrl_ray.errors import ConfigError
from finrl_ray.testing.env_runs import (
    Run,
    Subject,
    first_difference,
    run,
    sampled_actions,
    whole_episode,
    with_another_future,
)
from finrl_ray.testing.findings import EnvFinding, Level

COMPARED_STEPS = 60
"""Steps that are compared at most; what an env does wrong it does early."""
_TOLERANCE = 1e-6


@dataclass(eq=False)
class EnvChecks:
    """The checks of one env on one window, which share the first run of an episode.

    Parameters
    ----------
    subject : the env class on a window
    """

    subject: Subject
    findings: list[EnvFinding] = field(default_factory=list)
    steps_per_second: float = 0.0
    covered: tuple[int, int] = (0, 0)
    began: int = 0

    def add(self, name: str, level: Level, text: str, remedy: str = "") -> None:
        """Note a finding."""
        self.findings.append(EnvFinding(name=name, level=level, text=text, remedy=remedy))

    def run_all(self) -> list[EnvFinding]:
        """Run every check, the later ones only where an episode has gone through."""
        episode = self._episode()
        if episode is None:
            return self.findings
        steady = self._guarded("determinism", lambda: self._determinism(episode))
        if steady:
            self._guarded("causality", lambda: self._causality(episode))
            self._guarded("exact state", self._exact_state)
        assert episode.history is not None
        self._account(episode.history)
        return self.findings

    def _guarded(self, name: str, check: Callable[[], bool]) -> bool:
        try:
            return check()
        except ConfigError as error:
            self.add(name, "broken", str(error))
            return False

    # -- an episode ---------------------------------------------------------------------------

    def _episode(self) -> Run | None:
        market = self.subject.market
        try:
            env = self.subject.make()
            began = time.perf_counter()
            episode = whole_episode(env, market.n_periods)
        except ConfigError as error:
            self.add("episode", "broken", str(error))
            return None
        seconds = max(time.perf_counter() - began, 1e-9)
        self.steps_per_second = len(episode.rewards) / seconds
        first, stop = self.covered = env.covered
        # an account may say days before the first that is traded; each step is one day
        self.began = max(first, stop - 1 - len(episode.rewards))
        self.add(
            "episode",
            "ok",
            f"an episode of {len(episode.rewards)} steps over {market.n_periods} rows ends with "
            "its account; observations and rewards are finite",
        )
        if (first, stop) != (0, market.n_periods):
            days = f"rows {first + 1} to {stop} of {market.n_periods}"
            lookback = stop == market.n_periods
            self.add(
                "window",
                "missing" if lookback else "doubt",
                f"its account covers {days} of a window; on the others it counts as unchanged",
                "" if lookback else "an evaluation should go to the window's last row",
            )
        return episode

    # -- comparisons ------------------------------------------------------------------------------

    def _again(self, env: OwnAccounts, n_steps: int) -> Run:
        return run(env, sampled_actions(env, n_steps))

    def _compared(self, episode: Run) -> int:
        return min(COMPARED_STEPS, len(episode.rewards) - 1)

    def _determinism(self, episode: Run) -> bool:
        n_steps = self._compared(episode)
        other = self._again(self.subject.make(), n_steps)
        where = first_difference(episode, other, min(n_steps, len(other.rewards)))
        if where:
            self.add(
                "determinism",
                "broken",
                f"the same seed and the same actions gave two things: {where} differs",
                "draw random numbers from self.np_random after super().reset(seed=seed), and read "
                "no clock",
            )
            return False
        self.add("determinism", "ok", "the same seed and actions give the same again")
        return True

    def _causality(self, episode: Run) -> bool:
        market = self.subject.market
        row = self.began + self._compared(episode) // 2 + 1
        row = min(row, market.n_periods - 3)
        n_steps = row - self.began
        if n_steps < 1:
            self.add("causality", "missing", "the window is too short to tell")
            return True
        changed = self.subject.make(with_another_future(market, row))
        other = self._again(changed, n_steps)
        where = first_difference(episode, other, min(n_steps, len(other.rewards)))
        if where:
            self.add(
                "causality",
                "broken",
                f"it looks ahead: {where} changes when only later rows of the data do",
                "let an observation and a reward up to row t use rows up to t alone: no means, "
                "scalings or fills over all of the window",
            )
            return False
        self.add(
            "causality", "ok", "observations and rewards up to a day do not depend on later data"
        )
        return True

    def _exact_state(self) -> bool:
        env = self.subject.make(training=True)
        if env.state_missing:
            self.add(
                "exact state",
                "missing",
                f"{env.state_missing}: a trial that is interrupted goes on from the networks and "
                "the optimizer of its last checkpoint with new episodes, not bit for bit, and the "
                "trials table says so",
                "give it get_state(), which returns plain values, and set_state(state)",
            )
            return True
        market = self.subject.market
        n_rows = min(market.n_periods, self.began + 2 * COMPARED_STEPS)
        try:
            where = self._difference_after_restoring(market.rows(0, n_rows))
        except ConfigError:
            if n_rows == market.n_periods:
                raise
            where = self._difference_after_restoring(market)  # it may need more rows than so few
        if where:
            self.add(
                "exact state",
                "broken",
                f"after set_state(get_state()) in a new env the {where} are not those of the env "
                "that went on",
                "let get_state() return all that the rest of an episode depends on, the state of "
                "self.np_random (self.np_random.bit_generator.state) among it, as copies",
            )
            return False
        self.add("exact state", "ok", "set_state(get_state()) in a new env goes on bit for bit")
        return True

    def _difference_after_restoring(self, market: MarketData) -> str:
        """Return what differs after `set_state` in an episode over some rows; empty if nothing."""
        env = self.subject.make(market, training=True)
        actions = sampled_actions(env, market.n_periods + 10)
        half = len(run(env, actions[: (market.n_periods - self.began) // 2]).rewards)
        state = decode(encode(env.get_state(), "get_state()"))
        one = run(env, actions[half:], reset=False)
        other_env = self.subject.make(market, training=True)
        other_env.reset()
        other_env.set_state(state)
        other = run(other_env, actions[half:], reset=False)
        if len(one.rewards) != len(other.rewards) or one.rewards != other.rewards:
            return "rewards"
        if first_difference(_from_here(one), _from_here(other), len(one.rewards) - 1):
            return "observations"
        return "" if _same_account(one, other) else "account values"

    # -- the account ------------------------------------------------------------------------------

    def _account(self, history: AccountHistory) -> None:
        value = history.account_value
        if bool((value == value[0]).all()):
            self.add(
                "account",
                "doubt",
                "the account's value never changed under random actions",
                "look whether account_value is updated in each step",
            )
        if bool((value <= 0).any()):
            self.add("account", "doubt", "the account's value falls to 0 or below")
        unknown = [
            name
            for name, item in (
                ("turnover", history.traded_amount),
                ("exposure", history.position_value),
                ("the number of trades", history.n_trades),
                ("the shares traded", history.trades),
            )
            if item is None
        ]
        if unknown:
            self.add(
                "account",
                "missing",
                f"it does not say {', '.join(unknown)}: these are left out of tables and reports",
                "add traded_amount, cash or gross_value, n_trades and trades to account_history",
            )
        else:
            self.add("account", "ok", "its history says values, positions, trades and costs")
        start, wanted = float(history.account_value[0]), self.subject.config.initial_amount
        if abs(start - wanted) > _TOLERANCE * wanted:
            self.add(
                "account",
                "doubt",
                f"it starts with {start:,.10g}, and env.initial_amount, with which the baselines "
                f"beside it start, is {wanted:,.10g}",
                f"set env.initial_amount to {start:.10g}",
            )
        self._identity(history)

    def _identity(self, history: AccountHistory) -> None:
        first, stop = self.covered
        rows = slice(first, stop)
        value, close = history.account_value[rows], self.subject.market.close[rows]
        told, worst = [], 0.0
        if history.trades is not None and history.cash is not None:
            moved = history.trades[first : stop - 1]
            held = np.vstack([np.zeros(moved.shape[1]), np.cumsum(moved, axis=0)])
            left = history.cash[rows] + (held * close).sum(axis=1) - value
            told.append("cash and positions add up to it")
            worst = max(worst, float(np.abs(left - left[0]).max() / value[0]))
            if history.cost is not None:
                gains = (held[1:] * np.diff(close, axis=0)).sum(axis=1)
                paid = history.cost[first : stop - 1]
                off = np.diff(value) - (gains - paid)
                told.append("its changes are the positions' gains less costs")
                worst = max(worst, float(np.abs(off).max() / value[0]))
        if not told:
            return
        if worst > _TOLERANCE:
            self.add(
                "account identity",
                "doubt",
                f"the account does not add up: it is off by up to {worst:.2g} of its value",
                "look at cash, trades and cost in account_history: value = cash + positions, and "
                "its change = the positions' gains - cost",
            )
        else:
            self.add(
                "account identity", "ok", f"the account's value is right: {' and '.join(told)}"
            )


def _same_account(one: Run, other: Run) -> bool:
    if one.history is None or other.history is None:
        return one.history is other.history
    return np.array_equal(one.history.account_value, other.history.account_value)


def _from_here(found: Run) -> Run:
    """Return a run that began without a reset, with its first observation as the start."""
    return Run(observations=found.observations, rewards=found.rewards[1:])
