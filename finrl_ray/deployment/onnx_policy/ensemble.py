"""An ensemble as a graph of ONNX: the graph of every member, and the mean of what they want.

What is a mean here is `finrl_ray.agents.ensemble_model.model.mean_action`, in float64 as there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from gymnasium import spaces

from finrl_ray._typing import AnyArray
from finrl_ray.agents.ensemble_model.model import EnsembleModel, Member
from finrl_ray.agents.frame_stack import n_stack_of_model
from finrl_ray.config.env import EnvConfig
from finrl_ray.deployment.onnx_policy.graph import INPUT, Graph, add_policy, network_of
from finrl_ray.deployment.onnx_policy.normalizer import Normalizer, normalizer_of
from finrl_ray.env.orders.discrete import choices_of_space
from finrl_ray.env.target_weights import zero_weight


@dataclass(frozen=True, kw_only=True)
class View:
    """What members of an ensemble see, as an input of its file.

    Parameters
    ----------
    single : shape of a single observation
    frames : how many of them lie in one row, along the last axis, the newest last: as many as the
        member with the longest stack sees. A frame that is not there yet is NaN
    """

    single: tuple[int, ...]
    frames: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return (*self.single[:-1], self.single[-1] * self.frames)

    @property
    def width(self) -> int:
        """How long a single observation is along the last axis."""
        return self.single[-1]


def input_name(model: EnsembleModel, member: Member) -> str:
    """Return the input that a member sees: `observation` where all see the same, else its view."""
    return INPUT if len({one.view for one in model.members}) == 1 else member.view


def views_of(model: EnsembleModel) -> dict[str, View]:
    """Return the inputs of an ensemble's file.

    Raises
    ------
    ConfigError
        If the policy of a member cannot be written.
    """
    found: dict[str, View] = {}
    for member in model.members:
        network_of(member.model)  # which refuses observations that are no array
        name, frames = input_name(model, member), n_stack_of_model(member.model)
        shape = member.model.observation_space.shape or (1,)
        single = (*shape[:-1], shape[-1] // frames)
        known = found.get(name)
        frames = frames if known is None else max(frames, known.frames)
        found[name] = View(single=single, frames=frames)
    return found


def members_normalizer(member: Member) -> Normalizer | None:
    """Return what a member's VecNormalize does to what it sees; None: nothing."""
    return None if member.statistics is None else normalizer_of(member.model, member.statistics)


def seen_by(member: Member, rows: AnyArray) -> AnyArray:
    """Return what the policy of a member sees of the rows of its input, float32."""
    frames = n_stack_of_model(member.model)
    width = (member.model.observation_space.shape or (1,))[-1]
    own = rows[..., rows.shape[-1] - width :]
    normalizer = members_normalizer(member)
    if normalizer is not None:
        return normalizer(own)
    found: AnyArray = np.where(np.isnan(own), np.float32(0.0), own) if frames > 1 else own
    return found


def chooses(model: EnsembleModel) -> bool:
    """Return whether the members choose in an env of the user's, so that most of them decide."""
    return isinstance(model.action_space, (spaces.Discrete, spaces.MultiDiscrete))


def ensemble_graph(onnx: Any, model: EnsembleModel) -> Any:
    """Return the ONNX model of an ensemble.

    Parameters
    ----------
    onnx : the package
    model : the ensemble

    Raises
    ------
    ConfigError
        If the policy of a member cannot be written.
    """
    views, graph = views_of(model), Graph(onnx)
    wanted = []
    for number, member in enumerate(model.members, start=1):
        graph.prefix = f"member_{number}/"
        name = input_name(model, member)
        seen = _part_of_view(graph, member, name, views[name])
        acted, kind = add_policy(graph, member.model, members_normalizer(member), seen)
        wanted.append(_meant(graph, member, acted))
    graph.prefix = ""
    if chooses(model):
        found = _most_chosen(graph, wanted, model.action_space)
    else:
        (size,) = model.action_space.shape or ()
        found, kind = _mean(graph, wanted, [member.env for member in model.members], size)
    shown = {name: view.shape for name, view in views.items()}
    return graph.finished(shown, found, kind, model.action_space.shape or ())


def _part_of_view(graph: Graph, member: Member, name: str, view: View) -> str:
    """Add what a member takes of its input: the latest frames, where its stack is shorter."""
    frames, seen = n_stack_of_model(member.model), name
    if frames < view.frames:
        bounds = (-frames * view.width, np.iinfo(np.int64).max, -1)
        parts = (graph.constant(np.array([one], dtype=np.int64)) for one in bounds)
        seen = graph.add("Slice", seen, *parts)
    if frames > 1 and members_normalizer(member) is None:
        nothing = graph.constant(np.float32(0.0))
        seen = graph.add("Where", graph.add("IsNaN", seen), nothing, seen)
    return seen


