"""`check_trading_env`: what is there and what is missing, in words."""

from typing import Any

import gymnasium as gym
import pytest
from other_envs import ANY_STOCKS, FINRL_PORTFOLIO, FINRL_STOCK, GYM_TRADING, other_class
from own_envs import (
    ClockEnv,
    ForgetfulEnv,
    GivenVecEnv,
    LookingAheadEnv,
    RaisingEnv,
    SilentEnv,
    StatefulEnv,
    ValueEnv,
    wandering_market,
)

from finrl_ray.config.env import EnvConfig
from finrl_ray.testing import EnvReport, check_trading_env


def levels(report: EnvReport) -> dict[str, str]:
    return {finding.name: finding.level for finding in report.findings}


def test_a_whole_env_is_ok() -> None:
    report = check_trading_env(StatefulEnv)
    found = levels(report)
    assert report.usable
    for name in ("episode", "determinism", "causality", "exact state", "cut", "speed"):
        assert found[name] == "ok", report.lines()
    assert "own_envs.py, line" in report.name
    assert report.lines()[-1] == "a search takes this env"


class LookingBackEnv(StatefulEnv):
    """Begins after 150 rows, and cannot be built on fewer; says the days that it trades."""

    first = 150
    padded = False

    def __init__(self, market: Any) -> None:
        super().__init__(market.close)
        self.dates = market.dates
        assert len(self.prices) > self.first + 2, "too few rows"

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        _, info = super().reset(seed=seed, options=options)
        self.day, self.values = self.first, [1e6]
        return self._observation(), info

    def step(self, action: Any) -> Any:
        observation, reward, done, cut, info = super().step(action)
        self.values.append(self.account_value)
        if done:
            missing = [1e6] * self.first if self.padded else []
            dates = self.dates[0 if self.padded else self.first :]
            info["account_history"] = {"account_value": missing + self.values, "dates": dates}
        return observation, reward, done, cut, info

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "values": list(self.values)}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.values = list(state["values"])


class PaddingEnv(LookingBackEnv):
    """The same, with an account of every day."""

    padded = True


class ForgetfulLookingBackEnv(LookingBackEnv):
    """Leaves its luck out of its state."""

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state({**state, "luck": 0.0})


@pytest.mark.parametrize("days", [250, 400])
@pytest.mark.parametrize("made", [LookingBackEnv, PaddingEnv])
def test_a_long_look_back_is_no_fault(made: Any, days: int) -> None:
    report = check_trading_env(made, wandering_market(days))
    assert levels(report)["exact state"] == "ok", report.lines()
    assert report.usable


def test_a_state_that_forgets_is_found_after_a_long_look_back() -> None:
    report = check_trading_env(ForgetfulLookingBackEnv, wandering_market(400))
    assert levels(report)["exact state"] == "broken", report.lines()


def limited(prices: Any) -> Any:
    """Return an env inside a wrapper of Gymnasium's that counts steps."""
    return gym.wrappers.TimeLimit(StatefulEnv(prices), 1000)


def test_a_wrapper_without_a_state_gives_the_exact_state_up() -> None:
    report = check_trading_env(limited, wandering_market())
    (found,) = [one for one in report.findings if one.name == "exact state"]
    assert found.level == "missing", report.lines()
    assert "the wrapper TimeLimit of " in found.text
    assert "has no get_state and no set_state" in found.text
    assert report.usable


def test_a_wrapper_with_a_state_is_the_one_that_is_asked() -> None:
    class Counting(gym.Wrapper[Any, Any, Any, Any]):
        steps = 0

        def step(self, action: Any) -> Any:
            self.steps += 1
            observation, reward, *rest = super().step(action)
            return observation, float(reward) + self.steps % 7, *rest

        def reset(self, **arguments: Any) -> Any:
            self.steps = 0
            return super().reset(**arguments)

        def get_state(self) -> Any:
            return {"steps": self.steps, "env": self.env.get_state()}  # type: ignore[attr-defined]

        def set_state(self, state: Any) -> None:
            self.steps = state["steps"]
            self.env.set_state(state["env"])  # type: ignore[attr-defined]

    report = check_trading_env(lambda prices: Counting(StatefulEnv(prices)), wandering_market())
    assert levels(report)["exact state"] == "ok", report.lines()


def test_what_is_given_up_is_said_in_a_sentence() -> None:
    report = check_trading_env(ValueEnv, wandering_market())
    assert report.usable
    assert levels(report)["exact state"] == "missing"
    text = "\n".join(report.lines())
    assert "goes on from the networks and the optimizer of its last checkpoint" in text
    assert "it does not say turnover, exposure, the number of trades, the shares traded" in text
    assert "give it get_state()" in text


@pytest.mark.parametrize(
    ("made", "name", "text"),
    [
        (LookingAheadEnv, "causality", "it looks ahead: the observation of reset()"),
        (ClockEnv, "determinism", "the same seed and the same actions gave two things"),
        (ForgetfulEnv, "exact state", "after set_state(get_state()) in a new env the rewards"),
        (RaisingEnv, "episode", "KeyError: 'no such day'"),
        (SilentEnv, "episode", "nothing was said of the account"),
    ],
)
def test_a_broken_env_is_refused(made: Any, name: str, text: str) -> None:
    report = check_trading_env(made, wandering_market())
    (broken,) = [finding for finding in report.findings if finding.level == "broken"]
    assert not report.usable
    assert broken.name == name
    assert text in str(broken)
    assert report.lines()[-1].startswith("a search refuses this env")


def test_an_account_that_does_not_add_up_is_doubted() -> None:
    class Lying(ValueEnv):
        def step(self, action: Any) -> Any:
            observation, reward, done, cut, info = super().step(action)
            if done:
                n = len(self.prices)
                info["account_history"] = {
                    "account_value": [1e6 + day for day in range(n)],
                    "cash": [1e6] * n,
                    "trades": [[0.0, 0.0]] * (n - 1),
                }
            return observation, reward, done, cut, info

    report = check_trading_env(Lying, wandering_market())
    assert levels(report)["account identity"] == "doubt"
    assert report.usable


def test_a_vec_env_and_a_function_are_checked_too() -> None:
    assert levels(check_trading_env(GivenVecEnv, wandering_market()))["causality"] == "ok"
    made = check_trading_env(lambda prices, window: ValueEnv(prices), wandering_market(), window=3)
    assert made.usable, made.lines()


def test_another_start_than_the_configs_is_doubted() -> None:
    report = check_trading_env(ValueEnv, wandering_market(), config=EnvConfig(initial_amount=5e5))
    assert "set env.initial_amount to 1000000" in "\n".join(report.lines())


@pytest.mark.parametrize("reference", [FINRL_STOCK, FINRL_PORTFOLIO, GYM_TRADING, ANY_STOCKS])
def test_envs_of_other_packages_are_taken(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_trading_env(other_class(reference, monkeypatch))
    found = levels(report)
    assert report.usable, report.lines()
    for name in ("determinism", "causality", "exact state"):
        assert found[name] == "ok", report.lines()
    assert found.get("account identity", "ok") == "ok", report.lines()
