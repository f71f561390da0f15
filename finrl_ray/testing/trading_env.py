"""`check_trading_env`: an env class, checked against everything that a search asks of it."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.make import make_trading_vec_env
from finrl_ray.env.own.construct import OwnEnv, load_env
from finrl_ray.env.own.make import make_own_vec_env
from finrl_ray.env.own.streams import preserved_global_streams
from finrl_ray.env.own.vec_env import OwnVecEnv
from finrl_ray.errors import ConfigError, FinRLRayError
from finrl_ray.testing.env_checks import EnvChecks
from finrl_ray.testing.env_runs import Subject, first_difference, run, sampled_actions
from finrl_ray.testing.findings import EnvFinding, Level

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

ROWS = 250
"""Rows of the bundled market, where none is given."""
_MARKS: Mapping[Level, str] = {"ok": "ok", "missing": "left out", "doubt": "look", "broken": "no"}


@dataclass(frozen=True, kw_only=True)
class EnvReport:
    """What was found of an env.

    Parameters
    ----------
    name : of the class, with its file and line
    findings : one for each thing that was asked
    """

    name: str
    findings: tuple[EnvFinding, ...]

    @property
    def usable(self) -> bool:
        """Whether a search takes it."""
        return all(finding.level != "broken" for finding in self.findings)

    def lines(self) -> list[str]:
        """Return the report in plain words, a line for each finding and a verdict."""
        shown = [f"{self.name}"]
        for finding in self.findings:
            shown.append(f"  {_MARKS[finding.level]:>8}  {finding.name}: {finding.text}")
            if finding.remedy:
                shown.append(f"            {finding.remedy}")
        n_broken = sum(finding.level == "broken" for finding in self.findings)
        verdict = "a search takes this env" if self.usable else "a search refuses this env"
        if n_broken:
            verdict += f" until what is marked 'no' is mended ({n_broken})"
        return [*shown, verdict]


def check_trading_env(
    env_class: "str | type[gym.Env[Any, Any]] | type[VecEnv] | Callable[..., Any]",
    market: MarketData | None = None,
    *,
    config: EnvConfig | None = None,
    **class_kwargs: Any,
) -> EnvReport:
    """Return what an env has, and what it lacks, of all that a search asks of it.

    Gymnasium's and Stable-Baselines3's own checkers are run, an episode to its end, and whether the
    env is deterministic, looks ahead, can be saved exactly, and keeps an account that adds up.

    Parameters
    ----------
    env_class : class of a Gymnasium env or an SB3 VecEnv, a function that makes one, or
        `module:name`
    market : to trade in; None: a year of bundled prices, of one ticker where two are refused
    config : costs and account; None: the defaults. Its `class_` and `class_kwargs` are laid under
        the arguments of this function
    class_kwargs : keywords of the constructor, beside what it is called with in a search

    Raises
    ------
    ConfigError
        If the class cannot be imported.
    """
    account = EnvConfig() if config is None else config
    given = {**account.class_kwargs, **class_kwargs}
    if isinstance(env_class, str):
        account = replace(account, class_=env_class, class_kwargs=given)
        own = load_env(account)
    else:
        name = getattr(env_class, "__qualname__", type(env_class).__qualname__)
        module = getattr(env_class, "__module__", "given")
        own = OwnEnv(f"{module}:{name}", env_class)
        reference = own.reference if "<" not in own.reference else "given:env"
        account = replace(account, class_=reference, class_kwargs=given)
    with preserved_global_streams():
        subject = _subject(own, account, market)
        checks = EnvChecks(subject)
        checks.run_all()
        if all(finding.name != "episode" or finding.level == "ok" for finding in checks.findings):
            _check_cut(checks)
            _run_checkers(checks)
            _check_speed(checks)
    return EnvReport(name=own.place, findings=tuple(checks.findings))


def _subject(own: OwnEnv, config: EnvConfig, market: MarketData | None) -> Subject:
    if market is not None:
        return Subject(own=own, config=config, market=market)
    two = bundled_market(("AAPL", "MSFT"))
    try:
        make_own_vec_env(two, config, training=False, own=own)
    except FinRLRayError:
        return Subject(own=own, config=config, market=bundled_market(("AAPL",)))
    return Subject(own=own, config=config, market=two)


def bundled_market(tickers: tuple[str, ...]) -> MarketData:
    """Return a year of bundled prices, with one feature: the last return."""
    frame = read_bundled()
    frame = frame[frame["tic"].isin(tickers)].copy()
    frame["last_return"] = frame.groupby("tic")["close"].pct_change().fillna(0.0)
    market = MarketData.from_finrl(frame, features=["last_return"], tickers=list(tickers))
    return market.rows(market.n_periods - ROWS, market.n_periods)


def _check_cut(checks: EnvChecks) -> None:
    """Cut the window short: what comes before the cut should not change."""
    subject = checks.subject
    market = subject.market
    stop = market.n_periods * 3 // 4
    n_steps = min(60, stop - checks.began - 3)
    if n_steps < 1:
        return
    try:
        whole, cut = subject.make(), subject.make(market.rows(0, stop))
        actions = sampled_actions(whole, n_steps)
        where = first_difference(run(whole, actions), run(cut, actions), n_steps)
    except ConfigError as error:
        checks.add("cut", "doubt", str(error))
        return
    except IndexError:
        where = "the length of an episode"
    if where:
        checks.add(
            "cut",
            "doubt",
            f"{where} changes when the window ends earlier",
            "an env that knows when its window ends shows what no trader knows, unless it is meant",
        )
    else:
        checks.add("cut", "ok", "a window that ends earlier looks the same until then")


def _run_checkers(checks: EnvChecks) -> None:
    """Run the checkers of Gymnasium and of Stable-Baselines3 on the env as a search has it."""
    from gymnasium.utils.env_checker import check_env as gymnasium_check
    from stable_baselines3.common.env_checker import check_env as sb3_check

    made = checks.subject.make(training=True)
    if not isinstance(made, OwnVecEnv):
        checks.add("checkers", "ok", "Gymnasium's and SB3's checkers are for single envs: not run")
        return
    checkers: tuple[tuple[str, Callable[..., None]], ...] = (
        ("Gymnasium's checker", gymnasium_check),
        ("SB3's checker", sb3_check),
    )
    for name, check in checkers:
        env = checks.subject.make(training=True).envs[0]  # type: ignore[union-attr]  # as above
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                check(env, skip_render_check=True)
            except FinRLRayError as error:
                checks.add(name, "doubt", str(error))
                continue
            except Exception as error:  # noqa: BLE001  # checkers raise whatever they find
                checks.add(name, "doubt", f"says: {_one_line(error)}")
                continue
        said = list(dict.fromkeys(_one_line(item.message) for item in caught))
        said = [
            text
            for text in said
            if "infinity" not in text and "different from the unwrapped" not in text
        ]
        if said:
            checks.add(name, "doubt", f"says: {' / '.join(said[:3])}")
        else:
            checks.add(name, "ok", "has nothing to say")


def _one_line(message: Any) -> str:
    text = " ".join(str(message).split())
    for mark in ("\x1b[33m", "\x1b[0m", "WARN: "):
        text = text.replace(mark, "")
    return text[:300]


def _check_speed(checks: EnvChecks) -> None:
    env = make_trading_vec_env(checks.subject.market, EnvConfig(), training=False)
    env.reset()
    action = np.zeros((1, checks.subject.market.n_assets), dtype=np.float32)
    env.step(action)
    began = time.perf_counter()
    for _ in range(200):
        env.step(action)
    own = 200 / max(time.perf_counter() - began, 1e-9)
    checks.add(
        "speed",
        "ok",
        f"{checks.steps_per_second:,.0f} steps a second in one account, where this package's env "
        f"makes {own:,.0f}",
    )
