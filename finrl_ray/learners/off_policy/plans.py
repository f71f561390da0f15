"""The networks of SAC, TD3 and DDPG as plans for compiled products, and the memory around them.

The first layers of all critics lie in one matrix, so they are one product, forward and backward;
later layers are a product for each critic. The critics' last layers, which have one output each,
are not part of a plan.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from finrl_ray._typing import Float32Array, IntArray
from finrl_ray.learners.flat.parameters import FlatParameters
from finrl_ray.learners.off_policy.live_units import Spare, spare_for
from finrl_ray.learners.products.activations import LINEAR, RELU, TANH
from finrl_ray.learners.products.network import LayerPlan, Work, plan_array


class Inputs(NamedTuple):
    """Where B observations and actions lie, and then what follows them, in rows of one matrix."""

    here: int
    following: int
    row: int
    n_observed: int
    n_actions: int


class PlannedActor(NamedTuple):
    """An actor's layers, and where its dense outputs and their slopes lie."""

    plan: IntArray
    outputs: int
    slopes: int
    n_outputs: int


class PlannedCritics(NamedTuple):
    """The critics and their targets for B rows, for compiled code."""

    plan: IntArray
    """Of the hidden layers."""
    targets: IntArray
    first: IntArray
    """Of the first critic alone, in the same memory."""
    head_weight: int
    """Of the last layers' weights (K, H) and biases (K,) among the parameters."""
    head_bias: int
    n_critics: int
    width: int
    """H, of one critic's last hidden layer."""
    hidden: int
    """Of the last hidden layers (B, K*H); `slopes` and `following` (the targets') are alike."""
    slopes: int
    following: int
    hidden_row: int
    action_slopes: int
    """Of a dense matrix (B, A)."""


class Planner:
    """Makes plans of networks that share one array of work.

    Parameters
    ----------
    n_rows : B
    n_observed, n_actions : S and A
    activation : of hidden layers, `nn.ReLU` or `nn.Tanh`
    """

    def __init__(
        self, n_rows: int, n_observed: int, n_actions: int, activation: type[nn.Module]
    ) -> None:
        self.n_rows, self.work = n_rows, Work(n_rows)
        self.activation = TANH if activation is nn.Tanh else RELU
        self.widest = self._most_units = self._most_weights = 0
        here, row = self.work.matrix(n_observed + n_actions, 2 * n_rows)
        self.inputs = Inputs(here, here + n_rows * row, row, n_observed, n_actions)

    def array(self) -> Float32Array:
        """Return the array of work; nothing can be planned after that."""
        return self.work.array()

    def packed(self) -> Float32Array:
        """Return memory for a block of any layer's weights."""
        block = Work(1)
        block.packed(1, self.widest)
        return block.array()

    def spare(self) -> Spare:
        """Return memory for what is left of any layer in a pass back."""
        return spare_for(self.n_rows, self._most_units, self.widest, self._most_weights)

    def actor(
        self,
        flat: FlatParameters,
        layers: Sequence[Sequence[nn.Linear]],
        first_input: int,
        *,
        n_rows: int,
        squashed: bool,
    ) -> PlannedActor:
        """Return the plan of an actor.

        Parameters
        ----------
        flat : in the order of `parameter_order(layers)`
        first_input : place of its first row
        n_rows : how many rows it is run for
        squashed : whether tanh follows the last layer
        """
        made: list[LayerPlan] = []
        seen, slope = (first_input, self.inputs.row), -1
        for parts in layers[:-1]:
            width = sum(part.out_features for part in parts)
            hidden, hidden_slope = (self.work.matrix(width, n_rows) for _ in range(2))
            made.append(self._layer(flat, parts, seen, slope, hidden, hidden_slope[0]))
            seen, slope = hidden, hidden_slope[0]
        last = layers[-1]
        n_outputs = sum(part.out_features for part in last)
        outputs, slopes = (self.work.dense(n_outputs, n_rows) for _ in range(2))
        head = self._layer(flat, last, seen, slope, outputs, slopes[0])
        made.append(head._replace(activation=TANH if squashed else LINEAR))
        return PlannedActor(plan_array(made), outputs[0], slopes[0], n_outputs)

    def critics(
        self, flat: FlatParameters, layers: Sequence[Sequence[nn.Linear]]
    ) -> PlannedCritics:
        """Return the plan of critics, whose targets' parameters lie in the same order.

        Parameters
        ----------
        flat : in the order of `parameter_order(layers)`
        layers : for each layer, the linear part of each critic
        """
        own = self._hidden_layers(flat, layers[:-1], self.inputs.here)
        targets = self._hidden_layers(flat, layers[:-1], self.inputs.following)
        n_critics, head = len(layers[-1]), layers[-1][0]
        # of the layers in one matrix, those of the first critic are the first rows
        alone = own[0]._replace(n_outputs=layers[0][0].out_features)
        last = own[-n_critics] if len(layers) > 2 else own[0]
        following = targets[-n_critics] if len(layers) > 2 else targets[0]
        return PlannedCritics(
            plan=plan_array(own),
            targets=plan_array(targets),
            first=plan_array([alone, *own[1::n_critics]]),
            head_weight=flat.place(head.weight).start,
            head_bias=flat.place(head.bias).start,
            n_critics=n_critics,
            width=head.in_features,
            hidden=last.output,
            slopes=last.output_slope,
            following=following.output,
            hidden_row=last.output_row,
            action_slopes=self.work.dense(self.inputs.n_actions)[0],
        )

    def _hidden_layers(
        self, flat: FlatParameters, layers: Sequence[Sequence[nn.Linear]], first_input: int
    ) -> list[LayerPlan]:
        made: list[LayerPlan] = []
        seen, slope = (first_input, self.inputs.row), -1
        for parts in layers:
            width, n_critics = parts[0].out_features, len(parts)
            (hidden, row), (hidden_slope, _) = (
                self.work.matrix(n_critics * width) for _ in range(2)
            )
            if not made:
                made.append(self._layer(flat, parts, seen, -1, (hidden, row), hidden_slope))
            else:
                for k, part in enumerate(parts):
                    before, begin = k * part.in_features, k * width
                    made.append(
                        self._layer(
                            flat,
                            [part],
                            (seen[0] + before, seen[1]),
                            slope + before,
                            (hidden + begin, row),
                            hidden_slope + begin,
                        )
                    )
            seen, slope = (hidden, row), hidden_slope
        return made

    def _layer(
        self, flat: FlatParameters, parts: Sequence[nn.Linear], seen: tuple[int, int],
        input_slope: int, output: tuple[int, int], output_slope: int,
    ) -> LayerPlan:  # fmt: skip
        n_outputs, n_inputs = sum(part.out_features for part in parts), parts[0].in_features
        self.widest = max(self.widest, n_inputs)
        self._most_units = max(self._most_units, n_outputs)
        self._most_weights = max(self._most_weights, n_outputs * n_inputs)
        return LayerPlan(
            flat.place(parts[0].weight).start,
            flat.place(parts[0].bias).start,
            n_outputs,
            n_inputs,
            *seen,
            *output,
            output_slope,
            input_slope,
            0,
            0,
            self.activation,
        )
