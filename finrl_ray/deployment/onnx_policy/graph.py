"""The network that acts deterministically in a policy of SB3, as a graph of ONNX.

The graph is made from the layers, not by tracing: what is in it is what is written here, and any
version of torch will do. It is the same arithmetic in float32; VecNormalize's is in float64, as in
SB3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn

from finrl_ray._typing import AnyArray
from finrl_ray.deployment.onnx_policy.normalizer import Normalizer
from finrl_ray.errors import ConfigError
from finrl_ray.learners.on_policy.per_ticker import PerTickerExtractor

INPUT, OUTPUT = "observation", "action"
OPSET, IR_VERSION = 17, 8
WRITTEN = (
    "an MLP policy of ppo, a2c, trpo, sac, tqc, td3, ddpg or dqn, or PerTickerPolicy of ppo, a2c "
    "or trpo,"
)
"""What can be written, for messages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """What leads from an observation, as the policy sees it, to an action.

    Parameters
    ----------
    layers : of torch, one after the other
    squashed : whether the last of them is followed by tanh, or has been, so that what comes out is
        stretched to the bounds of actions; else it is cut off at them
    tanh : whether that tanh is still to be applied
    n_tickers : how many tickers go through these layers one by one, each as `by_ticker` shows it;
        None: the observation goes through them as it is
    """

    layers: Sequence[nn.Module]
    squashed: bool
    tanh: bool
    n_tickers: int | None = None


def network_of(model: BaseAlgorithm) -> Network:
    """Return the layers of a model that acts without drawing.

    Raises
    ------
    ConfigError
        If its policy is neither an MLP policy of SB3's PPO, A2C, TRPO, SAC, TQC, TD3, DDPG or DQN
        nor `PerTickerPolicy`.
    """
    policy: Any = model.policy
    if not isinstance(model.observation_space, spaces.Box) or is_image_space(
        model.observation_space
    ):
        raise refusal(model, f"its observations are {model.observation_space}, not one array")
    if hasattr(policy, "lstm_actor"):
        raise refusal(model, "it remembers what it has seen (a recurrent policy)")
    if isinstance(policy, ActorCriticPolicy):
        _require(model, policy.pi_features_extractor, FlattenExtractor)
        extractor: Any = policy.mlp_extractor
        squashed, per_ticker = policy.squash_output, type(extractor) is PerTickerExtractor
        if not per_ticker:
            _require(model, extractor, MlpExtractor)
        return Network(
            layers=[*extractor.policy_net, policy.action_net],
            squashed=squashed,
            tanh=squashed,
            n_tickers=extractor.n_tickers if per_ticker else None,
        )
    acting = getattr(policy, "actor", None) or getattr(policy, "q_net", None)
    if acting is None:
        raise refusal(model, f"its policy is a {type(policy).__name__}")
    _require(model, acting.features_extractor, FlattenExtractor)
    if hasattr(acting, "latent_pi"):
        layers = [acting.latent_pi, acting.mu]
        return Network(layers=layers, squashed=True, tanh=True)
    for name, squashed in (("mu", True), ("q_net", False)):
        if isinstance(getattr(acting, name, None), nn.Sequential):
            return Network(layers=[getattr(acting, name)], squashed=squashed, tanh=False)
    raise refusal(model, f"it acts by a {type(acting).__name__}")


def _require(model: BaseAlgorithm, part: Any, wanted: type) -> None:
    if type(part) is not wanted:
        raise refusal(model, f"its policy has a {type(part).__name__} instead of {wanted.__name__}")


def refusal(model: Any, why: str) -> ConfigError:
    """Return the error for a model that cannot be written as ONNX."""
    return ConfigError(
        f"only agents with {WRITTEN} can be written as ONNX, and this {type(model).__name__} is "
        f"none: {why}; leave ONNX out, and act with finrl_ray.load_agent"
    )


