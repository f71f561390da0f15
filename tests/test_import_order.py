"""Imports point to a lower floor or stay in their own folder, TYPE_CHECKING blocks included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY

PACKAGE = REPOSITORY / "finrl_ray"
FLOORS = {
    # what every file may use
    "errors": 0,
    "_typing": 0,
    "_version": 0,
    "support": 1,
    "files": 2,
    "machine": 3,
    "own_code": 3,
    # Ray, stores and the config file
    "cluster": 4,
    "storage": 4,
    "config": 5,
    # from prices to a judged agent
    "data": 6,
    "env": 7,
    "metrics": 2,
    "statistics": 3,
    "learners": 8,
    "agents": 9,
    "baselines": 9,
    "training": 10,
    "testing": 10,
    # what a trained agent does tomorrow
    "deployment": 11,
    # a search, from what is sampled to how it is run
    "search.sampling": 11,
    "search.schedulers": 12,
    "search.journal": 12,
    "search.folder": 13,
    "search.results": 14,
    "search.worker": 14,
    "search.loggers": 14,
    "search.reproduce": 15,
    "search.tune": 15,
    "search.run": 16,
    # around a search
    "monitoring": 17,
    "jobs": 17,
    "workflows": 17,
    "diagnostics": 17,
    "report": 18,
    "compat": 19,
    "cli": 19,
    "__main__": 20,
}
"""Each room's floor; imports point to a lower one. Those of `search/` are rooms of their own."""
FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path not in (PACKAGE / "__init__.py", PACKAGE / "search" / "__init__.py")
)


def _room(parts: tuple[str, ...]) -> str:
    return ".".join(parts[:2]) if parts[0] == "search" else parts[0]


def _imported_modules(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.append((node.lineno, node.module or ""))
        elif isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = _room(path.relative_to(PACKAGE).with_suffix("").parts)
    for line, module in _imported_modules(path):
        if not module.startswith("finrl_ray"):
            continue
        _, *parts = module.split(".")
        where = f"{path.relative_to(PACKAGE)}:{line}"
        if not parts:
            pytest.fail(f"{where} imports from the package root")
            continue
        other = _room(tuple(parts))
        allowed = other == own or FLOORS[other] < FLOORS[own]
        assert allowed, (
            f"{where}: {own} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"
        )


def test_every_room_has_a_floor() -> None:
    rooms = {_room(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES}
    assert rooms == set(FLOORS)


def test_importing_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "ray", "pandas", "numba", "pydantic")
    code = f"import sys, finrl_ray.cli.main; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
