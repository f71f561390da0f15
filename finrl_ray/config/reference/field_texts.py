"""The text below each field of a configuration dataclass, read from its source."""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

from finrl_ray.config.checks import key_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.tagged_sections import file_form


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConfigField:
    """One key of the configuration.

    Parameters
    ----------
    name : the key in its section
    annotation : its type
    default : None also where there is none; see `has_default`
    has_default : whether it may be left out
    text : what stands below it in the source, on one line
    section : the dataclass of the section that it opens; None for a value
    """

    name: str
    annotation: Any
    default: Any
    has_default: bool
    text: str
    section: type | None


@cache
def field_texts(cls: type) -> dict[str, str]:
    """Return the text below each field of a dataclass, by name; missing where there is none.

    Of a file form (see `tagged_sections`) they are those of the classes that it is made of.
    """
    texts: dict[str, str] = {}
    for source in reversed(getattr(cls, "__sources__", (cls,))):
        for base in reversed(source.__mro__):
            if dataclasses.is_dataclass(base):
                texts |= _texts_in(base)
    return texts


def _texts_in(cls: type) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
        elif (
            name
            and isinstance(statement, ast.Expr)
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        ):
            found[name] = " ".join(statement.value.value.split())
            name = ""
        else:
            name = ""
    return found


def config_fields(cls: type = ExperimentConfig) -> Iterator[ConfigField]:
    """Return the keys of a section in order; `ExperimentConfig` is the file itself."""
    cls = file_form(cls)
    texts, hints = field_texts(cls), typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        annotation = hints[item.name]
        default: Any = item.default
        if item.default_factory is not dataclasses.MISSING:
            default = item.default_factory()
        missing = default is dataclasses.MISSING
        yield ConfigField(
            name=key_of(item.name),
            annotation=annotation,
            default=None if missing else default,
            has_default=not missing,
            text=texts.get(item.name, ""),
            section=annotation if _is_section(annotation) else None,
        )


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and dataclasses.is_dataclass(annotation)


def type_words(annotation: Any) -> str:
    """Return a type as a person writes it: options by name, `list of` for tuples."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{_yaml_word(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(one) for one in arguments))
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"list of {type_words(arguments[0])}"
        return f"[{', '.join(type_words(one) for one in arguments)}]"
    if origin is dict:
        return "mapping"
    names = {bool: "true or false", int: "integer", float: "number", str: "text"}
    if annotation is type(None):
        return "null"
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _yaml_word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
