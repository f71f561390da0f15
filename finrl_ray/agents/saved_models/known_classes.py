"""The classes that a saved model may be built of without trusting its file, by their names."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common import policies, torch_layers
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import ConstantSchedule as Sb3Constant
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.utils import LinearSchedule as Sb3Linear
from stable_baselines3.dqn import policies as dqn_policies
from stable_baselines3.sac import policies as sac_policies
from stable_baselines3.td3 import policies as td3_policies
from torch import nn

from finrl_ray.agents.saved_models.inert_pickle import (
    Record,
    RefusedError,
    UntrustedError,
    record_class,
)
from finrl_ray.agents.sb3_internals import NOISE_FIELDS, OU_NOISE_FIELDS
from finrl_ray.agents.schedules import ConstantSchedule, LinearSchedule
from finrl_ray.learners.flat import optimizers as flat_optimizers
from finrl_ray.learners.on_policy.per_ticker import PerTickerPolicy
from finrl_ray.own_code.load import own_classes

_CONTRIB_MODULES = (
    "sb3_contrib.tqc.policies",
    "sb3_contrib.crossq.policies",
    "sb3_contrib.common.recurrent.policies",
    "sb3_contrib.ppo_recurrent.policies",
)


def class_name(kind: type[Any]) -> str:
    """Return a class's name with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def known_classes() -> Mapping[str, type[Any]]:
    """Return the policies, feature extractors, optimizers and activations of SB3 and torch.

    Those of sb3-contrib too, where it is installed.
    """
    bases = (policies.BaseModel, torch_layers.BaseFeaturesExtractor, th.optim.Optimizer)
    modules = [policies, torch_layers, sac_policies, td3_policies, dqn_policies]
    modules += [flat_optimizers, th.optim]
    if find_spec("sb3_contrib") is not None:
        modules += [import_module(name) for name in _CONTRIB_MODULES]
    found = {class_name(kind): kind for module in modules for kind in _classes(module, bases)}
    for kind in (RMSpropTFLike, PerTickerPolicy):
        found[class_name(kind)] = kind
    activations = _classes(nn.modules.activation, (nn.Module,))
    return found | {class_name(kind): kind for kind in activations}


def _classes(module: Any, bases: tuple[type[Any], ...]) -> Iterator[type[Any]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, bases):
            yield value


