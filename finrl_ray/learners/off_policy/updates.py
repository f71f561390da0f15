"""Memory for the compiled updates of SAC and TD3 on batches of one size, and the calls."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from finrl_ray._typing import Float32Array, FloatArray, IntArray
from finrl_ray.learners.flat.optimizers import FlatAdam
from finrl_ray.learners.flat.parameters import FlatParameters, ParameterOrder
from finrl_ray.learners.networks import require_distribution
from finrl_ray.learners.off_policy import sac, td3
from finrl_ray.learners.off_policy.critics import Drawn, Memory
from finrl_ray.learners.off_policy.layers import Descent
from finrl_ray.learners.off_policy.plans import Inputs, Planner
from finrl_ray.machine.compiled_entry import EntryCalls

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.Tanh)
MOST_UPDATES = 32
"""In one call: their noise is held in memory."""

_f32 = np.float32


def parameter_order(layers: Sequence[Sequence[nn.Linear]]) -> ParameterOrder:
    """Return an order in which, of each layer, all weights and all biases lie end to end."""
    order: list[Any] = []
    for layer in layers:
        order.append([part.weight for part in layer])
        order.append([part.bias for part in layer])
    return order


def side_by_side(networks: Sequence[Sequence[nn.Linear]]) -> list[list[nn.Linear]]:
    """Return, for each layer, its linear parts of all networks."""
    return [list(parts) for parts in zip(*networks, strict=True)]


class Moving:
    """A flat Adam, and the targets that follow its parameters, for compiled code.

    Parameters
    ----------
    optimizer : its parameters in the order of `parameter_order`
    target : parameters in the same order, or None
    """

    def __init__(self, optimizer: FlatAdam, target: FlatParameters | None = None) -> None:
        self.optimizer, self.flat, self.target = optimizer, optimizer.flat, target
        average, square = optimizer.moments
        followers = np.zeros(0, dtype=_f32) if target is None else target.values.numpy()
        self._arrays: tuple[Float32Array, ...] = (
            self.flat.values.numpy(),
            self.flat.gradients.numpy(),
            average.numpy(),
            square.numpy(),
            followers,
        )

    def still_holds(self, target: FlatParameters | None = None) -> bool:
        """Return whether parameters and targets lie where they did."""
        return self.optimizer.flat is self.flat and self.target is target

    def descent(self) -> Descent:
        """Return the optimizer with its present settings."""
        optimizer, settings = self.optimizer, self.optimizer.settings
        beta1, beta2 = settings["betas"]
        values, gradients, average, square, targets = self._arrays
        return Descent(
            values,
            gradients,
            average,
            square,
            targets,
            optimizer.n_steps,
            float(settings["lr"]),
            float(beta1),
            float(beta2),
            float(settings["eps"]),
        )


@runtime_checkable
class GatheringBuffer(Protocol):
    """A replay buffer that puts transitions where an update reads them."""

    gathers: bool
    """Whether it does so in the place of `sample`."""

    def gather_into(self, rows: IntArray, accounts: IntArray, *filled: Float32Array) -> None:
        """Fill inputs, and rewards and dones (B, 1), as `kernels.gather` does.

        Parameters
        ----------
        rows, accounts : arrays of shape (B,)
        """


class Batches:
    """Draws transitions for updates on B of them.

    Parameters
    ----------
    inputs : where they lie
    memory : of the updates
    """

    def __init__(self, inputs: Inputs, memory: Memory) -> None:
        self.n_rows = n_rows = len(memory.rewards)
        first, size = inputs.here, 2 * n_rows * inputs.row
        both = memory.work[first : first + size].reshape(2 * n_rows, inputs.row)
        self._filled = both, memory.rewards, memory.dones
        self._discounts = np.zeros((n_rows, 1), dtype=_f32)
        self._all = np.arange(n_rows)[np.newaxis]
        self._first = np.zeros((1, n_rows), dtype=self._all.dtype)
        nothing = np.zeros((0, 1, 1), dtype=_f32)
        self._not_held = (*[nothing] * 3, *[nothing[:, :, 0]] * 3)
        self._no_timeouts = np.zeros((n_rows, 1), dtype=_f32)

    def draw(self, buffer: ReplayBuffer, n_updates: int, discount: float) -> Drawn:
        """Draw transitions as the `sample` of a buffer does for each update.

        Parameters
        ----------
        buffer : SB3's own buffer for float32 observations, with next observations of their own
        discount : of the values of next observations, the same for all transitions
        """
        rows, accounts = np.empty((2, n_updates, self.n_rows), dtype=np.int64)
        for k in range(n_updates):
            rows[k], accounts[k] = self._places(buffer)
        self._discounts.fill(discount)
        held = (
            buffer.observations,
            buffer.next_observations,
            buffer.actions,
            buffer.rewards,
            buffer.dones,
            buffer.timeouts,
        )
        return Drawn(rows, accounts, held, self._discounts)

    def gather(self, buffer: ReplayBuffer, discount: float) -> Drawn:
        """Draw transitions for one update as `sample` does, and let the buffer take them.

        Parameters
        ----------
        buffer : a `GatheringBuffer`
        discount : as in `draw`
        """
        gathering: Any = buffer
        gathering.gather_into(*self._places(buffer), *self._filled)
        self._discounts.fill(discount)
        return Drawn(self._all[:0], self._first[:0], self._not_held, self._discounts)

    def _places(self, buffer: ReplayBuffer) -> tuple[IntArray, IntArray]:
        """Return rows and accounts (B,), by the random numbers that SB3's buffer draws."""
        upper = buffer.buffer_size if buffer.full else buffer.pos
        rows = np.random.randint(0, upper, size=self.n_rows)  # noqa: NPY002  # SB3's stream
        accounts = np.random.randint(0, high=buffer.n_envs, size=(self.n_rows,))  # noqa: NPY002
        return rows, accounts

    def take(self, batch: ReplayBufferSamples, discounts: th.Tensor | float) -> Drawn:
        """Return a batch that a buffer has given."""
        if isinstance(discounts, th.Tensor):
            self._discounts[:] = discounts.numpy()
        else:
            self._discounts.fill(discounts)
        held = (
            _rows_of(batch.observations),
            _rows_of(batch.next_observations),
            _rows_of(batch.actions),
            _array(batch.rewards),
            _array(batch.dones),
            self._no_timeouts,
        )
        return Drawn(self._all, self._first, held, self._discounts)