@dataclass
class Graph:
    """Nodes and constants of ONNX, gathered one after the other."""

    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    prefix: str = ""
    """What the names of nodes begin with."""

    def constant(self, value: "AnyArray | np.floating[Any]") -> str:
        """Add an array or a number, and return its name."""
        name = f"{self.prefix}constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node, and return the name of what comes out of it, of several the first's."""
        found = f"{self.prefix}value_{len(self.nodes)}"
        named = [found, *(f"{found}_{number}" for number in range(2, outputs + 1))]
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, named, **attributes))
        return found

    def finished(
        self, shown: Mapping[str, Sequence[int]], acted: str, kind: str, shape: Sequence[int]
    ) -> Any:
        """Return the checked ONNX model.

        Parameters
        ----------
        shown : shape of a row of each input
        acted : name of the actions
        kind : their type, as ONNX calls it
        shape : of the actions of a row
        """
        helper, kinds = self.onnx.helper, self.onnx.TensorProto
        value_of = helper.make_tensor_value_info
        self.nodes.append(helper.make_node("Identity", [acted], [OUTPUT]))
        made = helper.make_graph(
            self.nodes,
            "policy",
            [value_of(name, kinds.FLOAT, ["batch", *row]) for name, row in shown.items()],
            [value_of(OUTPUT, getattr(kinds, kind), ["batch", *shape])],
            self.constants,
        )
        opset = helper.make_opsetid("", OPSET)
        found = helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION)
        self.onnx.checker.check_model(found)
        return found

    def normalised(self, seen: str, normalizer: Normalizer) -> str:
        """Add what VecNormalize does, and return the name of what the policy sees, in float32."""
        to = self.onnx.TensorProto
        value = self.add("Cast", seen, to=to.DOUBLE)
        missing = self.add("IsNaN", value) if normalizer.frames > 1 else ""
        shifted = self.add("Sub", value, self.constant(normalizer.mean))
        scaled = self.add("Div", shifted, self.constant(normalizer.deviation))
        low, high = (self.constant(np.float64(s * normalizer.clip)) for s in (-1.0, 1.0))
        found = self.add("Clip", scaled, low, high)
        if missing:
            found = self.add("Where", missing, self.constant(np.float64(0.0)), found)
        return self.add("Cast", found, to=to.FLOAT)

    def by_ticker(self, seen: str, n_entries: int, n_tickers: int) -> str:
        """Add what `finrl_ray.learners.on_policy.per_ticker.by_ticker` does.

        Parameters
        ----------
        seen : name of an array of shape (B, n_entries), an account's entry and K for each ticker
        n_entries : 1 + K*N
        n_tickers : N

        Returns
        -------
        str
            Name of an array of shape (B*N, 1 + 2K).
        """
        kinds = (n_entries - 1) // n_tickers
        own_entries = 1 + np.arange(kinds * n_tickers).reshape(kinds, n_tickers).T
        nothing = np.zeros(n_tickers, dtype=np.int64)
        account = self.add("Gather", seen, self.constant(nothing[:, np.newaxis]), axis=1)
        own = self.add("Gather", seen, self.constant(own_entries.astype(np.int64)), axis=1)
        mean = self.add("ReduceMean", own, axes=[1], keepdims=1)
        means = self.add("Gather", mean, self.constant(nothing), axis=1)
        joined = self.add("Concat", account, own, means, axis=2)
        return self.add("Reshape", joined, self.constant(np.array([-1, 1 + 2 * kinds])))

    def passed(self, seen: str, layer: nn.Module) -> str | None:
        """Add a layer of torch; None where there is no such operator here."""
        if isinstance(layer, nn.Sequential):
            for inner in layer:
                found = self.passed(seen, inner)
                if found is None:
                    return None
                seen = found
            return seen
        make = _LAYERS.get(type(layer))
        return None if make is None else make(self, seen, layer)


def _linear(graph: Graph, seen: str, layer: Any) -> str:
    weight = graph.constant(layer.weight.detach().cpu().numpy())
    if layer.bias is None:
        return graph.add("Gemm", seen, weight, transB=1)
    return graph.add(
        "Gemm", seen, weight, graph.constant(layer.bias.detach().cpu().numpy()), transB=1
    )


def _silu(graph: Graph, seen: str, _: Any) -> str:
    return graph.add("Mul", seen, graph.add("Sigmoid", seen))


def _hardtanh(graph: Graph, seen: str, layer: Any) -> str:
    low, high = (graph.constant(np.float32(one)) for one in (layer.min_val, layer.max_val))
    return graph.add("Clip", seen, low, high)


