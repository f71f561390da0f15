"""The user's own code in an agent's folder: written with hashes and a signature, run with trust."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finrl_ray.agents.algorithm_registry import ALGORITHMS, base_name, base_of, remember_bases
from finrl_ray.config.agent import POLICIES
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.trial.own_code import OwnReference, own_references
from finrl_ray.errors import SearchError
from finrl_ray.files.contained_path import checked_relative_path
from finrl_ray.files.signature import is_own, key_file, signature
from finrl_ray.own_code.code_files import CodeFiles, read_code
from finrl_ray.own_code.finder import activate
from finrl_ray.own_code.reference import is_reference, names_a_place

CODE_FOLDER = "own_code"
_ACTING = ("features", "env", "algorithm", "policy", "features_extractor")
_TRAINING = (*_ACTING, "reward", "callback")


def _references(config: ExperimentConfig, *, training: bool) -> list[OwnReference]:
    """Return the own code that acting takes, or training too; neither takes a source of prices."""
    needed = _TRAINING if training else _ACTING
    return [one for one in own_references(config) if one.kind in needed]


def code_facts(config: ExperimentConfig, code: CodeFiles) -> dict[str, Any]:
    """Return what `agent.json` keeps of own code; empty where acting and training take none.

    Parameters
    ----------
    config : of the trial
    code : its files
    """
    references = _references(config, training=True)
    if not references:
        return {}
    own = [one.reference for one in references if one.kind == "algorithm"]
    facts = {
        "references": sorted({one.reference for one in references}),
        "files": code.hashes,
        "algorithms": {name: base_name(name) for name in own},
    }
    return {CODE_FOLDER: {**facts, "signature": signature(_digest(facts))}}


def remember_algorithms(facts: Mapping[str, Any]) -> None:
    """Keep what algorithms of the user's own are derived from, so that a config can be read.

    Parameters
    ----------
    facts : of `agent.json`

    Raises
    ------
    SearchError
        If one is derived from no algorithm that there is, or the facts have another shape.
    """
    derived = _shaped(facts).get("algorithms", {})
    if not set(derived.values()) <= set(ALGORITHMS):
        raise SearchError(f"agent.json names algorithms that there are not: {derived}")
    remember_bases(derived)


def _shaped(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is said of own code, or refuse what `code_facts` does not write."""
    known = facts.get(CODE_FOLDER, {})
    if isinstance(known, Mapping):
        references = known.get("references", [])
        mappings = [known.get("files", {}), known.get("algorithms", {})]
        texts = [references] if isinstance(references, list) else [[None]]
        texts += [list(one.values()) if isinstance(one, Mapping) else [None] for one in mappings]
        if all(isinstance(text, str) for part in texts for text in part):
            return known
    raise SearchError(
        f"{CODE_FOLDER} in agent.json must have references, a list of texts, and files and "
        f"algorithms, texts by name, got {str(known)[:200]}; put back what was deployed"
    )


def opened_code(folder: Path, facts: Mapping[str, Any]) -> CodeFiles:
    """Return the own code of an agent's folder, of which nothing is imported.

    Parameters
    ----------
    folder : of the agent
    facts : of `agent.json`

    Raises
    ------
    SearchError
        If a file is missing, was changed, or was added.
    """
    place = folder / CODE_FOLDER
    known = _shaped(facts).get("files", {})
    hashes = {
        checked_relative_path(name, f"{folder / 'agent.json'}"): known[name] for name in known
    }
    there = {p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file()}
    there = {name for name in there if "__pycache__" not in name}
    code = read_code(place, hashes)
    for name in sorted({*hashes, *there}):
        if name not in code.hashes:
            how = "is missing" if name in hashes else "was added"
            raise SearchError(f"{place / name} {how}; put back what was deployed")
        if code.hashes[name] != hashes[name]:
            raise SearchError(f"{place / name} was changed; put back what was deployed")
    return code


def run_code(
    folder: Path,
    facts: Mapping[str, Any],
    config: ExperimentConfig,
    code: CodeFiles,
    *,
    trust: bool,
    training: bool = False,
) -> None:
    """Make own code what the references of a config load, if this user has written it or trusts it.

    Parameters
    ----------
    folder : of the agent, for messages
    facts : of `agent.json`
    config : of the agent
    code : from `opened_code`
    trust : run what somebody else has written
    training : the agent is to be trained, for which its reward and its callbacks run too

    Raises
    ------
    SearchError
        Naming the code, where it needs trust.
    """
    references = _references(config, training=training)
    if not references:
        return
    if not trust and not _is_own(facts, references):
        names = ", ".join(dict.fromkeys(one.reference for one in references))
        raise SearchError(
            f"{folder} holds code that was not put there by you with the key in {key_file()}: "
            f"{names}. To go on is to run that code with your rights: read it in {CODE_FOLDER}/ "
            "first, and if you trust it add --trust (trust=True in Python)"
        )
    named = [(one.reference, one.kind) for one in references]
    if config.agent.policy not in POLICIES and is_reference(config.agent.policy, "policy"):
        named.append((config.agent.policy, "policy"))
    activate(code if any(names_a_place(name) for name, _ in named) else CodeFiles(), named)
    remember_bases({name: base_of(name) for name, kind in named if kind == "algorithm"})


def _is_own(facts: Mapping[str, Any], references: list[OwnReference]) -> bool:
    known = facts.get(CODE_FOLDER)
    if not isinstance(known, Mapping):
        return False
    content = {name: value for name, value in known.items() if name != "signature"}
    complete = {one.reference for one in references} <= set(content.get("references", ()))
    return complete and is_own(_digest(content), str(known.get("signature")))


def _digest(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True)
    return f"own code of an agent {hashlib.sha256(text.encode()).hexdigest()}"
