"""Which own code a config names: in its keys, in the choices of its space, in its first points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from finrl_ray.config.agent import EXTRACTOR
from finrl_ray.config.data import FILE_ENDINGS
from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.options import own_entry
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.kinds import KINDS
from finrl_ray.own_code.reference import names_a_place

KIND_OF_KEY: Mapping[str, str] = MappingProxyType(
    {
        **{kind.key: name for name, kind in KINDS.items()},
        f"agent.policy_kwargs.{EXTRACTOR}": "features_extractor",
        # in a space the keywords of the algorithm stand by themselves
        f"policy_kwargs.{EXTRACTOR}": "features_extractor",
    }
)
"""The dotted keys that may name own code, and of which kind."""


@dataclass(frozen=True, slots=True)
class OwnReference:
    """One place in a config that names own code.

    Parameters
    ----------
    key : dotted, for messages
    reference : `module:name`
    kind : of KINDS
    """

    key: str
    reference: str
    kind: str


def own_references(config: ExperimentConfig) -> list[OwnReference]:
    """Return all own code that a config names by its place, each once; nothing is imported.

    Entry points are code of installed packages, and are not among them.

    Parameters
    ----------
    config : of a search; every choice of its space counts
    """
    found: dict[tuple[str, str], OwnReference] = {}
    content = config_to_dict(config)
    search = content.pop("search")
    parts = [*_leaves(content), *_leaves(search["space"], where="search.space.")]
    for number, point in enumerate(search["initial_points"] or ()):
        if isinstance(point, Mapping):
            parts += _leaves(point, where=f"search.initial_points[{number}].")
    metrics = {"search.rank_by": [search["rank_by"]], "search.objectives": search["objectives"]}
    parts += [
        (where, "evaluation.metric", name) for where, named in metrics.items() for name in named
    ]
    for where, key, value in parts:
        kind = _kind_of(key)
        file = kind == "source" and str(value).lower().endswith(FILE_ENDINGS)
        if kind is not None and names_a_place(value) and not file:
            found.setdefault((value, kind), OwnReference(where, value, kind))
    return list(found.values())


def _kind_of(key: str) -> str | None:
    """Return the kind of own code that a key may name; of one algorithm's, that of the keyword."""
    own = own_entry(key)
    return KIND_OF_KEY.get(key if own is None else own[1])


def require_named(config: ExperimentConfig, sample: Mapping[str, Any]) -> None:
    """Refuse a sample that names own code which its search's config does not name.

    Raises
    ------
    ConfigError
        Naming the key and what it names.
    """
    named = [
        (where, value)
        for where, key, value in _leaves(sample)
        if _kind_of(key) is not None and names_a_place(value)
    ]
    if not named:
        return
    known = {one.reference for one in own_references(config)}
    for where, value in named:
        if value not in known:
            raise ConfigError(
                f"a trial's {where} names {value}, which the config of the search does not: the "
                "search's files were edited; put back a copy of them"
            )


def require_member_named(config: ExperimentConfig, algorithm: str, env_class: str | None) -> None:
    """Refuse a member of an ensemble whose file names own code which the config does not name.

    Whether code may run is asked of what a config names, so that nothing beside it may name more.

    Parameters
    ----------
    config : of the search
    algorithm, env_class : as the member's file has them

    Raises
    ------
    ConfigError
        Naming the code.
    """
    known = {one.reference for one in own_references(config)}
    for named in (algorithm, env_class):
        if named is not None and names_a_place(named) and named not in known:
            raise ConfigError(
                f"a member of the ensemble names {named}, which the config does not: its files "
                "were edited; put back a copy of them"
            )


def _leaves(
    content: Any, key: str = "", where: str = "", number: str = ""
) -> Iterator[tuple[str, str, Any]]:
    """Yield where each text stands, the key of the config that it is for, and the text.

    Inside a choice of a space, or in a list, the key is that of the whole; where it stands then has
    its number, so that no two are the same.
    """
    if isinstance(content, Mapping):
        for name, value in content.items():
            inner = key if name in ("choice", "grid") and key else f"{key}.{name}".lstrip(".")
            yield from _leaves(value, inner, where, number)
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from _leaves(value, key, where, f"{number}[{place}]")
    else:
        yield f"{where}{key}{number}", key, content
