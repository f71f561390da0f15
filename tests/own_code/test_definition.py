"""What messages and calls need to know of a function of the user's."""

import functools
from typing import Any

import pytest

from finrl_ray.own_code.arguments import in_its_file
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


class Source:
    """Stand for a class of the user's."""

    def __init__(self) -> None:
        pass

    def __call__(self) -> None:
        pass


def test_the_place_of_what_is_no_plain_function() -> None:
    first = Source.__init__.__code__.co_firstlineno
    for found, line in (
        (Source, first),
        (Source(), Source.__call__.__code__.co_firstlineno),
        (functools.partial(functools.partial(read, 1), days=2), read.__code__.co_firstlineno),
    ):
        assert in_its_file(found) == f" ({__file__}, line {line})"
    assert in_its_file(max) == ""
