"""What is private in SB3 is used where `sb3_internals` says, and nowhere else."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import stable_baselines3
from repository import REPOSITORY

from finrl_ray.agents import sb3_internals
from finrl_ray.agents.sb3_internals import COUNTERS, LAST_VALUES, OF_SUBCLASSES, OU_NOISE_FIELDS

PACKAGE = REPOSITORY / "finrl_ray"
INTERNALS = PACKAGE / "agents" / "sb3_internals.py"
OWNERS = ("self", "super()")
"""A subclass uses its own base by these; the names that it may use are in `OF_SUBCLASSES`."""


def _private_names(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """Yield the owner, the name and the line of each private attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr):
            yield ast.unparse(node.value), node.attr, node.lineno


def _defined(tree: ast.AST) -> set[str]:
    """Return the private names that a module defines: functions, classes, attributes of self."""
    found = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


def _trees(folder: Path) -> dict[Path, ast.AST]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.rglob("*.py")}


@pytest.fixture(scope="module")
def ours() -> dict[Path, ast.AST]:
    return _trees(PACKAGE)


@pytest.fixture(scope="module")
def sb3_names() -> set[str]:
    """The private names that SB3's modules define."""
    root = Path(inspect.getfile(stable_baselines3)).parent
    return {
        name
        for tree in _trees(root).values()
        for name in _defined(tree)
        if re.match(r"_[a-z]", name)
    }


def test_nobody_else_reaches_into_an_object_of_sb3(ours, sb3_names) -> None:
    everywhere = {name for tree in ours.values() for name in _defined(tree)}
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {owner}.{name}"
        for path, tree in ours.items()
        if path != INTERNALS
        for owner, name, line in _private_names(tree)
        if owner not in OWNERS
        and name in sb3_names
        # a name that some class of the package has too is judged by its owner
        and (name not in everywhere - set(OF_SUBCLASSES) or re.search(r"\bmodel$", owner))
    ]
    assert found == []


def test_subclasses_use_what_is_listed(ours, sb3_names) -> None:
    used: set[str] = set()
    for path, tree in ours.items():
        if path == INTERNALS:
            continue
        own = _defined(tree)
        mine = {name for owner, name, _ in _private_names(tree) if owner in OWNERS}
        hooks = own & set(OF_SUBCLASSES)
        used |= hooks | (mine & set(OF_SUBCLASSES))
        bases = "stable_baselines3" in path.read_text(encoding="utf-8")
        unlisted = (mine & sb3_names) - own - set(OF_SUBCLASSES) if bases else set()
        assert unlisted == set(), path
    assert used == set(OF_SUBCLASSES)


def test_sb3_has_every_name(sb3_names) -> None:
    listed = {*OF_SUBCLASSES, *COUNTERS, *LAST_VALUES, *OU_NOISE_FIELDS}
    assert {name for name in listed if name.startswith("_")} <= sb3_names


def test_the_version_that_was_tried_is_the_pinned_one() -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8")
    version = re.search(r"^stable[_-]baselines3==(\S+)$", pinned, re.MULTILINE)
    assert version is not None
    assert f"SB3 {version[1]}" in (sb3_internals.__doc__ or "")
