"""Which keys of a search's config may change after its start, and the check that no other has.

A search whose config changes half way mixes trials of two experiments in one table. So the config
is written twice: to `config.yaml`, for people, and to `experiment.json`, with a hash. Keys that
cannot change a trial's result may differ between the two; any other difference is an error.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from finrl_ray.config.data import FILE_ENDINGS
from finrl_ray.config.dump import config_text, config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import changeable_keys, sealed_keys
from finrl_ray.config.load import parse_config, read_config
from finrl_ray.config.search import FORMER_SEARCHER, RANK_BY_OBJECTIVE
from finrl_ray.config.validation import CPCV, WalkForward
from finrl_ray.config.yaml_text import TEXT_BYTES
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.search.folder.names import CONFIG_FILE, EXPERIMENT_FILE
from finrl_ray.search.journal.events import read_journal
from finrl_ray.search.sampling.objective import full_budget

SEALED: tuple[str, ...] = tuple(sealed_keys())
"""Keys on which a trial's result, or what is made of it, depends."""

CHANGEABLE: Mapping[str, str] = MappingProxyType(changeable_keys())
"""Keys that may change between the start of a search and what follows, and what they are."""

_FORMERLY: Mapping[str, str] = MappingProxyType(
    # trials were ranked by what schedulers compare, and drawn at random
    {"rank_by": RANK_BY_OBJECTIVE, "searcher": FORMER_SEARCHER}
)
_FILE_HASH = "config_file_hash"
_THREADS = "search.threads_per_trial"
_NOT_IN = object()
_SHOWN_CHARACTERS = 200


class EditedConfigError(SearchError):
    """The config of a search is not the one that it was made with."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A key that differs.

    Parameters
    ----------
    key : dotted
    former, now : plain values
    """

    key: str
    former: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_shown(self.former)}, is {_shown(self.now)}"


@dataclass(frozen=True, kw_only=True)
class OpenedConfig:
    """What a search's folder says of its config.

    Parameters
    ----------
    config : what the search goes on with
    accepted : the sealed one; None in a folder that was made before configs were sealed
    digest : of the sealed keys
    """

    config: ExperimentConfig
    accepted: ExperimentConfig | None
    digest: str


def seal_of(config: ExperimentConfig) -> dict[str, Any]:
    """Return what `experiment.json` keeps of a config."""
    content = config_to_dict(config)
    return {
        "config": content,
        "config_hash": config_hash(content),
        _FILE_HASH: _file_hash(config_text(config).encode(), content),
    }


