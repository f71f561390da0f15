"""torch's Adam and RMSprop on flat arrays: a handful of operations for all parameters.

`flatten_optimizer` turns an optimizer that is in use into a flat one, in place: a policy that holds
it, or a callback that changes its learning rate, goes on holding the same object. Steps are equal
to those of the original bit for bit, and `state_dict()` is what the original would give, so a model
saved with one is loaded with the other.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import torch as th
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch.optim import Adam, Optimizer, RMSprop

from finrl_ray.learners.flat.parameters import (
    FlatParameters,
    ParameterOrder,
    aligned_zeros,
    members,
)

_OPTIONS = (
    *("weight_decay", "amsgrad", "momentum", "centered", "maximize"),
    *("capturable", "differentiable", "fused"),
)
"""Options of torch that the flat optimizers do not support; SB3's defaults set none of them."""


class _FlatOptimizer(Optimizer):
    """Base of the flat optimizers: the flat arrays, and a state that looks like the original's.

    Attributes
    ----------
    flat : the parameters
    moments : one tensor of shape (P,) for each of `moment_names`
    scratch : a tensor of shape (P,) for what lives no longer than a step
    n_steps : updates so far
    """

    moment_names: tuple[str, ...] = ()
    moment_start = 0.0
    # defaults of the class, because torch pickles and copies optimizers without these attributes
    _flat: FlatParameters | None = None
    _order: ParameterOrder | None = None
    moments: list[th.Tensor]
    scratch: th.Tensor
    n_steps = 0

    @property
    def flat(self) -> FlatParameters:
        """The flat parameters, made anew where something has replaced a parameter's tensor."""
        if self._flat is None or not self._flat.still_hold():
            self.make_flat()
        assert self._flat is not None
        return self._flat

    def works_on(self, flat: FlatParameters) -> bool:
        """Return whether `flat` is still the one in use; its parameters are not checked."""
        return self._flat is flat

    def make_flat(self) -> None:
        """Bring parameters, gradients and moments, wherever they are now, into flat tensors."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        order: ParameterOrder = parameters if self._order is None else self._order
        if {id(p) for p in members(order)} != {id(p) for p in parameters}:
            order = parameters  # this is a copy of an optimizer, with copies of the parameters
        flat = FlatParameters(order)
        n_values = flat.values.numel()
        self.moments = [aligned_zeros(n_values).fill_(self.moment_start) for _ in self.moment_names]
        self.scratch = aligned_zeros(n_values)
        known = self.n_steps if self._flat is not None else None
        self.n_steps = 0
        for name, moment in zip(self.moment_names, self.moments, strict=True):
            for parameter, view in zip(flat.parameters, flat.views_of(moment), strict=True):
                kept = self.state.get(parameter, {})
                if name in kept:
                    view.copy_(kept[name])
                    # the step in `state` may be old: it is written only when the state is read
                    self.n_steps = int(kept["step"]) if known is None else known
        self._flat = flat
        if self.n_steps:
            self._show_state()

    def _show_state(self) -> None:
        """Fill `state` as the original does at its first step."""
        assert self._flat is not None
        views = [self._flat.views_of(moment) for moment in self.moments]
        for k, parameter in enumerate(self._flat.parameters):
            moments = {name: views[m][k] for m, name in enumerate(self.moment_names)}
            self.state[parameter] = {"step": self.n_steps, **moments}

    @property
    def settings(self) -> dict[str, Any]:
        """The current learning rate and other settings."""
        return self.param_groups[0]

    @th.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # of Optimizer
        """Take one step; `closure` is refused as no algorithm of SB3 has one."""
        if closure is not None:
            raise ValueError(f"{type(self).__name__} takes no closure")
        flat = self.flat
        self.count_step()
        self._move(flat, self.settings)
        return None

    def _move(self, flat: FlatParameters, settings: dict[str, Any]) -> None:
        """Move parameters and moments, by the operations of the original in their order."""
        raise NotImplementedError

    def count_step(self) -> None:
        """Count a step that the caller takes itself, on a `flat` that it has just checked."""
        self.n_steps += 1
        if self.n_steps == 1:
            self._show_state()

    def count_steps(self, n_steps: int) -> None:
        """Count steps that the caller has taken itself, on a `flat` that it had just checked."""
        first = not self.n_steps and n_steps > 0
        self.n_steps += n_steps
        if first:
            self._show_state()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set all gradients to zero; they are never None, whatever `set_to_none` says."""
        flat = self.flat
        flat.attach_gradients()
        flat.gradients.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Return what the original optimizer would: tensors of its own for each parameter."""
        if self._flat is not None and self.n_steps:
            self._show_state()
        state = super().state_dict()
        state["state"] = {
            index: {
                name: value.clone() if isinstance(value, th.Tensor) else self._step_of(value)
                for name, value in entries.items()
            }
            for index, entries in state["state"].items()
        }
        return state

    def _step_of(self, n_steps: int) -> Any:
        """Return the number of updates in the type in which the original stores it."""
        return th.tensor(float(n_steps))

    def load_state_dict(self, state_dict: Any) -> None:
        """Load a state of this optimizer or of the original."""
        super().load_state_dict(state_dict)
        self._flat = None
        self.make_flat()

    def __getstate__(self) -> dict[str, Any]:
        if self._flat is not None and self.n_steps:
            self._show_state()
        return super().__getstate__()


class FlatAdam(_FlatOptimizer, Adam):
    """torch's `Adam` on flat arrays."""

    moment_names = ("exp_avg", "exp_avg_sq")

    def _move(self, flat: FlatParameters, settings: dict[str, Any]) -> None:
        (average, square), gradients = self.moments, flat.gradients
        beta1, beta2 = settings["betas"]
        average.lerp_(gradients, 1 - beta1)
        square.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
        step_size = settings["lr"] / (1 - beta1**self.n_steps)
        scale = (1 - beta2**self.n_steps) ** 0.5
        deviation = th.sqrt(square, out=self.scratch).div_(scale).add_(settings["eps"])
        flat.values.addcdiv_(average, deviation, value=-step_size)


