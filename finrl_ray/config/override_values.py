"""The values of `--set key=value`: YAML, but without comments, anchors, tags and directives."""

import types
import typing
from collections.abc import Sequence
from typing import Any, Literal

import yaml

from finrl_ray.config.yaml_text import load_yaml

_QUOTED = ('"', "'", "!!")
_COLLECTION = ("[", "{")
# what YAML gives a meaning and a command line does not: anchors, aliases, tags, directives
_SIGNS = (
    yaml.AnchorToken,
    yaml.AliasToken,
    yaml.TagToken,
    yaml.DirectiveToken,
    yaml.DocumentStartToken,
    yaml.DocumentEndToken,
)
_ERRORS = (yaml.YAMLError, ValueError, TypeError, RecursionError)


def override_value(text: str, *, for_text: bool) -> object:
    """Return the value that was meant by the text after `key=`.

    YAML drops what follows " #" and gives a meaning to a leading `*`, `&`, `!` or `%`. On a command
    line there are no comments, so a text of one line that YAML would not take whole is a string.

    Parameters
    ----------
    text : as given
    for_text : whether the key holds one text, such as a path or a name: `a: b` and `- a` are then
        no mapping and no list, and 12 is the text "12"; quotes and `null` keep their meaning

    Raises
    ------
    yaml.YAMLError, ValueError, TypeError, RecursionError
        If it begins like a list or a mapping of YAML and is not valid.
    """
    if for_text:
        return _text_value(text)
    if "\n" in text or _is_whole(text):
        value: object = load_yaml(text)
        return value
    if text.lstrip().startswith(_COLLECTION):
        load_yaml(text)  # one that is not valid is refused
    return text.strip()


def _text_value(text: str) -> str | None:
    plain = text.strip()
    try:
        value: object = load_yaml(text)
    except _ERRORS:
        return plain
    if value is None and not plain.startswith("#"):
        return None
    quoted = plain.startswith(_QUOTED) and isinstance(value, str) and not _has_comment(text)
    return str(value) if quoted else plain


def _is_whole(text: str) -> bool:
    """Return whether YAML reads a whole text as a value: no comment, anchor, tag or directive."""
    try:
        tokens = list(yaml.scan(text, yaml.SafeLoader))
        yaml.safe_load(text)
    except _ERRORS:
        return False
    signs = [token for token in tokens if isinstance(token, _SIGNS)]
    signs = [] if text.lstrip().startswith("!!") else signs
    blocks = [token for token in tokens if getattr(token, "style", None) in ("|", ">")]
    return not (signs or blocks or _has_comment(text))


def _has_comment(text: str) -> bool:
    end = 0
    for token in yaml.scan(text, yaml.SafeLoader):
        # between its tokens YAML has blanks, line ends and comments
        if "#" in text[end : token.start_mark.index]:
            return True
        end = max(end, token.end_mark.index)
    return "#" in text[end:]


def holds_text(section: type, keys: Sequence[str]) -> bool:
    """Return whether a dotted key of a tree of dataclasses holds one text, or none."""
    kind: Any = section
    for key in keys:
        kind = typing.get_type_hints(kind).get(key) if isinstance(kind, type) else None
        if kind is None:
            return False
    return all(_is_text(part) for part in _alternatives(kind))


def _alternatives(kind: Any) -> tuple[Any, ...]:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return typing.get_args(kind)
    return (kind,)


def _is_text(kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return all(isinstance(value, str) for value in typing.get_args(kind))
    return kind in (str, type(None))
