"""The steps of a chain of agents: which rows each is trained on, and which it trades."""

from dataclasses import dataclass

from finrl_ray.config.after_search.deploy import RetrainConfig
from finrl_ray.errors import ConfigError
from finrl_ray.support.text import counted

_LEAST_TRADED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One agent of a chain.

    Parameters
    ----------
    number : from 1
    train : first row, and row after the last, that it is trained on
    trade : first row at whose close it decides, and row after the last one; the account is handed
        to the next agent at the row after that, or at the end of the chain
    """

    number: int
    train: tuple[int, int]
    trade: tuple[int, int]


def steps_of(first: int, begin: int, end: int, retrain: RetrainConfig) -> list[Step]:
    """Return the steps of a chain: each agent is trained on rows before its first trade alone.

    Parameters
    ----------
    first : row from which the first agent is trained
    begin : row at whose close the first agent decides first
    end : row after the last; the last row values the account and nothing is decided there
    retrain : after how many rows the next agent follows, and on which rows it is trained

    Raises
    ------
    ConfigError
        If there is nothing to train on, or nothing to trade.
    """
    if begin - first < _LEAST_TRADED or end - begin < _LEAST_TRADED:
        raise ConfigError(
            f"a chain needs at least {_LEAST_TRADED} rows to train its first agent on and "
            f"{_LEAST_TRADED} to trade, got {counted(max(0, begin - first), 'row')} and "
            f"{counted(max(0, end - begin), 'row')}; choose other dates"
        )
    length = begin - first
    steps = []
    for number, row in enumerate(range(begin, end - 1, retrain.every), start=1):
        start = first if retrain.window == "growing" else row - length
        stop = min(row + retrain.every, end - 1)
        steps.append(Step(number=number, train=(start, row), trade=(row, stop)))
    return steps
