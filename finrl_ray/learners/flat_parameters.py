"""`FlatParameters`: parameters of networks side by side in one array, gradients in another.

What then has to be done to each parameter (an optimizer's step, a moving average) is one operation
on a flat array instead of one for each of a dozen tensors. The networks do not notice: each
parameter is a view of its place in the array.
"""

from collections.abc import Iterable

import torch as th
from torch import nn


class FlatParameters:
    """Move float32 parameters on the CPU into one flat tensor, with their gradients beside it.

    Parameters
    ----------
    parameters : in the order in which they lie in memory; neighbouring weights of equal width can
        be used as one matrix
    with_gradients : False for networks that are never trained by gradients, such as targets

    Attributes
    ----------
    values : tensor of shape (P,)
        Every parameter is a view of a part of it.
    gradients : tensor of shape (P,)
        Every parameter's `grad` is a view of the same part of it, after `attach_gradients`.

    Raises
    ------
    ValueError
        If a parameter is not of float32 on the CPU, or is given twice.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, with_gradients: bool = True) -> None:
        self.parameters = list(parameters)
        if len({id(parameter) for parameter in self.parameters}) != len(self.parameters):
            raise ValueError("a parameter was given twice")
        for parameter in self.parameters:
            if parameter.dtype != th.float32 or parameter.device.type != "cpu":
                raise ValueError(
                    f"parameters must be of float32 on the CPU, got {parameter.dtype} on "
                    f"{parameter.device}"
                )
        ends = [0]
        for parameter in self.parameters:
            ends.append(ends[-1] + parameter.numel())
        self.places = [slice(ends[k], ends[k + 1]) for k in range(len(self.parameters))]
        self.values = th.empty(ends[-1])
        for parameter, view in zip(self.parameters, self.views_of(self.values), strict=True):
            view.copy_(parameter.data)
            parameter.data = view
        self._pointers = [parameter.data_ptr() for parameter in self.parameters]
        self.gradients = th.zeros(ends[-1] if with_gradients else 0)
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
        first, last : weights of shape (rows, columns), with nothing but weights of as many columns
            between them

        Returns
        -------
        tensor of shape (sum of rows, columns)
        """
        begin, end = self._index(first), self._index(last)
        shapes = {parameter.shape[1:] for parameter in self.parameters[begin : end + 1]}
        if len(shapes) != 1:
            raise ValueError(f"only weights of one width can be joined, got {sorted(shapes)}")
        part = flat[self.places[begin].start : self.places[end].stop]
        return part.view(-1, *first.shape[1:])

    def place(self, parameter: nn.Parameter) -> slice:
        """Return where a parameter lies in `values`."""
        return self.places[self._index(parameter)]

    def _index(self, wanted: nn.Parameter) -> int:
        return next(k for k, parameter in enumerate(self.parameters) if parameter is wanted)

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
