"""Imports point to a lower floor or stay in their own folder, TYPE_CHECKING blocks included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "finrl_ray"
FLOORS = {
    "errors": 0,
    "_typing": 0,
    "search_config": 1,
    "validation_config": 1.5,
    "config": 2,
    "metrics": 1,
    "ray_security": 1,
    "zoo_keys": 1,
    "storage_url": 1,
    "object_store": 2,
    "config_file": 3,
    "data": 3,
    "env": 4,
    "learners": 4,
    "agent": 5,
    "training": 6,
    "ray_cluster": 2,
    "trial_checkpoints": 7,
    "ray_session": 7,
    "ray_watch": 1,
    "trainable": 8,
    "fold_training": 7,
    "verdict": 2,
    "baselines": 5,
    "search": 9,
    "report": 10,
    "pipeline": 11,
    "monitoring": 11,
    "ensemble": 11,
    "practice": 12,
    "audit": 13,
    "compat": 13,
    "live_view": 13,
    "jobs": 13,
    "cli_cluster": 14,
    "cli_screen": 14,
    "cli_judging": 15,
    "confirmation": 11,
    "cli": 16,
    "__main__": 17,
}
FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__"
)


def _room(parts: tuple[str, ...]) -> str:
    return parts[0]


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
            assert own in ("cli", "ray_session"), f"{where} imports from the package root"
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
    code = f"import sys, finrl_ray.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
