"""Private names of Ray stand in one place each, so that an upgrade of Ray is one look."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import REPOSITORY

PACKAGE = REPOSITORY / "finrl_ray"
HOMES = ("cluster/ray_internals.py", "cluster/tune_internals.py")
PRIVATE_MODULES = ("ray.tune.execution", "ray.tune.impl", "ray.core", "ray.dashboard")
SUBCLASSES_OF_RAYS = ("search/schedulers/",)
"""Files of subclasses, which import private base classes of the schedulers that they extend."""


def private_imports(tree: ast.Module) -> Iterator[str]:
    """Yield the names of Ray that a file imports or reads and that are private."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ray":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "ray")
        elif isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if text.startswith("ray."):
                yield text
        elif isinstance(node, ast.Constant) and str(node.value).startswith("ray.core."):
            yield str(node.value)


def is_private(name: str) -> bool:
    hidden = any(part.startswith("_") and part != "__version__" for part in name.split("."))
    return hidden or name.startswith(PRIVATE_MODULES)


def found_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return sorted({name for name in private_imports(tree) if is_private(name)})


@pytest.mark.parametrize("home", HOMES)
def test_the_homes_have_private_names_and_say_with_which_ray_they_were_tried(home: str) -> None:
    assert found_in(PACKAGE / home)
    assert "Tried with Ray 2." in (PACKAGE / home).read_text(encoding="utf-8")


def test_no_other_file_imports_private_names_of_ray() -> None:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in HOMES and not name.startswith(SUBCLASSES_OF_RAYS):
            found[name] = found_in(path)
    assert {name: names for name, names in found.items() if names} == {}
