"""A faster start of torch: its optimizers without its compiler, which training does not use."""

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch as th
from torch.optim import SGD, Adam, Optimizer, RMSprop

_COMPILER = "torch._dynamo"
_SWITCH = "__dynamo_disable"


def skip_dynamo_import() -> None:
    """Let optimizers be made without importing torch's compiler, until something else imports it.

    Torch's optimizers exclude some of their methods from compilation and mark where a step begins
    and ends; for that they import `torch._dynamo`: one to two seconds and 1,000 modules in every
    process that trains. Where nothing has imported it, nothing is compiled, and neither is needed.
    """
    if _COMPILER in sys.modules:
        return
    for function in _kept_off():
        if not hasattr(function, _SWITCH):
            setattr(function, _SWITCH, _called_plainly(function))
    for optimizer in (Adam, RMSprop, SGD):
        step: Any = vars(optimizer)["step"]
        if step.__code__.co_name == "_use_grad":  # it still is torch's wrapper
            # torch replaces `step` of the class in the same way, for its hooks
            optimizer.step = _stepping_plainly(step)  # type: ignore[method-assign]


def _kept_off() -> Iterator[Callable[..., Any]]:
    for method in vars(Optimizer).values():
        # torch._compile wraps these methods, and reads the switch from the wrapped function
        if getattr(getattr(method, "__code__", None), "co_filename", "").endswith("_compile.py"):
            yield method.__wrapped__


def _called_plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        compiler: Any = sys.modules.get(_COMPILER)
        if compiler is None:
            return function(*args, **kwargs)
        # what torch itself does at the first call
        disabled = compiler.disable(function, True, wrapping=False)
        setattr(function, _SWITCH, disabled)
        return disabled(*args, **kwargs)

    return call


def _stepping_plainly(step: Callable[..., Any]) -> Callable[..., Any]:
    function: Callable[..., Any] = step.__wrapped__  # type: ignore[attr-defined]  # by torch

    @functools.wraps(function)
    def call(optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if _COMPILER in sys.modules:
            return step(optimizer, *args, **kwargs)
        # what torch's wrapper does apart from the compiler
        with th.set_grad_enabled(optimizer.defaults["differentiable"]):
            return function(optimizer, *args, **kwargs)

    return call