_LAYERS: Mapping[type[nn.Module], Callable[[Graph, str, Any], str]] = {
    nn.Linear: _linear,
    nn.Tanh: lambda graph, seen, _: graph.add("Tanh", seen),
    nn.ReLU: lambda graph, seen, _: graph.add("Relu", seen),
    nn.Sigmoid: lambda graph, seen, _: graph.add("Sigmoid", seen),
    nn.ELU: lambda graph, seen, layer: graph.add("Elu", seen, alpha=float(layer.alpha)),
    nn.LeakyReLU: lambda graph, seen, layer: graph.add(
        "LeakyRelu", seen, alpha=float(layer.negative_slope)
    ),
    nn.SiLU: _silu,
    nn.Hardtanh: _hardtanh,
    nn.Identity: lambda graph, seen, _: seen,
    nn.Flatten: lambda graph, seen, _: graph.add("Flatten", seen, axis=1),
    nn.Dropout: lambda graph, seen, _: seen,  # nothing is left out where nothing is learned
}


def policy_graph(onnx: Any, model: BaseAlgorithm, normalizer: Normalizer | None) -> Any:
    """Return the ONNX model of a policy, with its normalisation and the bounds of actions.

    Parameters
    ----------
    onnx : the package
    model : of SB3
    normalizer : of its observations; None: none

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    graph = Graph(onnx)
    acted, kind = add_policy(graph, model, normalizer, INPUT)
    shown = {INPUT: model.observation_space.shape or ()}
    return graph.finished(shown, acted, kind, model.action_space.shape or ())


def add_policy(
    graph: Graph, model: BaseAlgorithm, normalizer: Normalizer | None, seen: str
) -> tuple[str, str]:
    """Add a policy to a graph; return the name of its actions and their type.

    Parameters
    ----------
    graph : that may hold others
    model : of SB3
    normalizer : of its observations; None: none
    seen : name of the observations, before VecNormalize

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    network, shape = network_of(model), model.observation_space.shape
    seen = seen if normalizer is None else graph.normalised(seen, normalizer)
    assert shape is not None
    if len(shape) != 1:
        seen = graph.add("Flatten", seen, axis=1)
    if network.n_tickers is not None:
        seen = graph.by_ticker(seen, int(np.prod(shape)), network.n_tickers)
    for layer in network.layers:
        found = graph.passed(seen, layer)
        if found is None:
            raise refusal(model, f"its policy has a layer {layer}")
        seen = found
    if network.n_tickers is not None:
        seen = graph.add("Reshape", seen, graph.constant(np.array([-1, network.n_tickers])))
    if network.tanh:
        seen = graph.add("Tanh", seen)
    return _acted(graph, seen, model, squashed=network.squashed)


def _acted(graph: Graph, seen: str, model: BaseAlgorithm, *, squashed: bool) -> tuple[str, str]:
    """Add what SB3 makes of the last layer; return the name of the actions and their type."""
    space = model.action_space
    if isinstance(space, spaces.Box):
        if len(space.shape) != 1:
            raise refusal(model, f"its actions are {space}, not one row of numbers")
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        if squashed:
            # in SB3's order: low + 0.5 * (a + 1) * (high - low)
            part = graph.add("Add", seen, graph.constant(np.float32(1.0)))
            part = graph.add("Mul", part, graph.constant(np.float32(0.5)))
            part = graph.add("Mul", part, graph.constant(high - low))
            return graph.add("Add", part, graph.constant(low)), "FLOAT"
        above = graph.add("Max", seen, graph.constant(low))
        return graph.add("Min", above, graph.constant(high)), "FLOAT"
    if isinstance(space, spaces.Discrete):
        return graph.add("ArgMax", seen, axis=1, keepdims=0), "INT64"
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        ends = np.cumsum(space.nvec)
        axis, parts = graph.constant(np.array([1])), []
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            bounds = (graph.constant(np.array([one], dtype=np.int64)) for one in (start, end))
            logits = graph.add("Slice", seen, *bounds, axis)
            parts.append(graph.add("ArgMax", logits, axis=1, keepdims=1))
        return graph.add("Concat", *parts, axis=1), "INT64"
    raise refusal(model, f"its actions are {space}")