def config_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 over the keys of a written config that may not change.

    Of `data.source` and `search.gpus_per_trial` only a part may not; they are left out.
    """
    free = (*CHANGEABLE, *_COUNTS_AS)
    kept = {key: value for key, value in _leaves(content) if key not in free}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _file_hash(text: bytes, content: Mapping[str, Any]) -> str:
    """Return the SHA-256 over `config.yaml` as it is made and the config in `experiment.json`."""
    return hashlib.sha256(text + json.dumps(content).encode()).hexdigest()


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        inner = isinstance(value, Mapping) and any(k.startswith(f"{key}.") for k in SEALED)
        yield from _leaves(value, f"{key}.") if inner else [(key, value)]


def open_config(folder: Path, facts: Mapping[str, Any]) -> OpenedConfig:
    """Return the config of a search's folder.

    Where `config.yaml` has the same values in another order, in other words or with the defaults
    spelled out, the sealed one is returned, with those keys of the file that may change.

    Parameters
    ----------
    folder : of the search
    facts : its `experiment.json`

    Raises
    ------
    ConfigError
        If `config.yaml` is no valid config.
    EditedConfigError
        If it differs in a key that may not change, naming the key and both values.
    SearchError
        If the sealed config was changed.
    """
    path, content = folder / CONFIG_FILE, facts.get("config")
    now = _as_in_file(path, facts)
    if content is None and "config_hash" not in facts:
        return OpenedConfig(config=now, accepted=None, digest=config_hash(config_to_dict(now)))
    if not isinstance(content, Mapping) or config_hash(content) != facts.get("config_hash"):
        raise EditedConfigError(
            f"the config in {folder / EXPERIMENT_FILE} does not match its hash: the file was "
            "edited or damaged; put back a copy of it"
        )
    digest = str(facts["config_hash"])
    if json.dumps(config_to_dict(now)) == json.dumps(content):
        return OpenedConfig(config=now, accepted=now, digest=digest)
    accepted = parse_config(content, where=str(folder / EXPERIMENT_FILE))
    accepted = _as_formerly(accepted, _lacking(content))
    found = sealed_changes(accepted, now)
    fixed_number = facts.get("kind") != "search"
    if fixed_number and accepted.search.num_samples != now.search.num_samples:
        found += [c for c in free_changes(accepted, now) if c.key == "search.num_samples"]
    if found:
        raise EditedConfigError(_edited(path, found, str(facts.get("kind"))))
    config = with_free_keys(accepted, now)
    if config.search.num_samples < accepted.search.num_samples:
        _require_not_fewer(folder, accepted, config)
    return OpenedConfig(config=config, accepted=accepted, digest=digest)


def _as_in_file(path: Path, facts: Mapping[str, Any]) -> ExperimentConfig:
    """Return what `config.yaml` says."""
    content = facts.get("config")
    if isinstance(content, Mapping) and _FILE_HASH in facts and path.is_file():
        # nobody has touched either file: YAML takes ten times as long to read as JSON
        text = read_limited(path, TEXT_BYTES, ConfigError)
        if _file_hash(text, content) == facts[_FILE_HASH]:
            return _as_formerly(parse_config(content, where=str(path)), _lacking(content))
    written = read_config(path)
    former = _lacking(written if content is None else content)
    now = parse_config(written, where=str(path))
    return _as_formerly(now, [key for key in _lacking(written) if key in former])


def _lacking(content: Mapping[str, Any]) -> list[str]:
    """Return the keys of `search` that a written config lacks and that stood for something else.

    Every version that has such a key writes it.
    """
    section = content.get("search")
    given = section if isinstance(section, Mapping) else {}
    return [key for key in _FORMERLY if key not in given]


def _as_formerly(config: ExperimentConfig, keys: Sequence[str]) -> ExperimentConfig:
    changed: Any = {key: _FORMERLY[key] for key in keys}
    return replace(config, search=replace(config.search, **changed)) if changed else config


def _edited(path: Path, found: list[Change], kind: str) -> str:
    what, command = ("training", "train") if kind == "train" else ("search", "tune")
    lines = "".join(f"\n  - {one}" for one in found)
    value = "the former value" if len(found) == 1 else "the former values"
    return (
        f"{path} is not the config that the {what} was made with:{lines}\nIts trials, and all that "
        f"it has written, belong to {value}: restore {value} (kept in {EXPERIMENT_FILE} under "
        f"'config'), or start a new {what} with the edited file: finrl-ray {command} {path}"
    )


def _require_not_fewer(folder: Path, accepted: ExperimentConfig, config: ExperimentConfig) -> None:
    """Refuse fewer trials than there are."""
    # the spaces of all algorithms, which take a second to import and are seldom needed here
    from finrl_ray.search.sampling.domains import planned_trials

    created, planned = len(read_journal(folder).trials), planned_trials(config)
    if planned < created:
        change = Change(
            key="search.num_samples",
            former=accepted.search.num_samples,
            now=config.search.num_samples,
        )
        raise EditedConfigError(
            f"{folder / CONFIG_FILE}: {change}, which is {planned:,} trials, and the search has "
            f"{created:,} already, which all count; set it to what it was, or higher"
        )


def sealed_changes(former: ExperimentConfig, now: ExperimentConfig) -> list[Change]:
    """Return the keys in which two configs differ that may not change.

    A default that follows from another key (an eighth of the timesteps) is no change of its own.
    """
    before, after = _settled(former), _settled(now)
    written = config_to_dict(former), config_to_dict(now)
    found = []
    for key in SEALED:
        same = _equal(*(_at(content, key) for content in written))
        if not same or key == _THREADS:  # which follows from a key that may change
            found += _differences(key, _at(before, key), _at(after, key))
    return found


def free_changes(former: ExperimentConfig, now: ExperimentConfig) -> list[Change]:
    """Return the keys in which two configs differ that may change."""
    before, after = config_to_dict(former), config_to_dict(now)
    keys = (*CHANGEABLE, *_COUNTS_AS)
    found = (Change(key=key, former=_at(before, key), now=_at(after, key)) for key in keys)
    return [change for change in found if not _equal(change.former, change.now)]


def with_free_keys(accepted: ExperimentConfig, now: ExperimentConfig) -> ExperimentConfig:
    """Return the sealed config with those keys of another that may change."""
    merged = config_to_dict(accepted)
    lay_free_keys(config_to_dict(now), merged)
    return parse_config(merged)


def lay_free_keys(given: Mapping[str, Any], over: dict[str, Any]) -> None:
    """Put those keys of one written config that may change in the place of another's."""
    for key in (*CHANGEABLE, *_COUNTS_AS):
        *sections, name = key.split(".")
        target: Any = over
        for section in sections:
            target = target[section]
        target[name] = _at(given, key)


