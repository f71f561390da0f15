"""`load_agent`: a deployed agent, which says what to trade after the last bar of a market."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.ensemble_model.model import EnsembleModel
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.data.labels import date_label
from finrl_ray.data.market_data import MarketData
from finrl_ray.deployment.acting_env import load_agents_model, with_a_row_after
from finrl_ray.deployment.agent_folder import (
    BARS_FILE,
    PAPER_FOLDER,
    AgentFolder,
    read_agent_folder,
)
from finrl_ray.deployment.bar_checks.volume import agent_needs_volume
from finrl_ray.deployment.bars import market_of_bars, read_bars, with_new_bars
from finrl_ray.deployment.feature_ranges import in_words
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.own_code import run_code
from finrl_ray.deployment.paper_account import Decision, PaperAccount
from finrl_ray.deployment.signal import Signal
from finrl_ray.errors import DataError
from finrl_ray.training.threads import threads_of_a_trial

if TYPE_CHECKING:
    from finrl_ray.env.account_history import AccountHistory


def load_agent(path: str | Path, *, trust: bool = False) -> "DeployedAgent":
    """Return the agent of a folder that `finrl-ray deploy` has written.

    Every file is compared with the manifest first, and the model is read without running code.

    Parameters
    ----------
    path : the folder
    trust : run code of the user's own in it that somebody else has put there, and unpickle a model
        that cannot be read otherwise; see docs/trust.md

    Raises
    ------
    SearchError
        If it is no agent's folder, a file in it is damaged, changed or added, or it holds code that
        needs trust.
    ConfigError
        If the model cannot be loaded.
    """
    folder = read_agent_folder(path)
    run_code(folder.path, folder.facts, folder.config, folder.code, trust=trust)
    return DeployedAgent(folder, load_agents_model(folder, trust=trust), trust=trust)


class DeployedAgent:
    """A trained agent and all that acting takes: config, scaling, statistics and past bars.

    Parameters
    ----------
    folder : from `read_agent_folder`
    model : its model
    trust : see `load_agent`

    Attributes
    ----------
    path : the folder
    config : of the trial
    tickers : N names
    facts : of `agent.json`
    verdict : what the search found, with its sentence; None if nothing was said
    trained_until : the first date that was not trained on
    bars : raw rows of the source up to the end of training, in FinRL's long format
    """

    def __init__(
        self, folder: AgentFolder, model: BaseAlgorithm | EnsembleModel, *, trust: bool = False
    ) -> None:
        self.folder = folder
        self.path: Path = folder.path
        self.config: ExperimentConfig = folder.config
        self.facts: Mapping[str, Any] = folder.facts
        self.tickers: tuple[str, ...] = tuple(folder.facts["tickers"])
        self.features: tuple[str, ...] = tuple(folder.facts["features"])
        self.verdict: dict[str, Any] | None = folder.facts.get("verdict")
        self.trained_until = str(folder.facts["trained"]["until"])
        self.bars = folder.bars
        self.model = model
        self._account = PaperAccount(folder, model, trust=trust)

    @property
    def deployed_on(self) -> str:
        """The last bar that was known at deployment, on which the paper account begins."""
        return date_label(np.datetime64(self.bars["date"].iloc[-1]))

    @property
    def known_bars(self) -> pd.DataFrame:
        """`bars` and those that were seen since, from `paper/` in the folder."""
        seen = self.path / PAPER_FOLDER / BARS_FILE
        if not seen.is_file():
            return self.bars
        return with_new_bars(self.bars, read_bars(seen), self.config.data)

    def market_of(self, frame: "pd.DataFrame | None" = None) -> MarketData:
        """Return the market of the known bars and of new ones, with the agent's features.

        Parameters
        ----------
        frame : rows in FinRL's long format; they may hold new bars alone. Rows of tickers that the
            agent does not know are left out. Of known bars the known rows stay; their volumes may
            have been revised where neither features nor slippage depend on them. None: no new ones

        Raises
        ------
        DataError
            If a price of the past has changed, or the rows cannot be used.
        """
        bars = self.known_bars
        if frame is not None:
            matters = agent_needs_volume(self.folder)
            bars = with_new_bars(bars, frame, self.config.data, volume_matters=matters)
        return self._checked(market_of_bars(bars, self.config.data))

    def act(
        self,
        market: "MarketData | pd.DataFrame",
        holdings: Holdings | None = None,
        *,
        start: str | None = None,
    ) -> Signal:
        """Return what to trade after the last bar of a market, from rows up to it alone.

        The agent's own paper account is traded by its env from `start` up to that bar; the orders
        are those of the env. With `holdings` the agent acts in the place of their account, with the
        memory of its own: what it has seen, which tickers it traded last, what it paid.

        With `fill: next_open` the orders go out now and are filled at the next open, which nobody
        knows: `planned` is what the env will ask for, and `orders` what would be filled were the
        next open the last close. `settle` says what was filled, once that bar is there.

        Parameters
        ----------
        market : with the agent's tickers and features, complete bars alone; or new rows in FinRL's
            long format, see `market_of`
        holdings : cash and shares of an account; None: the agent's own
        start : date of the first row of the paper account; None: the last bar that was known at
            deployment, or the first row after it that the market has

        Raises
        ------
        DataError
            If the market or the holdings do not fit the agent.
        """
        rows = self._market(market)
        return self._signal(rows, rows.n_periods - 1, holdings, start, settled=False)

    def settle(
        self,
        market: "MarketData | pd.DataFrame",
        holdings: Holdings | None = None,
        *,
        start: str | None = None,
    ) -> Signal:
        """Return the orders of the bar before the last one, as they were filled.

        The parameters and errors are those of `act`; the last row of the market is the one on which
        orders fill with `fill: next_open`, and to whose close costs are charged.
        """
        rows = self._market(market)
        if rows.n_periods < 2:
            raise DataError(f"to settle orders takes two rows, got {rows.n_periods}")
        return self._signal(rows, rows.n_periods - 2, holdings, start, settled=True)

    def account(
        self, market: "MarketData | pd.DataFrame", *, start: str | None = None
    ) -> "AccountHistory":
        """Return the agent's paper account day by day, from `start` to the last row of a market.

        The parameters and errors are those of `act`.
        """
        rows = self._market(market)
        first = self._first_row(rows, rows.n_periods - 1, start)
        with threads_of_a_trial(self.config):
            return self._account.history(
                rows.rows(first, rows.n_periods),
                with_a_row_after(rows).rows(first, rows.n_periods + 1),
            )

    # -- parts ------------------------------------------------------------------------------------

    def _market(self, market: "MarketData | pd.DataFrame") -> MarketData:
        if isinstance(market, MarketData):
            return self._checked(market)
        return self.market_of(market)

    def _checked(self, market: MarketData) -> MarketData:
        if market.tickers != self.tickers:
            raise DataError(
                f"the market must have the agent's tickers {list(self.tickers)}, in this order, "
                f"got {list(market.tickers)}; where a company was renamed, rename it back in the "
                "prices, or deploy the agent again"
            )
        return market.with_features(self.features)

    def _first_row(self, market: MarketData, row: int, start: str | None) -> int:
        """Return the row on which the paper account begins."""
        wanted = self.deployed_on if start is None else start
        try:
            instant = pd.Timestamp(wanted).as_unit("ns").to_datetime64()
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"start must be a date such as 2020-01-31, got {start!r}") from error
        first = int(np.searchsorted(market.dates, instant))
        if first > row:
            raise DataError(
                f"the paper account begins on {wanted}, and the last bar is of "
                f"{date_label(market.dates[row])}; give bars up to that date or later ones, or an "
                "earlier start"
            )
        if first < market.warmup:
            raise DataError(
                f"start must be {date_label(market.dates[market.warmup])} or later, where the "
                f"features are complete, got {wanted}"
            )
        return first

    def _signal(
        self,
        market: MarketData,
        row: int,
        holdings: Holdings | None,
        start: str | None,
        *,
        settled: bool,
    ) -> Signal:
        first = self._first_row(market, row, start)
        known = market if settled else with_a_row_after(market)
        window, rows = market.rows(first, row + 1), known.rows(first, row + 2)
        with threads_of_a_trial(self.config):
            decision = self._account.decide(window, rows, holdings)
        return self._as_signal(market, row, decision)

    def _as_signal(self, market: MarketData, row: int, decision: Decision) -> Signal:
        close, before = market.close[row], decision.before
        after = before.shares + decision.orders
        worth = decision.cash_after + float((after * close).sum())
        outside = self.folder.ranges.outside(market, row)
        return Signal(
            date=date_label(market.dates[row]),
            tickers=self.tickers,
            action=decision.action,
            planned=decision.planned,
            orders=decision.orders,
            reference_price=close.copy(),
            holdings_before=before.shares,
            holdings_after=after,
            weight_before=before.shares * close / before.value,
            weight_after=after * close / worth,
            cost=decision.cost,
            borrow_fee=decision.borrow_fee,
            account_value=before.value,
            cash_before=before.cash,
            cash_after=decision.cash_after,
            reasons=decision.reasons,
            unfamiliar=outside,
            unfamiliar_in_words=in_words(outside, len(self.folder.ranges.names)),
            fill=self.config.env.fill,
        )
