"""What a saved model is, as JSON: its spaces, the classes of its policy, its keywords.

It lies inside SB3's zip file, as `finrl_ray.json`, so that nothing of a model that this project has
written needs to be unpickled.
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from finrl_ray.agents.saved_models.inert_pickle import Record, RefusedError, record_class
from finrl_ray.agents.saved_models.known_classes import built, recorded
from finrl_ray.agents.sb3_internals import LAST_VALUES
from finrl_ray.learners.base import sb3_class

FORMAT = "finrl_ray model 1"
ESSENTIAL = ("policy_class", "policy_kwargs", "observation_space", "action_space")
"""Attributes of an SB3 model without which its policy cannot be built."""
OF_TRAINING = (
    *LAST_VALUES,
    "ep_info_buffer",
    "ep_success_buffer",
    "lr_schedule",
)
"""Attributes that SB3 makes anew when a model is set up or begins to learn."""
_ARRAY, _CLASS, _OBJECT, _TUPLE = "@array", "@class", "@object", "@tuple"


def describe(model: BaseAlgorithm, names: Iterable[str]) -> str | None:
    """Return the JSON of a model's attributes; None if its policy could not be built from it.

    Attributes that no JSON can hold and the policy does not need, such as a learning rate that is a
    function, are left out.
    """
    attributes: dict[str, Any] = {}
    for name in names:
        if name in OF_TRAINING or not hasattr(model, name):
            continue
        try:
            attributes[name] = _to_json(recorded(getattr(model, name)))
        except RefusedError:
            if name in ESSENTIAL:
                return None
    algorithm = sb3_class(model).__name__
    content = {"format": FORMAT, "algorithm": algorithm, "attributes": attributes}
    return json.dumps(content)


def read_description(content: bytes) -> tuple[str, dict[str, Any]]:
    """Return the name of the SB3 class and the attributes of a description.

    Raises
    ------
    RefusedError
        If it is damaged, of another format, or of classes that are not known.
    """
    try:
        description = json.loads(content)
        if description["format"] != FORMAT:
            raise RefusedError(f"has format {description['format']!r} instead of {FORMAT!r}")
        attributes = {
            str(name): built(_from_json(value)) for name, value in description["attributes"].items()
        }
        return str(description["algorithm"]), attributes
    except RefusedError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RefusedError(f"is damaged ({error})") from error


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return _array_to_json(np.asarray(value))
    if isinstance(value, np.dtype):
        return {_OBJECT: "numpy.dtype", "state": value.str}
    if isinstance(value, type) and issubclass(value, Record):
        return {_CLASS: value.name}
    if isinstance(value, Record):
        args = [_to_json(item) for item in value.args]
        return {_OBJECT: type(value).name, "args": args, "state": _to_json(value.state)}
    if isinstance(value, dict):
        if not all(isinstance(key, str) and not key.startswith("@") for key in value):
            raise RefusedError("holds a dict whose keys are no plain texts")
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [_to_json(item) for item in value]}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise RefusedError(f"holds a {type(value).__name__}")


def _array_to_json(array: Any) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise RefusedError("holds an array of objects")
    content = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {_ARRAY: content, "dtype": array.dtype.str, "shape": list(array.shape)}


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        flat = np.frombuffer(base64.b64decode(value[_ARRAY]), dtype=np.dtype(value["dtype"]))
        array = flat.reshape([int(length) for length in value["shape"]]).copy()
        return array if array.ndim else array[()]
    if _CLASS in value:
        return record_class(str(value[_CLASS]))
    if _TUPLE in value:
        return tuple(_from_json(item) for item in value[_TUPLE])
    if _OBJECT in value:
        return _object_from_json(value)
    return {key: _from_json(item) for key, item in value.items()}


def _object_from_json(value: dict[str, Any]) -> Any:
    if value[_OBJECT] == "numpy.dtype":
        return np.dtype(str(value["state"]))
    record = record_class(str(value[_OBJECT]))(*(_from_json(item) for item in value["args"]))
    record.state = _from_json(value["state"])
    return record
