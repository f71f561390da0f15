"""What the words of reports mean, in plain words: for hover texts and for docs/glossary.md."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from finrl_ray.statistics.cscv import MIN_TRIALS
from finrl_ray.statistics.detectable_sharpe import DSR_LEAST, P_BELOW, P_BELOW_EACH
from finrl_ray.statistics.verdict import PBO_MOST


class Term(NamedTuple):
    """A word of the reports.

    Attributes
    ----------
    title : as it is written where it stands for itself
    meaning : one to three sentences for somebody who knows trading, not statistics
    """

    title: str
    meaning: str


def _terms(**terms: tuple[str, str]) -> Mapping[str, Term]:
    return MappingProxyType({name: Term(*term) for name, term in terms.items()})


OF_ACCOUNTS = _terms(
    total_return=(
        "return",
        "What the account gained or lost over the whole stretch of days, after costs.",
    ),
    annual_return=("return per year", "The return, as the yearly growth that comes to the same."),
    annual_volatility=(
        "volatility",
        "How much the account's value moves: the standard deviation of its returns, per year. Less "
        "is calmer.",
    ),
    sharpe_ratio=(
        "Sharpe ratio",
        "Mean return per year over its volatility: what was earned for each unit of movement. Over "
        "a year or two it is known to about one unit only.",
    ),
    sortino_ratio=(
        "Sortino ratio",
        "As the Sharpe ratio, but only losses count as movement.",
    ),
    calmar_ratio=("Calmar ratio", "Return per year over the worst drawdown."),
    max_drawdown=(
        "worst drawdown",
        "The largest loss from a highest value of the account to a later lowest one.",
    ),
    appraisal_ratio=(
        "appraisal ratio",
        "What the account earned beside the market, per unit of risk taken beside the market, per "
        "year: the market's part, beta times buy & hold, is taken out first. 0 is what buy & hold "
        "itself has. The interval holds the true ratio with 95 %: if it holds 0, the days do not "
        "tell skill from luck.",
    ),
    information_ratio=(
        "information ratio",
        "The mean of the account's returns less those of buy & hold, over their standard "
        "deviation, per year.",
    ),
    exposure=(
        "invested",
        "Which share of the account was in shares on average; the rest was cash. Short positions "
        "count like long ones, so it can be above 100 %.",
    ),
    beta=(
        "beta",
        "By how much the account moved with the market: at 0.5 it gained or lost half of what buy "
        "& hold did on the same day, on average.",
    ),
    turnover=(
        "turnover",
        "Bought plus sold per year, as a multiple of the account. Every trade costs.",
    ),
)
"""Measures of an account, by their names in results."""

OF_VERDICTS = _terms(
    n_trials=(
        "N, configurations tried",
        "N: every trial that was started, and every other choice that could have won. The more "
        "are tried, the better the best of them looks by luck alone.",
    ),
    n_with_returns=("of which left returns", "Trials that got far enough to be compared."),
    n_periods=("T, days", "T: the days on which the trials are compared."),
    sharpe_annual=(
        "ratio of the winner",
        "The appraisal ratio of the winner on the days judged, per year.",
    ),
    standard_error_annual=(
        "its standard error",
        "By how much the ratio of so few days is typically off.",
    ),
    skew=("skewness", "Below 0: large losses are more frequent than large gains."),
    kurtosis=("kurtosis", "Above 3: extreme days are more frequent than in a normal distribution."),
    dependence=(
        "variance of the mean, times",
        "By how much the variance of the mean grows because days resemble the days before.",
    ),
    psr=(
        "probabilistic Sharpe ratio",
        "How sure it is that the winner's true ratio is above 0, as if it had been the only one "
        "tried.",
    ),
    psr_h0=("the same, by the formula of 2025", "A newer formula of the same probability."),
    luck_annual=(
        "expected best of N without skill",
        "The ratio that the best of N agents without any skill shows on average.",
    ),
    dsr=(
        "deflated Sharpe ratio",
        "How sure it is that the winner is better than the best of N agents without skill. "
        f"Evidence takes at least {DSR_LEAST}.",
    ),
    dsr_calibrated=("its variant of 2025", "A newer formula of the same probability."),
    spa_p=(
        "p-value, SPA test",
        "How often the best of such trials would look as good if none had any skill (Hansen's test "
        f"of superior predictive ability). Evidence takes less than {P_BELOW}.",
    ),
    reality_check_p=("p-value, reality check", "The older and stricter form of the SPA test."),
    sidak_p=(
        "p-value, Sidak",
        "The winner's own p-value, made larger for the number of trials. Below "
        f"{P_BELOW_EACH} it is weak evidence.",
    ),
    pbo=(
        "probability of backtest overfitting",
        "How often the trial that is best on one half of the days is worse than most on the "
        f"other. Evidence takes at most {PBO_MOST}, and {MIN_TRIALS} trials.",
    ),
    effective_trials=(
        "independent trials that N resemble",
        "How many trials without anything in common the N resemble. Only shown; no test uses it.",
    ),
    min_track_record_periods=(
        "days to tell the winner from SR0",
        "How many days with such a ratio it would take.",
    ),
    min_backtest_years=(
        "years below which luck alone shows such a ratio",
        "On fewer years the best of N agents without skill is expected to look as good.",
    ),
    needed_evidence_annual=(
        "ratio needed for evidence",
        "What the winner would have had to show, as announced before the search.",
    ),
    needed_by_winner_annual=(
        "the same of returns like the winner's",
        "With the skewness, the fat tails and the dependence of the winner's returns.",
    ),
    needed_weak_annual=(
        "ratio needed for weak evidence",
        "What the winner would have had to show for the weaker word.",
    ),
)
"""The figures of a verdict, by their names in `verdict.json`."""

OF_SEARCHES = _terms(
    trial=("trial", "One agent with one set of hyperparameters, trained and judged."),
    winner=(
        "winner",
        "The trial that ranks first on the validation window, or several of them as an ensemble.",
    ),
    buy_and_hold=(
        "buy & hold",
        "The same money put into all tickers in equal parts on the first day, at the same costs, "
        "and left there: what an agent has to beat.",
    ),
    train_window=("training window", "The days that agents learn from."),
    validation_window=(
        "validation window",
        "The days after the training window, on which trials are compared and the winner is "
        "chosen. It flatters the winner, since the luckiest is chosen too.",
    ),
    test_window=(
        "test window",
        "The last days, which no trial sees. `finrl-ray backtest` opens them, and each look is "
        "counted: only the first is a test.",
    ),
    judged_days=(
        "judged days",
        "Where trials train several times: the days of all folds, each traded by an agent that has "
        "not been trained on it.",
    ),
    evidence=(
        "evidence",
        "All tests agree that the winner earned more beside the market than luck explains.",
    ),
    weak_evidence=("weak evidence", "One of two strict tests says so, but not all tests agree."),
    no_evidence=(
        "no evidence of skill",
        "The best of so many agents without any skill would often have done as well. It does not "
        "prove that there is no skill: these days cannot tell.",
    ),
)
"""Words about a search."""

TERMS: Mapping[str, Term] = MappingProxyType({**OF_SEARCHES, **OF_ACCOUNTS, **OF_VERDICTS})
"""All of them, by name."""


def meaning(name: str) -> str:
    """Return what a word means; empty for one that needs no words, such as a user's own metric."""
    term = TERMS.get(name)
    return "" if term is None else term.meaning
