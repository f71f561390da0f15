"""How far the actions of an ONNX file are from SB3's, and how far they may be.

Both compute in float32, and add up in another order. On raw observations, such as cash of a million
beside prices, the sums of the first layer are of that size, and float32 knows them to a few
hundredths: SB3 itself then gives another action for one row than for the same row among many, and
the file cannot be nearer to SB3 than SB3 to itself. Float64 inside the file would not change that,
as the rounding of SB3 would stay. So what is allowed is `TOLERANCE`, and where observations are so
large that it is less than rounding, `ROUNDINGS` times what float32 moves the actions of the layers
by on these observations, which is measured beside float64.
"""

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from finrl_ray._typing import AnyArray, BoolArray, FloatArray
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.deployment.onnx_policy.graph import INPUT, Network, network_of
from finrl_ray.deployment.onnx_policy.normalizer import Normalizer
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.per_ticker import by_ticker, one_action_each

TOLERANCE = 1e-5
"""How far an action may be from SB3's, where actions lie within -1..1; of wider bounds so much of
half their distance. Choices are equal."""
ROUNDINGS = 8.0
COMPARED = 256
"""Observations of each kind on which both are compared."""


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What float32 does to a policy on some observations.

    Parameters
    ----------
    actions : largest move of an action, in the units of `TOLERANCE`; 0 of choices
    outputs : largest move of what comes out of the last layer
    exact : what comes out of it in float64, array of shape (M, outputs)
    """

    actions: float
    outputs: float
    exact: FloatArray


def compare(
    content: bytes, model: BaseAlgorithm, normalizer: Normalizer | None, rows: AnyArray
) -> float:
    """Return how far a file's actions are from SB3's at most; raise if that is too far.

    Parameters
    ----------
    content : of the file
    model : of SB3
    normalizer : of its observations; None: none
    rows : array of shape (M, S), float32; observations before VecNormalize

    Raises
    ------
    ConfigError
        If it is more than `TOLERANCE` and more than rounding explains.
    """
    runtime = importlib.import_module("onnxruntime")
    seen = rows if normalizer is None else normalizer(rows)
    expected = np.asarray(model.predict(seen, deterministic=True)[0])
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {INPUT: rows})
    expected = expected.reshape(found.shape)
    apart = np.abs(found.astype(np.float64) - expected) / half_width(model.action_space)
    if float(apart.max(initial=0.0)) <= TOLERANCE:
        return float(apart.max(initial=0.0))
    by = rounding(model, seen)
    if not isinstance(model.action_space, spaces.Box):
        apart = np.where(_are_ties(model, found, expected, by), 0.0, apart)
    difference, allowed = float(apart.max(initial=0.0)), max(TOLERANCE, ROUNDINGS * by.actions)
    require_alike(type(model).__name__, "Stable-Baselines3's", difference, allowed)
    return difference


def require_alike(what: str, whose: str, difference: float, allowed: float) -> None:
    """Refuse a file whose actions are too far from those that it should give.

    Parameters
    ----------
    what : that it is of
    whose : actions they should be
    difference, allowed : in the units of `TOLERANCE`

    Raises
    ------
    ConfigError
        If the difference is larger, or NaN.
    """
    if not difference <= allowed:
        raise ConfigError(
            f"the ONNX file of this {what} gives actions that differ from {whose} by up to "
            f"{difference:.2g}, and they may by {allowed:.2g}: its policy does something that its "
            "layers do not say; leave ONNX out"
        )


def rounding(model: BaseAlgorithm, seen: AnyArray) -> Rounding:
    """Return what float32 does to the layers of a policy, all rows together and one at a time.

    Parameters
    ----------
    model : of SB3
    seen : array of shape (M, S), as the policy sees it
    """
    exact, *others = outputs_of(model, seen)
    actions = 0.0
    if isinstance(model.action_space, spaces.Box):
        wanted, width = acted_of_outputs(model, exact), half_width(model.action_space)
        actions = max(
            float((np.abs(acted_of_outputs(model, one) - wanted) / width).max(initial=0.0))
            for one in others
        )
    return Rounding(actions=actions, outputs=_moved(exact, others), exact=exact)


def outputs_of(model: BaseAlgorithm, seen: AnyArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what comes out of a policy's last layer, each an array of shape (M, outputs).

    The first is computed in float64, the second in float32 of all rows together, and the third in
    float32 of one row at a time.

    Parameters
    ----------
    model : of SB3
    seen : array of shape (M, S), as the policy sees it
    """
    network = network_of(model)
    return (
        _outputs(network, seen, th.float64),
        _outputs(network, seen, th.float32),
        np.concatenate([_outputs(network, row[np.newaxis], th.float32) for row in seen]),
    )


