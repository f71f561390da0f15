"""The user's own code in a search's folder: written with hashes and a signature, opened, run.

It is sealed as the config is: what the trials ran is what the folder holds. Opening a folder reads
the files and imports nothing. Commands that train or act run them; where somebody else has written
them, only with trust.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finrl_ray.agents.algorithm_registry import (
    ALGORITHMS,
    base_name,
    base_of,
    remember_bases,
)
from finrl_ray.config.agent import POLICIES
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.errors import SearchError
from finrl_ray.files.bounded_reading import read_json
from finrl_ray.files.contained_path import checked_relative_path
from finrl_ray.files.signature import is_own, key_file, signature
from finrl_ray.own_code.code_files import CodeFiles, collect_code, read_code
from finrl_ray.own_code.finder import activate
from finrl_ray.own_code.reference import is_reference, names_a_place
from finrl_ray.search.folder.names import CODE_FOLDER, EXPERIMENT_FILE

OWN_CODE = "own_code"
"""Its key in `experiment.json` and in the manifest of a reproduction file."""
ALGORITHMS_OF = "algorithms"
"""Which algorithm each of the user's own is derived from, there."""


def code_of(config: ExperimentConfig, base_dir: Path) -> CodeFiles:
    """Return the user's files that a config names, and those that these import.

    Parameters
    ----------
    config : of the search
    base_dir : folder of the config

    Raises
    ------
    ConfigError
        Naming key, file, line and remedy, where a file is missing or is not Python.
    """
    activate(CodeFiles())  # what an earlier search has left is not found in the place of a file
    _refuse_anothers_folder(config, base_dir)
    return collect_code({one.key: one.reference for one in own_references(config)}, base_dir)


def run_code(config: ExperimentConfig, code: CodeFiles) -> None:
    """Make own code what the references of a config load in this process."""
    named = named_in(config)
    activate(code if any(names_a_place(name) for name, _ in named) else CodeFiles(), named)
    remember_bases({name: base_of(name) for name, kind in named if kind == "algorithm"})


def named_in(config: ExperimentConfig) -> tuple[tuple[str, str], ...]:
    """Return the references of a config with their kinds, entry points of policies included."""
    named = [(one.reference, one.kind) for one in own_references(config)]
    policy = config.agent.policy
    if policy not in POLICIES and is_reference(policy, "policy"):
        named.append((policy, "policy"))
    return tuple(dict.fromkeys(named))


def _refuse_anothers_folder(config: ExperimentConfig, base_dir: Path) -> None:
    """Refuse to run own code from the config in a search's folder that somebody else has made."""
    if not (base_dir / EXPERIMENT_FILE).is_file() or not own_references(config):
        return
    try:
        require_trusted_code(base_dir, read_json(base_dir / EXPERIMENT_FILE), config, trust=False)
    except (SearchError, ValueError):
        raise SearchError(
            f"{base_dir} is the folder of a search that somebody else has made, and its config "
            f"names code; copy config.yaml and the files of {CODE_FOLDER}/ into a folder of your "
            "own, read them, and give the config there"
        ) from None


def code_facts(config: ExperimentConfig, code: CodeFiles) -> dict[str, Any]:
    """Return what `experiment.json` keeps of own code; empty where the config names none."""
    references = {one.key: one.reference for one in own_references(config)}
    if not references:
        return {}
    facts: dict[str, Any] = {"references": references, "files": code.hashes}
    own = _own_algorithms(config)
    if own:  # so that commands that read need not import them
        facts[ALGORITHMS_OF] = {name: base_name(name) for name in own}
    return {OWN_CODE: {**facts, "signature": signature(_digest(facts))}}


def _own_algorithms(config: ExperimentConfig) -> list[str]:
    return [one.reference for one in own_references(config) if one.kind == "algorithm"]


def opened_code(path: Path, facts: Mapping[str, Any], config: ExperimentConfig) -> CodeFiles:
    """Return the own code of a search's folder, of which nothing is imported.

    Parameters
    ----------
    path : the folder
    facts : its `experiment.json`
    config : of the search

    Raises
    ------
    SearchError
        If a file is not what it was when the search began, or is missing.
    """
    if not own_references(config):
        return CodeFiles()
    known = facts.get(OWN_CODE)
    try:
        own = _own_algorithms(config)
        derived = {name: known[ALGORITHMS_OF][name] for name in own}  # type: ignore[index]
        if not set(derived.values()) <= set(ALGORITHMS):
            raise ValueError(f"unknown algorithms {derived}")
        remember_bases(derived)
        hashes = {checked_relative_path(p, "own code"): h for p, h in known["files"].items()}  # type: ignore[index]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise SearchError(
            f"the config in {path} names code of its own, and {EXPERIMENT_FILE} does not say which "
            "files it is: it was edited or damaged; put back a copy of it"
        ) from error
    code = read_code(path / CODE_FOLDER, map(str, hashes))
    now = code.hashes
    for name, expected in hashes.items():
        if now.get(str(name)) != expected:
            what = "has been edited since the search began" if str(name) in now else "is missing"
            raise SearchError(
                f"{path / CODE_FOLDER / name} {what}, and trials of one search must run the same "
                "code; put back what was there, or start a new search with the changed file"
            )
    return code


def require_trusted_code(
    where: str | Path, facts: Mapping[str, Any], config: ExperimentConfig, *, trust: bool
) -> None:
    """Refuse to run own code that somebody else has put into a folder or file.

    Parameters
    ----------
    where : the folder or file, for messages
    facts : its `experiment.json` or manifest
    config : of the search
    trust : run it nevertheless

    Raises
    ------
    SearchError
        Naming the code and what to do.
    """
    references = [one.reference for one in own_references(config)]
    if not references or trust:
        return
    known = facts.get(OWN_CODE)
    if isinstance(known, Mapping):
        content = {name: value for name, value in known.items() if name != "signature"}
        listed = content.get("references")
        complete = isinstance(listed, Mapping) and set(references) <= set(listed.values())
        if complete and is_own(_digest(content), str(known.get("signature"))):
            return
    raise SearchError(
        f"{where} holds code that was not put there by you with the key in {key_file()}: "
        f"{', '.join(dict.fromkeys(references))}. To go on is to run that code with your rights: "
        f"read it in {CODE_FOLDER}/ first, and if you trust it add --trust (trust=True in Python); "
        "where it is your own from another machine, you may copy the key there instead"
    )


def _digest(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True)
    return f"own code {hashlib.sha256(text.encode()).hexdigest()}"
