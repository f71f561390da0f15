"""Reading YAML within limits of size, nesting and repetition, with the line of every mistake."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

from finrl_ray.errors import ConfigError

TEXT_BYTES = 1 << 20
"""No config is longer; the longest of a thousand tickers has some kilobytes."""
NODES = 100_000
"""Keys, values and lists, with each repetition by an alias counted."""
CHARACTERS = 4 << 20
_DEEPEST = 100
_NUMBER_DIGITS = 400
_PREFIX = "tag:yaml.org,2002:"
_NUMBERS: Mapping[str, str] = MappingProxyType(
    {f"{_PREFIX}{name}": name for name in ("int", "float", "timestamp")}
)


class _ScalarError(Exception):
    """A value that looks like a date or a number and is not one."""

    def __init__(self, node: yaml.ScalarNode, reason: str) -> None:
        super().__init__(reason)
        self.node = node


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-4 as a number and refuses a key given twice."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            if isinstance(error, ConfigError) or not isinstance(node, yaml.ScalarNode):
                raise
            raise _ScalarError(node, str(error)) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == f"{_PREFIX}merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(
                    f"line {_line(key_node)} has a list or a mapping as a key, and a key must be "
                    "one plain value"
                )
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(
                    f"the key {key!r} is given twice (line {key_node.start_mark.line + 1})"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    f"{_PREFIX}float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises
    ------
    ConfigError
        If it holds a key twice, a date or a number that is none, or more than any config does.
    yaml.YAMLError, ValueError, TypeError, RecursionError
        If it is not YAML; PyYAML leaves deep nesting to Python's own errors.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _DocumentSize().check(node)
        return loader.construct_document(node)
    except _ScalarError as error:
        kind = "date" if error.node.tag == f"{_PREFIX}timestamp" else "number"
        key = _key_of(node, error.node)
        raise ConfigError(
            f"{f'{key}: ' if key else ''}{error.node.value!r} is no {kind} "
            f"(line {_line(error.node)}): {error}"
        ) from None
    finally:
        loader.dispose()


class _DocumentSize:
    """How large a document is once every alias is replaced by what it stands for."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}
        # nodes whose parts are being counted: one that comes again is a part of itself
        self.open: set[int] = set()

    def check(self, node: yaml.Node) -> None:
        """Refuse a document that is too large."""
        nodes, characters = self.size(node, 0)
        if nodes > NODES or characters > CHARACTERS:
            raise ConfigError(
                f"with its aliases (*name) written out it holds {_rough(nodes)} keys and values of "
                f"{_rough(characters)} characters, and at most {NODES:,} of {CHARACTERS:,} are "
                "read; write lists out instead of repeating them by aliases"
            )

    def size(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        """Return how many nodes and characters a node stands for."""
        if id(node) in self.open:
            raise ConfigError(f"the alias at line {_line(node)} stands for a part of itself")
        if depth > _DEEPEST:
            raise ConfigError(f"line {_line(node)} is nested more than {_DEEPEST} levels deep")
        if id(node) not in self.known:
            self.open.add(id(node))
            self.known[id(node)] = self._size(node, depth)
            self.open.discard(id(node))
        return self.known[id(node)]

    def _size(self, node: yaml.Node, depth: int) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
            return 1, len(node.value)
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        sizes = [self.size(part, depth + 1) for part in parts]
        return 1 + sum(nodes for nodes, _ in sizes), sum(length for _, length in sizes)


def _check_scalar(node: yaml.ScalarNode) -> None:
    kind = _NUMBERS.get(node.tag)
    if kind is not None and len(node.value) > _NUMBER_DIGITS:
        raise ConfigError(
            f"line {_line(node)} holds a number of {len(node.value):,} characters, and at most "
            f"{_NUMBER_DIGITS} are read"
        )
    if any("\ud800" <= character <= "\udfff" for character in node.value):
        raise ConfigError(f"line {_line(node)} holds half a character (a lone surrogate)")


def _key_of(root: yaml.Node | None, wanted: yaml.Node) -> str:
    """Return the dotted key that a node is under; empty if it is under none."""
    places: list[tuple[yaml.Node, str]] = [] if root is None else [(root, "")]
    seen: set[int] = set()
    while places:
        node, key = places.pop()
        if node is wanted:
            return key
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            places += [(part, key) for part in node.value]
        if isinstance(node, yaml.MappingNode):
            inside = f"{key}." if key else ""
            places += [(value, f"{inside}{name.value}") for name, value in node.value]
    return ""


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _rough(count: int) -> str:
    return f"{count:,}" if count < 10**12 else f"10^{len(str(count)) - 1}"
