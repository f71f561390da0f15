"""`RewardPayments`: an own reward in the place of the kernel's, step after step."""

import numpy as np

from finrl_ray._typing import FloatArray, IntArray
from finrl_ray.env.kernel.arrays import Books, Limits
from finrl_ray.env.market_table import MarketTable
from finrl_ray.env.own_reward.reward import REMEDY, OwnReward, told_of
from finrl_ray.env.own_reward.terms import RECENT_DAYS, Position, RewardedStep
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.support.float32_range import FLOAT32_MAX


class RewardPayments:
    """Pays E accounts by a user's function: see what stood before a step, then pay for it.

    Parameters
    ----------
    reward : the function
    table : the market
    books, limits : of the accounts; rewards are written into them
    executed : array of shape (E, N), shares that changed hands in the last step, as the kernel
        leaves them
    scaling : what the function returns is multiplied by
    """

    def __init__(
        self,
        reward: OwnReward,
        table: MarketTable,
        books: Books,
        limits: Limits,
        executed: FloatArray,
        scaling: float,
    ) -> None:
        self.reward, self.scaling = reward, scaling
        self._close, self._dates, self._labels = table.market.close, table.dates, table.labels
        self._books, self._limits, self._executed = books, limits, executed
        self._every = np.arange(len(executed))
        self._peak: FloatArray = np.zeros(len(executed))

    def begin(self, index: int) -> None:
        """Begin an episode of account `index`, or go on in one: its peak is in the ledger."""
        record = self._books.records[index]
        values = self._books.ledger[index, : record["day"] - record["start"] + 1, 0]
        self._peak[index] = values.max()

    def before(self) -> Position:
        """Return where all accounts stand, as copies."""
        records = self._books.records
        return Position(
            # contiguous, since functions of NumPy may round otherwise on strided arrays
            account_value=records["value"].copy(),
            cash=records["cash"].copy(),
            shares=self._books.shares.copy(),
            close=self._close[records["day"]],
            peak=self._peak.copy(),
            benchmark_value=self._limits.benchmark[:, 1:].flatten(),
        )

    def pay(self, before: Position) -> None:
        """Put what the function returns for the step since `before` in the kernel's reward's place.

        Raises
        ------
        OwnCodeError
            If the function raises, or returns anything but a finite number for each account.
        """
        records, every = self._books.records, self._every
        np.maximum(self._peak, records["value"], out=self._peak)
        day = records["day"].copy()
        step = day - records["start"]
        rows = self._books.ledger[every, step]
        rewarded = RewardedStep(
            before=before,
            after=self.before(),
            trades=self._executed.copy(),
            cost=rows[:, 3].copy(),
            traded_amount=rows[:, 4].copy(),
            step=step,
            day=day,
            date=self._dates[day],
            account_values=self._recent_values(step),
        )
        told = self.reward.told(rewarded)
        paid = self.reward.paid(told, len(every))
        penalty = self._limits.penalty
        net = paid - penalty[every, step - 1] if penalty.shape[1] else paid
        scaled = net * self.scaling
        good = np.abs(scaled) <= FLOAT32_MAX  # NaN is not
        if not good.all():
            at = int(np.argmin(good))
            raise OwnCodeError(
                f"{self.reward.who} paid {float(paid[at])!r} to account {at} in step {step[at]} of "
                f"its episode, to {self._labels[day[at]]}, where it was told {told_of(told, at)}; "
                f"times reward_scaling ({self.scaling:g}) it must be a number that float32 can "
                f"hold. {REMEDY}"
            )
        records["reward"] = scaled
        self._books.ledger[every, step, 2] = paid

    def _recent_values(self, step: IntArray) -> tuple[FloatArray, ...]:
        if "recent_account_values" not in self.reward.asked:
            return ()
        return tuple(
            values[max(0, last + 1 - RECENT_DAYS) : last + 1, 0]
            for values, last in zip(self._books.ledger, step.tolist(), strict=True)
        )
