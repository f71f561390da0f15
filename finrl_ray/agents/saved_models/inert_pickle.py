"""Reading a pickle without running it.

Unpickling calls whatever functions a file names. Here a file may name numbers, arrays and plain
containers, and classes of a few libraries, of which it gets an inert stand-in (`Record`) that keeps
what it was given and does nothing: no module is imported, no code of a file or a library runs.
"""

import codecs
import io
import pickle
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from finrl_ray._typing import AnyArray

LIBRARIES = (
    *("stable_baselines3", "sb3_contrib", "gymnasium", "gym", "torch", "finrl_ray", "numpy"),
)
"""Packages whose names become records; anything else in a pickle is refused."""

MOVED_MODULES: Mapping[str, str] = MappingProxyType(
    {
        "finrl_ray.agent.schedules": "finrl_ray.agents.schedules",
        "finrl_ray.agent.market_replay": "finrl_ray.agents.replay.buffer",
        "finrl_ray.learners.flat_optimizers": "finrl_ray.learners.flat.optimizers",
    }
)
"""Modules that files of earlier versions name, and where their classes are today."""

TRUST_REMEDY = (
    "reading it whole runs whatever code is in it: if you trust whoever wrote it, pass trust=True "
    "(--trust on the command line)"
)
"""What to do about a file that cannot be read as data alone."""

PICKLE_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    ImportError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,  # UnicodeDecodeError among them
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What a damaged pickle raises, depending on where the damage is."""


class RefusedError(ValueError):
    """A file that cannot be read as data: it is damaged, or of something else."""

    remedy = "it is damaged, or was cut while it was copied: put back a whole copy"


class UntrustedError(RefusedError):
    """A pickle that names something that is not read without trust."""

    remedy = TRUST_REMEDY


class Record:
    """Stands in for an object of a library: its class, and what the pickle gave it.

    Attributes
    ----------
    name : the class with its module, such as `gymnasium.spaces.box.Box`
    args : of its constructor
    state : what the pickle set; a dict of attributes for most classes
    """

    name: ClassVar[str] = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> "Record":
        """Return a record that keeps the arguments."""
        self = super().__new__(cls)
        self.args, self.state = args, {}
        return self

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep the state of the pickle."""
        self.state = state

    def attribute(self, name: str) -> Any:
        """Return one attribute of the object.

        Raises
        ------
        RefusedError
            If the pickle has not set it.
        """
        if not isinstance(self.state, dict) or name not in self.state:
            raise RefusedError(f"its {type(self).name} has no {name}")
        return self.state[name]


def record_class(name: str) -> type[Record]:
    """Return a fresh stand-in for the class of a name, under the name that it has today."""
    module, _, kind = name.rpartition(".")
    name = f"{MOVED_MODULES.get(module, module)}.{kind}"
    return type("Record", (Record,), {"name": name})


def read_inert(content: bytes) -> Any:
    """Return the value of a pickle, with records in place of objects of libraries.

    Raises
    ------
    RefusedError
        If it names anything else, or is damaged.
    """
    try:
        return _Reader(io.BytesIO(content)).load()
    except RefusedError:
        raise
    except PICKLE_ERRORS as error:
        what = "is empty" if not content else f"is cut short or damaged ({error or 'no reason'})"
        raise RefusedError(what) from error


def _reconstruct(*_: Any) -> AnyArray:
    # an array is made empty, and gets its shape and bytes as its state
    return np.ndarray((0,), dtype=np.uint8)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> AnyArray:
    return np.frombuffer(content, dtype=dtype).reshape(shape, order=order)


def _scalar(dtype: Any, content: bytes) -> Any:
    return np.frombuffer(content, dtype=dtype)[0]


def _latin_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise RefusedError(f"holds a text in the encoding {encoding!r}")
    return codecs.encode(text, "latin1")


_NUMBERS = (
    *("bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
_HARMLESS: Mapping[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin_bytes,
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "deque"): deque,
        ("builtins", "set"): set,
        ("builtins", "frozenset"): frozenset,
        ("builtins", "complex"): complex,
        **{
            (f"{core}.{module}", name): function
            for core in ("numpy.core", "numpy._core")
            for module, name, function in (
                ("multiarray", "_reconstruct", _reconstruct),
                ("multiarray", "scalar", _scalar),
                ("numeric", "_frombuffer", _from_buffer),
            )
        },
        **{("numpy", name): getattr(np, name) for name in _NUMBERS},
    }
)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _HARMLESS:
            return _HARMLESS[module, name]
        if module.partition(".")[0] in LIBRARIES:
            return record_class(f"{module}.{name}")
        raise UntrustedError(f"names {module}.{name}, which is not read without trust")
