"""A function that passes keywords on to another one, and still names them."""

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def with_keywords_of(
    model: Callable[..., Any], *, without: Collection[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for a function that passes its `**options` on to `model`.

    `help` and completion then show the keyword parameters of `model`, with their defaults, in place
    of `**options`, and any other keyword is refused. Type checkers take the names from the
    annotation of `**options`, an unpacked `TypedDict`.

    Parameters
    ----------
    model : the function that has the parameters
    without : parameters of `model` that are not passed on
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        *own, options = inspect.signature(function).parameters.values()
        if options.kind is not inspect.Parameter.VAR_KEYWORD:
            raise TypeError(f"{function.__name__}() must end with **options, got {options}")
        taken = [
            parameter
            for parameter in inspect.signature(model).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in without
        ]
        positional = [p for p in own if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        keywords = [p for p in own if p.kind is inspect.Parameter.KEYWORD_ONLY]
        signature = inspect.signature(function).replace(parameters=[*positional, *taken, *keywords])

        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*args, **kwargs)

        shown: Any = checked
        shown.__signature__ = signature
        return checked

    return decorate