def _settled(config: ExperimentConfig) -> dict[str, Any]:
    """Return a config as plain values, with defaults in the place of nulls that stand for them."""
    content = config_to_dict(config, spelt_out=True)
    scheduler, validation = config.search.scheduler, config.validation
    eighth = max(1, full_budget(config) // 8)
    for name in ("grace_period", "perturbation_interval"):
        if hasattr(scheduler, name) and getattr(scheduler, name) is None:
            content["search"]["scheduler"][name] = eighth
    if isinstance(validation, WalkForward | CPCV) and validation.purge is None:
        content["validation"]["purge"] = 2 if config.env.fill == "next_open" else 1
    if validation.has_paths and validation.objective is None:
        content["validation"]["objective"] = "active_sharpe_lcb"
    content["search"]["threads_per_trial"] = config.search.threads
    for key, counts_as in _COUNTS_AS.items():
        section, name = key.split(".")
        content[section][name] = counts_as(content[section][name])
    return content


def _source(value: str) -> str:
    """Return what a source counts as: the folder has the data, wherever the file lies."""
    return "a file" if value.lower().endswith(FILE_ENDINGS) else value


_COUNTS_AS: Mapping[str, Any] = MappingProxyType(
    # with any GPU trials train on it, without on the CPU
    {"data.source": _source, "search.gpus_per_trial": lambda gpus: "some" if gpus else "none"}
)


def _at(content: Mapping[str, Any], key: str) -> Any:
    found: Any = content
    for name in key.split("."):
        found = found[name]
    return found


def _differences(key: str, former: Any, now: Any) -> list[Change]:
    """Return in which entries two values differ; their order does not count."""
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        names = dict.fromkeys((*former, *now))
        return [
            change
            for name in names
            for change in _differences(
                f"{key}.{name}", former.get(name, _NOT_IN), now.get(name, _NOT_IN)
            )
        ]
    return [] if _equal(former, now) else [Change(key=key, former=former, now=now)]


def _equal(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal; 1 is 1.0, and true is no number."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return set(one) == set(other) and all(_equal(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _shown(value: Any) -> str:
    if value is _NOT_IN:
        return "not there"
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def require_free(config: ExperimentConfig, wanted: ExperimentConfig, where: Path) -> None:
    """Refuse to set keys of a search that may not change.

    Raises
    ------
    ConfigError
        Naming each key, both values, and what may change.
    """
    found = sealed_changes(config, wanted)
    if found:
        lines = "".join(
            f"\n  - {one.key} is {_shown(one.former)}, would be {_shown(one.now)}" for one in found
        )
        raise ConfigError(
            f"--set cannot change what the trials of a search depend on:{lines}\nStart a new "
            f"search instead: finrl-ray tune {where} --set ... What may change: "
            f"{', '.join(CHANGEABLE)}"
        )