class FlatRMSprop(_FlatOptimizer, RMSprop):
    """torch's `RMSprop`, which A2C uses, on flat arrays."""

    moment_names = ("square_avg",)

    def _move(self, flat: FlatParameters, settings: dict[str, Any]) -> None:
        (square,), gradients = self.moments, flat.gradients
        alpha = settings["alpha"]
        square.mul_(alpha).addcmul_(gradients, gradients, value=1 - alpha)
        deviation = th.sqrt(square, out=self.scratch).add_(settings["eps"])
        flat.values.addcdiv_(gradients, deviation, value=-settings["lr"])


class FlatRMSpropTFLike(_FlatOptimizer, RMSpropTFLike):
    """SB3's `RMSpropTFLike` on flat arrays."""

    moment_names = ("square_avg",)
    moment_start = 1.0

    def _step_of(self, n_steps: int) -> Any:
        return n_steps

    def _move(self, flat: FlatParameters, settings: dict[str, Any]) -> None:
        (square,), gradients = self.moments, flat.gradients
        alpha = settings["alpha"]
        square.mul_(alpha).addcmul_(gradients, gradients, value=1 - alpha)
        deviation = th.add(square, settings["eps"], out=self.scratch).sqrt_()
        flat.values.addcdiv_(gradients, deviation, value=-settings["lr"])


FlatOptimizer: TypeAlias = FlatAdam | FlatRMSprop | FlatRMSpropTFLike

_KINDS: Mapping[type[Optimizer], type[FlatOptimizer]] = MappingProxyType(
    {Adam: FlatAdam, RMSprop: FlatRMSprop, RMSpropTFLike: FlatRMSpropTFLike}
)


def reason_against_flat(optimizer: Optimizer) -> str:
    """Return why an optimizer cannot be made flat, or an empty text."""
    kind = type(optimizer)
    if kind in _KINDS.values():
        return ""
    if kind not in _KINDS:
        return f"the optimizer is {kind.__name__}"
    if len(optimizer.param_groups) != 1:
        return f"the optimizer has {len(optimizer.param_groups)} groups of parameters"
    group = optimizer.param_groups[0]
    asked = [name for name in _OPTIONS if group.get(name)]
    if asked:
        return f"the optimizer has {asked[0]}={group[asked[0]]!r}"
    rate = group["lr"]
    if isinstance(rate, th.Tensor) or not math.isfinite(rate):
        return f"the optimizer's learning rate is {rate!r}"
    others = {
        f"{p.dtype} on {p.device}"
        for p in group["params"]
        if p.dtype != th.float32 or p.device.type != "cpu"
    }
    return f"there are parameters of {others.pop()}" if others else ""


def flatten_optimizer(optimizer: Optimizer, order: ParameterOrder | None = None) -> FlatOptimizer:
    """Turn an Adam or RMSprop into its flat counterpart, in place, and return it.

    Parameters
    ----------
    optimizer : with or without steps behind it
    order : of its parameters in memory; None: its own, each parameter by itself

    Raises
    ------
    ValueError
        If it cannot be made flat; see `reason_against_flat`.
    """
    reason = reason_against_flat(optimizer)
    if reason:
        raise ValueError(f"the optimizer cannot be made flat: {reason}")
    kind = type(optimizer)
    if kind in _KINDS:
        optimizer.__class__ = _KINDS[kind]
    result = cast("FlatOptimizer", optimizer)
    result._order = order
    result.make_flat()
    return result