def built(value: Any) -> Any:
    """Return a value in which every record is the object that it stands for.

    Raises
    ------
    RefusedError
        If one is of a class that is not known here.
    """
    if isinstance(value, type) and issubclass(value, Record):
        kinds = {**known_classes(), **own_classes()}
        if value.name not in kinds:
            raise UntrustedError(f"names {value.name}, which is not read without trust")
        return kinds[value.name]
    if isinstance(value, Record):
        return _built_object(value)
    if isinstance(value, dict):
        return type(value)((key, built(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(built(item) for item in value)
    return value


def _built_object(record: Record) -> Any:
    name = type(record).name
    make = _MAKERS.get(name.replace("gym.spaces.", "gymnasium.spaces.", 1))
    if make is None:
        raise UntrustedError(f"holds a {name}, which is not read without trust")
    try:
        return make(record)
    except (TypeError, ValueError, IndexError, AttributeError, AssertionError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError(f"holds a damaged {name} ({error})") from error


def recorded(value: Any) -> Any:
    """Return a value with records in place of objects: the opposite of `built`.

    Raises
    ------
    RefusedError
        If it holds an object that could not be built again.
    """
    if isinstance(value, type):
        if class_name(value) not in known_classes() and class_name(value) not in own_classes():
            raise RefusedError(
                f"{class_name(value)} is no class of SB3, sb3-contrib, torch or the search"
            )
        return record_class(class_name(value))
    fields = _FIELDS.get(class_name(type(value)))
    if fields is not None:
        record = record_class(class_name(type(value)))()
        record.state = {name: recorded(getattr(value, name)) for name in fields}
        return record
    if isinstance(value, dict):
        return {key: recorded(item) for key, item in value.items()}
    if isinstance(value, TrainFreq):
        return record_class(class_name(TrainFreq))(value.frequency, value.unit.value)
    if isinstance(value, list | tuple):
        return type(value)(recorded(item) for item in value)
    return value


def _box(record: Record) -> spaces.Box:
    dtype = np.dtype(record.attribute("dtype")).type
    return spaces.Box(record.attribute("low"), record.attribute("high"), dtype=dtype)


def _discrete(record: Record) -> spaces.Discrete:
    return spaces.Discrete(int(record.attribute("n")), start=int(record.state.get("start", 0)))


def _multi_discrete(record: Record) -> spaces.MultiDiscrete:
    return spaces.MultiDiscrete(np.asarray(record.attribute("nvec")))


def _multi_binary(record: Record) -> spaces.MultiBinary:
    return spaces.MultiBinary(record.attribute("n"))


def _dict_space(record: Record) -> spaces.Dict:
    return spaces.Dict(dict(built(dict(record.attribute("spaces")))))


def _float_schedule(record: Record) -> FloatSchedule:
    return FloatSchedule(built(record.attribute("value_schedule")))


def _constant(record: Record) -> Sb3Constant:
    return Sb3Constant(float(record.attribute("val")))


def _linear(record: Record) -> Sb3Linear:
    numbers = (float(record.attribute(name)) for name in ("start", "end", "end_fraction"))
    return Sb3Linear(*numbers)


def _only(record: Record, name: str) -> float:
    # a dataclass with slots is pickled with a list of its fields
    state = record.state
    return float(state[0] if isinstance(state, list | tuple) else record.attribute(name))


def _train_freq(record: Record) -> TrainFreq:
    frequency, unit = record.args
    return TrainFreq(
        int(frequency), TrainFrequencyUnit(unit.args[0] if isinstance(unit, Record) else unit)
    )


def _normal_noise(record: Record) -> NormalActionNoise:
    return NormalActionNoise(*(record.attribute(name) for name in NOISE_FIELDS))


def _ou_noise(record: Record) -> OrnsteinUhlenbeckActionNoise:
    arguments = (record.attribute(name) for name in OU_NOISE_FIELDS)
    noise = OrnsteinUhlenbeckActionNoise(*arguments)
    noise.noise_prev = np.asarray(record.state.get("noise_prev", noise.noise_prev))
    return noise


_MAKERS: Mapping[str, Callable[[Record], Any]] = {
    class_name(spaces.Box): _box,
    class_name(spaces.Discrete): _discrete,
    class_name(spaces.MultiDiscrete): _multi_discrete,
    class_name(spaces.MultiBinary): _multi_binary,
    class_name(spaces.Dict): _dict_space,
    class_name(FloatSchedule): _float_schedule,
    class_name(Sb3Constant): _constant,
    class_name(Sb3Linear): _linear,
    class_name(ConstantSchedule): lambda record: ConstantSchedule(_only(record, "value")),
    class_name(LinearSchedule): lambda record: LinearSchedule(_only(record, "initial_value")),
    class_name(TrainFreq): _train_freq,
    class_name(NormalActionNoise): _normal_noise,
    class_name(OrnsteinUhlenbeckActionNoise): _ou_noise,
}
_FIELDS: Mapping[str, tuple[str, ...]] = {
    class_name(spaces.Box): ("low", "high", "dtype"),
    class_name(spaces.Discrete): ("n", "start"),
    class_name(spaces.MultiDiscrete): ("nvec",),
    class_name(spaces.MultiBinary): ("n",),
    class_name(spaces.Dict): ("spaces",),
    class_name(FloatSchedule): ("value_schedule",),
    class_name(Sb3Constant): ("val",),
    class_name(Sb3Linear): ("start", "end", "end_fraction"),
    class_name(ConstantSchedule): ("value",),
    class_name(LinearSchedule): ("initial_value",),
    class_name(NormalActionNoise): NOISE_FIELDS,
    class_name(OrnsteinUhlenbeckActionNoise): (*OU_NOISE_FIELDS, "noise_prev"),
}
"""Attributes that an object is described by."""