def n_updates_of(transitions: Drawn) -> int:
    """Return for how many updates transitions were drawn."""
    return max(1, len(transitions.rows))


def _array(values: th.Tensor) -> Float32Array:
    array: Float32Array = np.ascontiguousarray(values.numpy(), dtype=_f32)
    return array


def _rows_of(values: th.Tensor) -> Float32Array:
    return _array(values)[:, np.newaxis]


def _memory(planner: Planner, n_critics: int) -> Memory:
    n_rows = planner.n_rows

    def zeros(*shape: int) -> Float32Array:
        return np.zeros(shape, dtype=_f32)

    values, following, errors = (zeros(n_critics, n_rows) for _ in range(3))
    return Memory(
        planner.array(),
        planner.packed(),
        zeros(n_rows, 1),
        zeros(n_rows, 1),
        zeros(n_rows),
        values,
        following,
        errors,
        planner.spare(),
    )


class _Noise:
    """Memory for normal numbers, drawn a part (B, A) at a time as SB3 draws them.

    The numbers depend on how many are drawn at a time.
    """

    def __init__(self, n_parts: int, n_rows: int, n_actions: int) -> None:
        numbers = th.zeros(n_parts, n_rows, n_actions)
        self.array: Float32Array = numbers.numpy()
        self._parts = list(numbers)

    def parts(self, n_parts: int) -> list[th.Tensor]:
        """Return the first parts of the memory."""
        return self._parts[:n_parts]