def undecided(model: BaseAlgorithm, outputs: Sequence[FloatArray]) -> BoolArray:
    """Return the rows where the two best choices of a policy are worth the same up to rounding.

    Parameters
    ----------
    model : of SB3
    outputs : from `outputs_of`

    Returns
    -------
    array of shape (M,)
        False of actions that are numbers.
    """
    exact, *others = outputs
    found = np.zeros(len(exact), dtype=bool)
    for values in _values_of_choices(model, exact):
        if values.shape[1] > 1:
            best = np.sort(values, axis=1)
            found |= best[:, -1] - best[:, -2] <= ROUNDINGS * _moved(exact, others)
    return found


def random_rows(model: BaseAlgorithm, normalizer: Normalizer | None) -> AnyArray:
    """Return observations around those that the policy has seen, and some far away.

    Parameters
    ----------
    model : of SB3
    normalizer : of its observations; None: they are around 0
    """
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(COMPARED, *(model.observation_space.shape or ())))
    drawn[3::4] *= 10.0
    if normalizer is not None:
        drawn = normalizer.mean + normalizer.deviation * drawn
        if normalizer.frames > 1:
            width = drawn.shape[1] // normalizer.frames
            drawn[0, :-width] = np.nan  # the first observation of an episode
    result: AnyArray = drawn.astype(np.float32)
    return result


def acted_rows(model: BaseAlgorithm, env: VecEnv, normalizer: Normalizer | None) -> AnyArray:
    """Return what an agent is shown in an episode, `COMPARED` observations at most, float32.

    Parameters
    ----------
    model : of SB3
    env : of one account, without VecNormalize and without stacks
    normalizer : of its observations; None: none
    """
    stack = n_stack_of_model(model)
    shown = np.asarray(env.reset(), dtype=np.float32)
    width = shown.shape[-1]
    missing = np.nan if normalizer is not None and normalizer.frames > 1 else 0.0
    frames = np.full((*shown.shape[:-1], width * stack), missing, dtype=np.float32)
    rows = []
    for _ in range(COMPARED):
        frames = np.concatenate([frames[..., width:], shown], axis=-1)
        rows.append(frames)
        seen = frames if normalizer is None else normalizer(frames)
        actions, _ = model.predict(seen, deterministic=True)
        shown, _, ended, _ = env.step(actions)  # type: ignore[assignment]  # one array
        if ended[0]:
            break
    return np.concatenate(rows)


def _outputs(network: Network, seen: AnyArray, dtype: th.dtype) -> FloatArray:
    layers = nn.Sequential(*copy.deepcopy(list(network.layers))).to("cpu", dtype).eval()
    with th.no_grad():
        shown = th.as_tensor(np.asarray(seen), dtype=dtype).flatten(1)
        if network.n_tickers is None:
            found = layers(shown)
        else:
            found = one_action_each(layers(by_ticker(shown, network.n_tickers)))
    result: FloatArray = found.numpy().astype(np.float64)
    return result


def _moved(exact: FloatArray, others: Sequence[FloatArray]) -> float:
    return max(float(np.abs(one - exact).max(initial=0.0)) for one in others)


def _values_of_choices(model: BaseAlgorithm, outputs: FloatArray) -> list[FloatArray]:
    """Return the values among which a policy chooses, an array (M, K) for each choice."""
    space: Any = model.action_space
    if isinstance(space, spaces.Box):
        return []
    sizes = np.atleast_1d(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n)
    return np.split(outputs, np.cumsum(sizes)[:-1], axis=1)


def acted_of_outputs(model: BaseAlgorithm, outputs: FloatArray) -> AnyArray:
    """Return the actions that SB3 makes of what comes out of the last layer."""
    network, space = network_of(model), model.action_space
    if not isinstance(space, spaces.Box):
        best = [values.argmax(axis=1) for values in _values_of_choices(model, outputs)]
        chosen: AnyArray = np.stack(best, axis=1)
        return chosen if isinstance(space, spaces.MultiDiscrete) else chosen[:, 0]
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    found = np.tanh(outputs) if network.tanh else outputs
    if network.squashed:
        stretched: AnyArray = low + 0.5 * (found + 1.0) * (high - low)
        return stretched
    return np.clip(found, low, high)


def half_width(space: spaces.Space[Any]) -> Any:
    """Return by what differences of actions are divided: half of their range, 1 at least."""
    return np.maximum((space.high - space.low) / 2.0, 1.0) if isinstance(space, spaces.Box) else 1.0


def _are_ties(model: BaseAlgorithm, found: AnyArray, expected: AnyArray, by: Rounding) -> BoolArray:
    """Return where two choices are worth the same up to rounding, of the shape of choices."""
    space: Any = model.action_space
    sizes = np.atleast_1d(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.arange(len(found))[:, np.newaxis]
    shape = (len(found), len(sizes))
    ours, theirs = (by.exact[rows, first + one.reshape(shape)] for one in (found, expected))
    ties: BoolArray = (np.abs(ours - theirs) <= ROUNDINGS * by.outputs).reshape(found.shape)
    return ties
