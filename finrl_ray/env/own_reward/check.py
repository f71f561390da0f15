"""A reward function on made-up accounts, before anything is trained with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from finrl_ray._typing import AnyArray, FloatArray
from finrl_ray.config.env_options.reward import is_own_reward
from finrl_ray.env.kernel.rewards import LEAST_GROWTH
from finrl_ray.env.own_reward.reward import REMEDY, OwnReward, told_of
from finrl_ray.env.own_reward.terms import Position, RewardedStep
from finrl_ray.env.rules import TradingRules
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.load import load_object
from finrl_ray.support.float32_range import FLOAT32_MAX

_CASES = (
    "an ordinary step",
    "the first step of an episode",
    "a step without trades and costs",
    "a step in which no price moves",
    "a total loss",
    "a step that doubles the account",
    "an account in cash alone",
)
# sums of NumPy may round differently for another number of accounts, but no more than this
_ROUNDING = 1e-9


def own_reward(rules: TradingRules, n_assets: int, scaling: float) -> OwnReward | None:
    """Return the user's reward that rules name, checked; None where they name one of the package.

    Parameters
    ----------
    n_assets : N
    scaling : what it is multiplied by

    Raises
    ------
    OwnCodeError, ConfigError
        If it cannot be loaded, asks for what it cannot be told, or does not pass `check_reward`.
    """
    if not is_own_reward(rules.reward):
        return None
    named = isinstance(rules.reward, str)
    function: Any = load_object(rules.reward, "reward") if named else rules.reward
    reward = OwnReward(function, rules.reward_kwargs, rules.reward if named else _name(function))
    check_reward(reward, n_assets=n_assets, scaling=scaling)
    return reward


def _name(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', function)}"


def check_reward(reward: OwnReward, *, n_assets: int = 4, scaling: float = 1.0) -> None:
    """Call a reward function on made-up accounts, and see that it can be trained with.

    It is called for 1, 3 and 7 accounts in an ordinary step, in the first of an episode, without
    trades and costs, without price moves, with all lost, with the account doubled, and in cash
    alone. It must return one finite number per account; the same when it is asked again; for an
    account the same whatever accounts stand beside it.

    Parameters
    ----------
    n_assets : N, tickers of the made-up market
    scaling : `env.reward_scaling`, with which float32 must hold what is paid

    Raises
    ------
    OwnCodeError
        If one of these does not hold; the message names the function's file and line, the case, and
        what the function was told.
    """
    with np.errstate(all="ignore"):  # what comes of it is looked at
        for case in _CASES:
            for n_envs in (1, 3, 7):
                _check_case(reward, case, made_up_step(case, n_envs, n_assets), scaling)


def _check_case(reward: OwnReward, case: str, step: RewardedStep, scaling: float) -> None:
    told, n_envs = reward.told(step), len(step.step)
    paid = reward.paid(told, n_envs)
    _check_finite(reward, case, told, paid, scaling)
    _check_same(reward, case, paid, reward.paid(reward.told(step), n_envs))
    _check_alone(reward, case, step, paid)


def _check_finite(
    reward: OwnReward, case: str, told: Mapping[str, AnyArray], paid: FloatArray, scaling: float
) -> None:
    good = np.abs(paid * scaling) <= FLOAT32_MAX  # NaN is not
    if not good.all():
        account = int(np.argmin(good))
        raise OwnCodeError(
            f"{reward.who} returns {float(paid[account])!r} for {case} (one of the made-up accounts"
            f" that it is checked on), where it is told {told_of(told, account)}; times "
            f"reward_scaling ({scaling:g}) it must be a number that float32 can hold. {REMEDY}"
        )


def _check_same(reward: OwnReward, case: str, paid: FloatArray, again: FloatArray) -> None:
    if paid.tobytes() != again.tobytes():
        account = int(np.argmax(paid != again))
        raise OwnCodeError(
            f"{reward.who} returns {paid[account]!r} for {case} and {again[account]!r} when it is "
            "asked again with the same arguments; it must depend on its arguments alone: no random "
            "numbers, no clock, nothing kept from earlier calls (recent_account_values has the "
            "episode so far)"
        )


def _check_alone(reward: OwnReward, case: str, step: RewardedStep, paid: FloatArray) -> None:
    """Compare with what each account is paid when it stands elsewhere, or alone."""
    n_envs = len(paid)
    backwards = np.arange(n_envs)[::-1]
    for chosen in (backwards, *np.split(np.arange(n_envs), n_envs)):
        other = reward.paid(reward.told(step.of_accounts(chosen)), len(chosen))
        if not np.allclose(other, paid[chosen], rtol=_ROUNDING, atol=_ROUNDING):
            at = int(np.argmax(np.abs(other - paid[chosen])))
            raise OwnCodeError(
                f"{reward.who} returns {paid[chosen[at]]!r} for {case} of one account among "
                f"{n_envs}, and {other[at]!r} for the same account "
                f"{'alone' if len(chosen) == 1 else 'when their order is turned'}; entry i must "
                "depend on account i alone: sum and average over tickers (axis=1) and never over "
                "accounts (axis=0, or no axis)"
            )


def made_up_step(case: str, n_envs: int, n_assets: int) -> RewardedStep:
    """Return a step of made-up accounts that add up; the same for the same arguments."""
    rng = np.random.default_rng(7)
    shape = n_envs, n_assets
    close_before = rng.uniform(20.0, 200.0, shape)
    moves = rng.uniform(-0.03, 0.03, shape)
    shares_before = np.floor(rng.uniform(0.0, 500.0, shape))
    cash_before = rng.uniform(1e4, 3e5, n_envs)
    trades = np.floor(rng.uniform(-0.2, 0.2, shape) * shares_before)
    rate = 0.001
    if case in ("a step without trades and costs", "a total loss"):
        trades, rate = np.zeros(shape), 0.0
    if case == "a step in which no price moves":
        moves, trades, rate = np.zeros(shape), np.zeros(shape), 0.0
    if case == "an account in cash alone":
        shares_before, trades = np.zeros(shape), np.zeros(shape)
    if case == "a step that doubles the account":
        moves, cash_before, trades = np.ones(shape), np.zeros(n_envs), np.zeros(shape)
    amount = (np.abs(trades) * close_before).sum(axis=1)
    cost = rate * amount
    cash = cash_before - (trades * close_before).sum(axis=1) - cost
    close, shares = close_before * (1.0 + moves), shares_before + trades
    before = _value(cash_before, shares_before, close_before)
    after = _value(cash, shares, close)
    if case == "a total loss":  # the broker has closed the account, as env.short says
        trades, shares = -shares, np.zeros(shape)
        cash = after = LEAST_GROWTH * before
    first = case == "the first step of an episode"
    earlier = before[:, np.newaxis] * rng.uniform(0.9, 1.05, (n_envs, 0 if first else 40))
    earlier = np.column_stack([earlier, before])
    step = np.full(n_envs, earlier.shape[1])
    held = rng.uniform(-0.02, 0.02, n_envs) * bool(moves.any())
    peak = earlier.max(axis=1)
    values = [np.append(past, now) for past, now in zip(earlier, after, strict=True)]
    return RewardedStep(
        before=Position(
            account_value=before,
            cash=cash_before,
            shares=shares_before,
            close=close_before,
            peak=peak,
            benchmark_value=before * 1.01,
        ),
        after=Position(
            account_value=after,
            cash=cash,
            shares=shares,
            close=close,
            peak=np.maximum(peak, after),
            benchmark_value=before * 1.01 * (1.0 + held),
        ),
        trades=trades,
        cost=cost,
        traded_amount=amount,
        step=step,
        day=step + 10,
        date=np.datetime64("2020-01-01", "ns") + (step + 10) * np.timedelta64(1, "D"),
        account_values=tuple(values),
    )


def _value(cash: FloatArray, shares: FloatArray, close: FloatArray) -> FloatArray:
    value: FloatArray = cash + (shares * close).sum(axis=1)
    return value
