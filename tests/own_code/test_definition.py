"""What messages and calls need to know of a function of the user's."""

from typing import Any

import pytest

from finrl_ray.own_code.definition import OwnFunction
from finrl_ray.own_code.failures import OwnCodeError


def read(tickers: Any, *others: Any, days: int = 5) -> None:
    """Stand for a function of the user's."""


def test_who_it_is_and_what_it_takes() -> None:
    own = OwnFunction(reference="my_source:read", kind="source", function=read)
    assert own.names == ["tickers", "days"]
    assert own.takes("days")
    assert not own.takes("weeks")
    line = read.__code__.co_firstlineno
    assert str(own.refused("is late", "be early")) == (
        f"data.source my_source:read ({__file__}, line {line}) is late; be early"
    )
    assert OwnFunction(reference="m:f", kind="source", function=lambda **options: 1).takes("weeks")


def test_a_function_whose_arguments_python_does_not_know() -> None:
    own = OwnFunction(reference="builtins:max", kind="features", function=max)
    with pytest.raises(
        OwnCodeError, match=r"data\.features builtins:max does not say which arguments it takes"
    ):
        own.takes("window")
