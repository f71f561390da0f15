"""`FlatParameters`: parameters of networks side by side in one array, gradients in another.

What then has to be done to each parameter (an optimizer's step, a moving average) is one operation
on a flat array instead of one for each of a dozen tensors. The networks do not notice: each
parameter is a view of its place in the array.

A parameter starts at a multiple of 64 bytes, as a tensor that torch makes does, because the last
bits of a product depend on the address of its matrices: MKL has code for vectors of 16 bytes, which
it takes on AMD's processors, that adds up what lies before the first such multiple by itself.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import torch as th
from torch import nn

ALIGNMENT = 64
"""In bytes: torch's own alignment, and the width of the widest vector registers."""
_STEP = ALIGNMENT // 4

ParameterOrder: TypeAlias = Sequence[nn.Parameter | Sequence[nn.Parameter]]
"""Parameters in the order in which they lie in memory; those of an inner sequence have no gap
between them."""


def members(order: Iterable[nn.Parameter | Sequence[nn.Parameter]]) -> list[nn.Parameter]:
    """Return all parameters of an order, one after the other."""
    result: list[nn.Parameter] = []
    for part in order:
        result += [part] if isinstance(part, th.Tensor) else part
    return result


def aligned_zeros(n_values: int) -> th.Tensor:
    """Return float32 zeros (P,) that start at a multiple of `ALIGNMENT` bytes."""
    zeros = th.zeros(n_values)
    if zeros.data_ptr() % ALIGNMENT == 0:
        return zeros
    # torch's present allocator aligns its memory so that this is never reached; others may not
    longer = th.zeros(n_values + _STEP)
    first = -longer.data_ptr() % ALIGNMENT // 4
    return longer[first : first + n_values]


class FlatParameters:
    """Move float32 parameters on the CPU into one flat tensor, with their gradients beside it.

    Parameters
    ----------
    order : in which parameters lie in memory; weights of equal width that lie end to end can be
        used as one matrix
    with_gradients : False for networks that are never trained by gradients, such as targets

    Attributes
    ----------
    values : tensor of shape (P,)
        Every parameter is a view of a part of it. What lies between them is zero.
    gradients : tensor of shape (P,)
        Every parameter's `grad` is a view of the same part of it, after `attach_gradients`.

    Raises
    ------
    ValueError
        If a parameter is not of float32 on the CPU, or is given twice.
    """

    def __init__(
        self,
        order: Iterable[nn.Parameter | Sequence[nn.Parameter]],
        *,
        with_gradients: bool = True,
    ) -> None:
        self.order: ParameterOrder = list(order)
        self.parameters = members(self.order)
        if len({id(parameter) for parameter in self.parameters}) != len(self.parameters):
            raise ValueError("a parameter was given twice")
        for parameter in self.parameters:
            if parameter.dtype != th.float32 or parameter.device.type != "cpu":
                raise ValueError(
                    f"parameters must be of float32 on the CPU, got {parameter.dtype} on "
                    f"{parameter.device}"
                )
        self.places = _places(self.order)
        n_values = self.places[-1].stop if self.places else 0
        self.values = aligned_zeros(n_values)
        for parameter, view in zip(self.parameters, self.views_of(self.values), strict=True):
            view.copy_(parameter.data)
            parameter.data = view
        self._zeros = th.zeros(_STEP)
        self._pointers = [parameter.data_ptr() for parameter in self.parameters]
        self.gradients = aligned_zeros(n_values if with_gradients else 0)
        self._gradient_views: list[th.Tensor] = []
        if with_gradients:
            self._gradient_views = self.views_of(self.gradients)
            for parameter, view in zip(self.parameters, self._gradient_views, strict=True):
                if parameter.grad is not None:
                    view.copy_(parameter.grad)
            self.attach_gradients()

    def views_of(self, flat: th.Tensor) -> list[th.Tensor]:
        """Return each parameter's part of a flat tensor of shape (P,), in the parameter's shape."""
        return [
            flat[place].view(parameter.shape)
            for place, parameter in zip(self.places, self.parameters, strict=True)
        ]

    def joined(self, flat: th.Tensor, first: nn.Parameter, last: nn.Parameter) -> th.Tensor:
        """Return the part of a flat tensor from one weight to another as one matrix, a view.

        Parameters
        ----------
        flat : `values` or `gradients`
        first, last : weights of shape (rows, columns) that lie end to end, with nothing but weights
            of as many columns between them

        Returns
        -------
        tensor of shape (sum of rows, columns)
        """
        begin, end = self._index(first), self._index(last)
        shapes = {parameter.shape[1:] for parameter in self.parameters[begin : end + 1]}
        if len(shapes) != 1:
            raise ValueError(f"only weights of one width can be joined, got {sorted(shapes)}")
        places = self.places[begin : end + 1]
        if any(one.stop != other.start for one, other in pairwise(places)):
            raise ValueError("only weights that lie end to end can be joined, got some with gaps")
        part = flat[self.places[begin].start : self.places[end].stop]
        return part.view(-1, *first.shape[1:])

    def place(self, parameter: th.Tensor) -> slice:
        """Return where a parameter lies in `values`."""
        return self.places[self._index(parameter)]

    def _index(self, wanted: th.Tensor) -> int:
        return next(k for k, parameter in enumerate(self.parameters) if parameter is wanted)

    def fill_gradients(self, gradients: Sequence[th.Tensor]) -> None:
        """Write a gradient for each parameter into `gradients`, in one copy."""
        parts: list[th.Tensor] = []
        end = 0
        for place, gradient in zip(self.places, gradients, strict=True):
            if place.start > end:
                parts.append(self._zeros[: place.start - end])
            parts.append(gradient.reshape(-1))
            end = place.stop
        th.cat(parts, out=self.gradients)

    def attach_gradients(self) -> None:
        """Make each parameter's `grad` the view of its place, whatever it was."""
        for parameter, view in zip(self.parameters, self._gradient_views, strict=True):
            if parameter.grad is not view:
                parameter.grad = view

    def still_hold(self) -> bool:
        """Return whether all parameters still are views of `values`.

        They are not after their `data` was replaced, as a move to another device or type does.
        """
        return [parameter.data_ptr() for parameter in self.parameters] == self._pointers


def _places(order: ParameterOrder) -> list[slice]:
    """Return the places of all parameters, each part of the order aligned."""
    places: list[slice] = []
    end = 0
    for part in order:
        end += -end % _STEP
        for parameter in members([part]):
            places.append(slice(end, end + parameter.numel()))
            end = places[-1].stop
    return places
