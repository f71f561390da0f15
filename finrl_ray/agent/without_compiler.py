"""Torch's optimizers without its compiler, which they import for nothing."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

from torch.optim import Optimizer

_COMPILER = "torch._dynamo"
_SWITCH = "__dynamo_disable"


def leave_compiler_out() -> None:
    """Let optimizers be made without importing torch's compiler, until something else imports it.

    They keep the compiler off some of their methods, and import it in order to say so: one to two
    seconds and 2,000 modules in every process that makes a model. Where nobody has imported it
    nothing can be compiled, and the methods are called as they are.
    """
    if _COMPILER not in sys.modules:
        for function in _kept_off():
            if not hasattr(function, _SWITCH):
                setattr(function, _SWITCH, _called_plainly(function))


def _kept_off() -> Iterator[Callable[..., Any]]:
    for method in vars(Optimizer).values():
        # torch._compile wraps them, and looks the switch up on what it has wrapped
        if getattr(getattr(method, "__code__", None), "co_filename", "").endswith("_compile.py"):
            yield method.__wrapped__


def _called_plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        compiler: Any = sys.modules.get(_COMPILER)
        if compiler is None:
            return function(*args, **kwargs)
        # as torch itself would have done at the first call
        disabled = compiler.disable(function, True, wrapping=False)
        setattr(function, _SWITCH, disabled)
        return disabled(*args, **kwargs)

    return call
