"""Adam's and RMSprop's steps on flat parameters, a vector register at a time.

The processor's roots and quotients take more time here than all else, so both begin with the
processor's estimate, where it has one, and one step of Newton's method, which leaves a relative
error below 3e-7. NaN stays NaN, as in torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic

from finrl_ray.learners.products.lanes import LEAST, MOST, Lanes
from finrl_ray.learners.products.vector_code import WHOLE, VectorCode
from finrl_ray.learners.products.vectors import SHAPE

_no_types: Any = cgutils  # Numba is not typed
_types: Any = types


class _Pass:
    """Writes a loop over flat arrays.

    Parameters
    ----------
    builder : llvmlite's
    addresses : of the arrays
    settings : float32 numbers
    """

    def __init__(self, builder: Any, addresses: Sequence[Any], settings: Sequence[Any]) -> None:
        self.builder, self.code = builder, VectorCode(builder)
        self.addresses = addresses
        self.settings = [Lanes(self.code, self.code.spread(number)) for number in settings]

    def write(self, n: Any, formula: Callable[..., Sequence[Lanes]]) -> None:
        """Set the arrays to what the formula makes of the settings and of them."""
        builder, lanes = self.builder, WHOLE(SHAPE.lanes)
        whole = builder.sdiv(n, lanes)
        left = builder.sub(n, builder.mul(whole, lanes))
        with _no_types.for_range(builder, whole) as loop:
            self._vectors(builder.mul(loop.index, lanes), None, formula)
        with builder.if_then(builder.icmp_signed(">", left, WHOLE(0))):
            self._vectors(builder.mul(whole, lanes), self.code.first_lanes(left), formula)

    def _vectors(self, begin: Any, mask: Any, formula: Callable[..., Sequence[Lanes]]) -> None:
        places = [self.code.at(address, begin) for address in self.addresses]
        seen = [Lanes(self.code, self.code.load(place, mask)) for place in places]
        made = formula(self.settings, *seen)
        for place, old, new in zip(places, seen, made, strict=True):
            if new is not old:
                self.code.store(new.vector, place, mask)


def _adam(settings: list[Lanes], value: Lanes, g: Lanes, m: Lanes, v: Lanes) -> list[Lanes]:
    step, share, keep_square, share_square, root_scale, eps = settings
    m = m + (g - m) * share
    v = v * keep_square + g * g * share_square
    deviation = v.root() * root_scale + eps
    return [value - step * m * deviation.within(LEAST, MOST).inverse(), g, m, v]


def _clipped_adam(settings: list[Lanes], value: Lanes, g: Lanes, m: Lanes, v: Lanes) -> list[Lanes]:
    factor, *others = settings
    return _adam(others, value, g * factor, m, v)


def _followed_adam(
    settings: list[Lanes], value: Lanes, g: Lanes, m: Lanes, v: Lanes, target: Lanes
) -> list[Lanes]:
    keep, tau, *others = settings
    value, g, m, v = _adam(others, value, g, m, v)
    return [value, g, m, v, target * keep + tau * value]


def _rmsprop(settings: list[Lanes], value: Lanes, g: Lanes, v: Lanes) -> list[Lanes]:
    factor, rate, keep, share, eps, eps_inside = settings
    g = g * factor
    v = v * keep + g * g * share
    # one of both is 0
    deviation = (v + eps_inside).root() + eps
    return [value - rate * g * deviation.within(LEAST, MOST).inverse(), g, v]


def _intrinsic(n_arrays: int, n_settings: int, formula: Callable[..., Any]) -> Any:
    """Return what compiled code calls with a number of entries, addresses and settings."""

    def typed(typingctx: Any, n: Any, addresses: Any, settings: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            n, addresses, settings = arguments
            parts = [builder.extract_value(addresses, k) for k in range(n_arrays)]
            numbers = [builder.extract_value(settings, k) for k in range(n_settings)]
            _Pass(builder, parts, numbers).write(n, formula)
            return context.get_dummy_value()

        tuples = (
            _types.UniTuple(types.int64, n_arrays),
            _types.UniTuple(types.float32, n_settings),
        )
        return types.void(types.int64, *tuples), generate

    return intrinsic(typed)


adam_pass = _intrinsic(4, 7, _clipped_adam)
"""A step of Adam (Kingma and Ba, 2015, algorithm 1) on parameters, gradients, and the averages of
gradients and of their squares. Settings: factor of the gradients, step size, 1 - beta1, beta2,
1 - beta2, 1 / sqrt(1 - beta2^n) at step n, eps."""

unclipped_adam_pass = _intrinsic(4, 6, _adam)
"""The same without the first setting; gradients stay as they are."""

followed_adam_pass = _intrinsic(5, 8, _followed_adam)
"""The same, and the last array, of targets, moves towards the parameters by a fraction tau of the
distance. Settings: 1 - tau, tau, and those of `unclipped_adam_pass`."""

rmsprop_pass = _intrinsic(3, 6, _rmsprop)
"""A step of RMSprop on parameters, gradients and the average of their squares. Settings: factor of
the gradients, learning rate, alpha, 1 - alpha, eps outside of the root and inside of it."""
