"""Sections of the YAML whose options depend on one of their keys, such as `validation` on `scheme`.

In Python such a section is a union of dataclasses, one for each value of that key (its tag), so
that no scheme carries the options of another. A file has the keys of all of them, and those are
null that the scheme in use does not have, or that are at their default.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from finrl_ray.config.checks import FORBID_UNKNOWN, key_of
from finrl_ray.support.text import did_you_mean


@dataclass(frozen=True, slots=True)
class TaggedBy:
    """What makes a union of dataclasses a section: `Annotated[One | Other, TaggedBy(...)]`.

    Parameters
    ----------
    key : the tag; each class of the union has it as a `Literal` of one value, and a file without it
        means the first class
    base : the class with what they share; its text is the section's
    lists_options : whether a message names the options that there are
    """

    key: str
    base: type
    lists_options: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Return pydantic's schema of the union, discriminated by the tag."""
        # imported here, so that a config that is made in Python does not wait for pydantic
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(discriminator=self.key)])


@dataclass(frozen=True)
class TaggedSection:
    """A union of dataclasses as one section of a file.

    Parameters
    ----------
    mark : what the union is annotated with
    variants : its classes by the value of the tag, the default first
    """

    mark: TaggedBy
    variants: Mapping[str, type]

    @property
    def default_tag(self) -> str:
        """The tag of a section that does not give one."""
        return next(iter(self.variants))

    def options_of(self, tag: str) -> list[str]:
        """Return the names of the options that not all variants have, of one variant."""
        shared = {item.name for item in fields(self.mark.base)}
        return [item.name for item in fields(self.variants[tag]) if item.name not in shared]

    @property
    def options(self) -> list[str]:
        """Names of the options of all variants, in an order that each of them keeps."""
        return _merged([self.options_of(tag) for tag in self.variants])

    def owner(self, name: str) -> type:
        """Return the first variant that has an option."""
        return next(self.variants[tag] for tag in self.variants if name in self.options_of(tag))

    def select(self, raw: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
        """Return the keys of the variant that a section asks for, and what is wrong with others.

        Parameters
        ----------
        raw : the section of a file
        """
        tag = raw.get(self.mark.key, self.default_tag)
        if not isinstance(tag, str) or tag not in self.variants:
            return dict(raw), None  # which pydantic refuses
        own, options = self.options_of(tag), self.options
        foreign = [name for name in options if name not in own and raw.get(name) is not None]
        kept = {
            name: value
            for name, value in raw.items()
            if name not in options or (name in own and value is not None)
        }
        problem = self._refusal(foreign[0], tag) if foreign else None
        return {self.mark.key: tag, **kept}, problem

    def _refusal(self, name: str, tag: str) -> str:
        own, key = self.options_of(tag), self.mark.key
        owners = [other for other in self.variants if name in self.options_of(other)]
        has, hint = "", ""
        if self.mark.lists_options:
            has = f" (it has {', '.join(own)})" if own else " (it has no options)"
            hint = f".{did_you_mean(name, own)}"
        return (
            f"{name} is an option of {' and '.join(owners)}, not of {key} {tag!r}{has}; leave it "
            f"out, or set {key} to one of these{hint}"
        )

    def as_in_file(self, section: Any, *, spelt_out: bool = False) -> dict[str, Any]:
        """Return a section with the keys of its file.

        Parameters
        ----------
        section : of one of the classes
        spelt_out : give an option that is at its default with its value, instead of as null
        """
        own = self.options_of(getattr(section, self.mark.key))
        left_out = {
            item.name
            for item in fields(section)
            if item.name in own and getattr(section, item.name) == item.default and not spelt_out
        }
        return {
            item.name: None
            if item.name in left_out or not hasattr(section, item.name)
            else getattr(section, item.name)
            for item in fields(file_form_of(self))
        }


def tagged_section(annotation: Any) -> TaggedSection | None:
    """Return the section that an annotation marks; None for any other type."""
    if get_origin(annotation) is not Annotated:
        return None
    union, *marks = get_args(annotation)
    mark = next((mark for mark in marks if isinstance(mark, TaggedBy)), None)
    if mark is None:
        return None
    variants = {}
    for variant in get_args(union):
        (tag,) = get_args(get_type_hints(variant)[mark.key])
        variants[tag] = variant
    return TaggedSection(mark, variants)


@cache
def sections_of(cls: type) -> Mapping[str, Any]:
    """Return the sections of a dataclass by name: each a dataclass or a `TaggedSection`."""
    found: dict[str, Any] = {}
    for name, annotation in get_type_hints(cls, include_extras=True).items():
        tagged = tagged_section(annotation)
        if tagged is not None:
            found[name] = tagged
        elif isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
            found[name] = annotation
    return found


def tagged_keys(cls: type, prefix: str = "") -> Iterator[tuple[str, TaggedSection]]:
    """Yield the dotted keys of the tagged sections of a tree of dataclasses."""
    for name, section in sections_of(cls).items():
        if isinstance(section, TaggedSection):
            yield f"{prefix}{name}", section
        else:
            yield from tagged_keys(section, f"{prefix}{name}.")


def select_variants(
    raw: Mapping[str, Any], cls: type, prefix: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Return a mapping with each tagged section as its variant, and what is wrong with it.

    Parameters
    ----------
    raw : keys and values, as a file has them; not changed
    cls : the dataclass that they are for
    prefix : of its keys, for messages
    """
    result, problems = dict(raw), []
    for name, section in sections_of(cls).items():
        given = raw.get(name)
        if not isinstance(given, Mapping):
            continue
        if isinstance(section, TaggedSection):
            result[name], problem = section.select(given)
            problems += [f"{prefix}{name}: {problem}"] if problem else []
        else:
            result[name], found = select_variants(given, section, f"{prefix}{name}.")
            problems += found
    return result, problems


def as_in_file(config: Any, *, spelt_out: bool = False) -> dict[str, Any]:
    """Return a tree of dataclasses as dicts with the keys of its file.

    Parameters
    ----------
    config : the tree
    spelt_out : give options of tagged sections that are at their default with their values, instead
        of as null
    """
    cls: Any = type(config)
    sections = sections_of(cls)
    result = {}
    for item in fields(config):
        value, section = getattr(config, item.name), sections.get(item.name)
        if isinstance(section, TaggedSection):
            value = section.as_in_file(value, spelt_out=spelt_out)
        elif section is not None:
            value = as_in_file(value, spelt_out=spelt_out)
        result[key_of(item.name)] = value
    return result


def with_field_names(raw: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """Return a mapping with Python's names for its keys, `class_` for `class`.

    Parameters
    ----------
    raw : keys and values, as a file has them; not changed
    cls : the dataclass that they are for
    """
    names = {key_of(item.name): item.name for item in fields(cls)}
    sections = sections_of(cls)
    result = {}
    for key, value in raw.items():
        section = sections.get(key)
        if isinstance(section, type) and isinstance(value, Mapping):
            value = with_field_names(value, section)
        result[names.get(key, key)] = value
    return result


@cache
def file_form(cls: type) -> type:
    """Return the dataclass of what a file holds: the keys of all variants, in one class each.

    The class of a section without variants is returned as it is.
    """
    forms = {
        name: file_form_of(section) if isinstance(section, TaggedSection) else file_form(section)
        for name, section in sections_of(cls).items()
    }
    if all(form is sections_of(cls)[name] for name, form in forms.items()):
        return cls
    hints = get_type_hints(cls)
    made = [
        (item.name, forms[item.name], field(default_factory=forms[item.name]))
        if item.name in forms
        else (item.name, hints[item.name], _copied(item))
        for item in fields(cls)
    ]
    return _make(cls, made, (cls,))


def file_form_of(section: TaggedSection) -> type:
    """Return the dataclass of what a file holds of a tagged section: null is the default."""
    return _file_form_of(section.mark, tuple(section.variants.items()))


@cache
def _file_form_of(mark: TaggedBy, variants: tuple[tuple[str, type], ...]) -> type:
    section = TaggedSection(mark, dict(variants))
    shared = get_type_hints(mark.base)
    tags = Literal[tuple(section.variants)]  # type: ignore[valid-type]  # built from the classes
    made: list[tuple[str, Any, Any]] = [(mark.key, tags, field(default=section.default_tag))]
    for name in section.options:
        hint = get_type_hints(section.owner(name))[name]
        made.append((name, Union[hint, None], field(default=None)))  # noqa: UP007  # not of a type
    made += [
        (item.name, shared[item.name], _copied(item))
        for item in fields(mark.base)
        if item.name != mark.key
    ]
    return _make(mark.base, made, (mark.base, *section.variants.values()))


def _copied(item: "dataclasses.Field[Any]") -> Any:
    return field(default=item.default, default_factory=item.default_factory, metadata=item.metadata)


def _make(cls: type, made: Sequence[tuple[str, Any, Any]], sources: tuple[type, ...]) -> type:
    return dataclasses.make_dataclass(
        cls.__name__,
        made,
        namespace={
            "__doc__": cls.__doc__,
            "__pydantic_config__": FORBID_UNKNOWN,
            "__sources__": sources,
        },
        frozen=True,
        kw_only=True,
    )


def _merged(orders: list[list[str]]) -> list[str]:
    """Return all names in an order that does not contradict any of the given ones."""
    result: list[str] = []
    while any(orders):
        free = (
            order[0]
            for order in orders
            if order and not any(order[0] in other[1:] for other in orders)
        )
        name = next(free, None)
        if name is None:
            raise ValueError(f"the classes name their options in contradicting orders: {orders}")
        result.append(name)
        orders = [[other for other in order if other != name] for order in orders]
    return result