def _meant(graph: Graph, member: Member, acted: str) -> str:
    """Add what a member's choices stand for; actions that are numbers stay."""
    choices = choices_of_space(member.env, member.model.action_space)
    if choices is None:
        return acted
    if not choices.is_one_number:
        return graph.add("Gather", graph.constant(choices.numbers), acted, axis=0)
    every = choices.actions_of(np.arange(len(choices.names) ** choices.n_assets))
    return graph.add("Gather", graph.constant(every), acted, axis=0)


def _mean(
    graph: Graph, actions: Sequence[str], options: Sequence[EnvConfig], size: int
) -> tuple[str, str]:
    """Add `mean_action` of actions of N numbers, or N + 1; return its name and type."""
    kinds = graph.onnx.TensorProto
    wanted = [graph.add("Cast", action, to=kinds.DOUBLE) for action in actions]
    first = options[0]
    if first.type == "portfolio":
        each = [_projected(graph, one, own, size) for one, own in zip(wanted, options, strict=True)]
        return _average(graph, each, None), "DOUBLE"
    if first.action == "orders":
        return graph.add("Cast", _average(graph, wanted, None), to=kinds.FLOAT), "FLOAT"
    each = [_weights(graph, one, own, size) for one, own in zip(wanted, options, strict=True)]
    rates = [float(own.trade_rate) for own in options]
    return _average(graph, each, None if len(set(rates)) == 1 else rates), "DOUBLE"


def _average(graph: Graph, values: Sequence[str], weights: Sequence[float] | None) -> str:
    if weights is not None:
        values = [
            graph.add("Mul", value, graph.constant(np.float64(weight)))
            for value, weight in zip(values, weights, strict=True)
        ]
    total = reduce(lambda one, other: graph.add("Add", one, other), values)
    parts = float(len(values)) if weights is None else sum(weights)
    return graph.add("Div", total, graph.constant(np.float64(parts)))


def _weights(graph: Graph, action: str, own: EnvConfig, n_assets: int) -> str:
    """Add `weights_of_actions`."""
    number = graph.constant
    asked = graph.add("Add", action, number(np.float64(zero_weight(own.zero_action, n_assets))))
    low = number(np.float64(-1.0 if own.short else 0.0))
    cut = graph.add("Clip", asked, low, number(np.float64(1.0)))
    total = graph.add("ReduceSum", graph.add("Abs", cut), number(np.array([-1])), keepdims=1)
    divided = graph.add("Div", cut, graph.add("Max", total, number(np.float64(1.0))))
    largest = float(own.max_weight)
    return graph.add("Clip", divided, number(np.float64(-largest)), number(np.float64(largest)))


def _projected(graph: Graph, action: str, own: EnvConfig, n_entries: int) -> str:
    """Add `project_to_simplex` of an action times `action_scale`.

    With v sorted from the largest on, what is taken away from each entry is the largest over k of
    (v_1 + ... + v_k - 1) / k: no k gives more than the one that Duchi's algorithm finds.
    """
    number = graph.constant
    scaled = graph.add("Mul", action, number(np.float64(own.action_scale)))
    shifted = graph.add("Sub", scaled, graph.add("ReduceMax", scaled, axes=[-1], keepdims=1))
    falling = graph.add("TopK", shifted, number(np.array([n_entries])), axis=-1, outputs=2)
    sums = graph.add("CumSum", falling, number(np.array(-1)))
    above = graph.add("Sub", sums, number(np.float64(1.0)))
    each = graph.add("Div", above, number(np.arange(1, n_entries + 1, dtype=np.float64)))
    taken = graph.add("ReduceMax", each, axes=[-1], keepdims=1)
    return graph.add("Max", graph.add("Sub", shifted, taken), number(np.float64(0.0)))


def _most_chosen(graph: Graph, chosen: Sequence[str], space: Any) -> str:
    """Add `most_chosen`: of equally many the choice with the least number."""
    depth = int(np.max(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n))
    marks = graph.constant(np.array([0.0, 1.0], dtype=np.float32))
    votes = [
        graph.add("OneHot", one, graph.constant(np.array(depth)), marks, axis=-1) for one in chosen
    ]
    total = reduce(lambda one, other: graph.add("Add", one, other), votes)
    return graph.add("ArgMax", total, axis=-1, keepdims=0)
