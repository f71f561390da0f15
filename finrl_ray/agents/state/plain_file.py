"""Nested plain values to and from what `torch.load(weights_only=True)` reads.

Such a file cannot run code when it is opened, unlike a pickle.
"""

import copy
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch as th

from finrl_ray._typing import AnyArray
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.atomic import atomic_path

ARRAY_KEY = "__ndarray__"
LEAVES = (bool, int, float, str, type(None), th.Tensor)

Plain: TypeAlias = Any
"""Scalars, tensors, numpy arrays and scalars, and lists, tuples and dicts of them."""


def save_plain(value: Plain, path: str | Path) -> None:
    """Write a value so that the file is complete or not there.

    Raises
    ------
    ConfigError
        If the value holds anything that is not plain, with its place inside the value.
    """
    encoded = encode(value, "state")
    with atomic_path(path) as temporary:
        th.save(encoded, temporary)


def load_plain(path: str | Path) -> Plain:
    """Read what `save_plain` has written; tensors come back on the CPU.

    Raises
    ------
    SearchError
        If the file is missing, truncated, or not such a file.
    """
    try:
        encoded = th.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SearchError(f"there is no saved state {path}") from None
    # torch reports a damaged file by any of these, depending on where the damage is
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise SearchError(
            f"the saved state {path} cannot be read; it is truncated or of another kind: {error}"
        ) from error
    return decode(encoded)


def encode(value: Plain, where: str) -> Plain:
    """Return a copy in which numpy values are dicts around byte tensors.

    Parameters
    ----------
    value : nested plain values
    where : name of `value` in error messages

    Raises
    ------
    ConfigError
        If a value is not plain.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(np.asarray(value), where)
    if isinstance(value, LEAVES):
        return value
    if isinstance(value, dict):
        return {key: encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [encode(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    raise ConfigError(
        f"{where} must be a number, text, array, tensor, or a list, tuple or dict of these, "
        f"got a {type(value).__name__}; let get_state() return plain values"
    )


def split_plain(values: Mapping[str, Any]) -> tuple[dict[str, Plain], list[str]]:
    """Return copies of the values that a file can keep, and the names of the others."""
    kept: dict[str, Plain] = {}
    lost: list[str] = []
    for name, value in values.items():
        try:
            encode(value, name)
        except (ConfigError, RecursionError):
            lost.append(name)
        else:
            kept[name] = copy.deepcopy(value)
    return kept, lost


def decode(value: Plain) -> Plain:
    """Undo `encode`."""
    if isinstance(value, dict):
        if ARRAY_KEY in value:
            return _decode_array(value)
        return {key: decode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [decode(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def _encode_array(array: AnyArray, where: str) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise ConfigError(f"{where} must be an array of numbers, got dtype {array.dtype}")
    # bytes, because torch has no dates, texts or unsigned integers of its own
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if not data.flags.writeable:
        data = data.copy()
    return {ARRAY_KEY: th.from_numpy(data), "dtype": array.dtype.str, "shape": list(array.shape)}


def _decode_array(value: dict[str, Any]) -> AnyArray:
    array: AnyArray = value[ARRAY_KEY].numpy().view(value["dtype"]).reshape(value["shape"])
    # a 0-d result of numpy is a scalar; as such it was captured
    return array if array.ndim else array[()]