class SACUpdates:
    """Updates of SAC on B transitions.

    Parameters
    ----------
    planner : for B rows
    actor_layers, critic_layers : linear parts of each layer
    actor, critic : their optimizers
    """

    def __init__(
        self,
        planner: Planner,
        actor_layers: Sequence[Sequence[nn.Linear]],
        critic_layers: Sequence[Sequence[nn.Linear]],
        actor: Moving,
        critic: Moving,
    ) -> None:
        self.actor, self.critic, self.n_rows = actor, critic, planner.n_rows
        inputs, n_rows = planner.inputs, planner.n_rows
        # the actor is run once, on the observations and the next observations as one batch
        planned = planner.actor(
            actor.flat, actor_layers, inputs.here, n_rows=2 * n_rows, squashed=False
        )
        critics = planner.critics(critic.flat, critic_layers)
        self.networks = sac.Networks(inputs, planned, critics)
        self.memory = _memory(planner, critics.n_critics)
        self.batches, self._calls = Batches(inputs, self.memory), EntryCalls()
        shape = 2 * n_rows, inputs.n_actions
        self._noise = _Noise(2 * MOST_UPDATES, n_rows, inputs.n_actions)
        self.drawn = sac.Actions(
            np.zeros(shape, dtype=_f32),
            np.zeros(shape, dtype=_f32),
            np.zeros(shape, dtype=np.bool_),
            np.zeros(2 * n_rows, dtype=_f32),
        )

    def run(
        self,
        transitions: Drawn,
        entropy: "EntropyUpdates",
        *,
        tau: float,
        first: int,
        interval: int,
    ) -> FloatArray:
        """Take updates; see `run_sac`. Return entropy coefficients and losses (G, 4).

        Raises
        ------
        ValueError
            If the actor's output is NaN.
        """
        n_updates, n_rows = n_updates_of(transitions), self.n_rows
        for part in self._noise.parts(2 * n_updates):
            part.normal_()
        losses = np.zeros((n_updates, 4))
        done = self._calls.for_arrays(sac.run_sac, transitions.held)(
            sac.run_sac,
            transitions,
            self._noise.array[: 2 * n_updates].reshape(n_updates, 2 * n_rows, -1),
            self.networks,
            self.drawn,
            self.memory,
            self.actor.descent(),
            self.critic.descent(),
            entropy.present(),
            _f32(tau),
            first,
            interval,
            losses,
        )
        for optimizer in (self.actor.optimizer, self.critic.optimizer, entropy.optimizer):
            if optimizer is not None:
                optimizer.count_steps(done)
        if done < n_updates:
            self._require_distribution()
        return losses

    def _require_distribution(self) -> None:
        place, n_outputs = self.networks.actor.outputs, self.networks.actor.n_outputs
        outputs = self.memory.work[place:][: 2 * self.n_rows * n_outputs].reshape(-1, n_outputs)
        means = th.from_numpy(outputs[:, : n_outputs // 2])
        require_distribution(means, th.from_numpy(self.drawn.deviations))


class EntropyUpdates:
    """SAC's entropy coefficient.

    Attributes
    ----------
    fixed : the coefficient where it is not learned
    target : the entropy to keep

    Parameters
    ----------
    optimizer : flat, of the coefficient's logarithm alone; None: the coefficient is fixed
    """

    def __init__(self, optimizer: FlatAdam | None) -> None:
        self.optimizer = optimizer
        self._moving = None if optimizer is None else Moving(optimizer)
        self.fixed = self.target = 0.0

    def still_holds(self, optimizer: FlatAdam | None) -> bool:
        """Return whether this was made for an optimizer and its present parameter."""
        return self.optimizer is optimizer and (self._moving is None or self._moving.still_holds())

    def present(self) -> sac.Entropy:
        """Return it for compiled code."""
        if self._moving is None:
            nothing = np.zeros(0, dtype=_f32)
            descent = Descent(nothing, nothing, nothing, nothing, nothing, 0, 0.0, 0.0, 0.0, 0.0)
        else:
            descent = self._moving.descent()
        return sac.Entropy(self._moving is not None, float(self.fixed), float(self.target), descent)


class TD3Updates:
    """Updates of TD3 on B transitions.

    Parameters
    ----------
    planner : for B rows
    actor_layers, critic_layers : linear parts of each layer
    actor, critic : their optimizers and targets
    """

    def __init__(
        self,
        planner: Planner,
        actor_layers: Sequence[Sequence[nn.Linear]],
        critic_layers: Sequence[Sequence[nn.Linear]],
        actor: Moving,
        critic: Moving,
    ) -> None:
        self.actor, self.critic, self.n_rows = actor, critic, planner.n_rows
        inputs, n_rows = planner.inputs, planner.n_rows
        own, target = (
            planner.actor(actor.flat, actor_layers, place, n_rows=n_rows, squashed=True)
            for place in (inputs.here, inputs.following)
        )
        critics = planner.critics(critic.flat, critic_layers)
        self.networks = td3.Networks(inputs, own, target, critics)
        self._noise = _Noise(MOST_UPDATES, n_rows, inputs.n_actions)
        self.memory = _memory(planner, critics.n_critics)
        self.batches, self._calls = Batches(inputs, self.memory), EntryCalls()

    def run(
        self, transitions: Drawn, *, noise: float, clip: float, tau: float, n_updates: int,
        policy_delay: int,
    ) -> FloatArray:  # fmt: skip
        """Take updates; see `run_td3`. Return losses of critics and actor (G, 2).

        Parameters
        ----------
        noise, clip : deviation and bound of the noise on the target actor's actions
        n_updates : before these
        """
        n = n_updates_of(transitions)
        for part in self._noise.parts(n):
            part.normal_(0, noise)
        losses = np.zeros((n, 2))
        self._calls.for_arrays(td3.run_td3, transitions.held)(
            td3.run_td3,
            transitions,
            self._noise.array[:n],
            self.networks,
            self.memory,
            self.actor.descent(),
            self.critic.descent(),
            td3.Schedule(n_updates, policy_delay, _f32(tau), _f32(clip)),
            losses,
        )
        self.critic.optimizer.count_steps(n)
        self.actor.optimizer.count_steps(
            (n_updates + n) // policy_delay - n_updates // policy_delay
        )
        return losses
