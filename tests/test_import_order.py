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
    "_exports": 1,
    "counts": 0,
    "environment_variables": 0,
    "shown_path": 0,
    "whole_numbers": 1,
    "progress": 0,
    "cgroups": 1,
    "available_cpus": 2,
    "float32_range": 0,
    "contained_path": 1,
    "disk_room": 1,
    "bounded_reading": 1,
    "yaml_text": 1,
    "search_config": 1,
    "validation_config": 2,
    "config": 3,
    "metrics": 1,
    "private_folder": 0,
    "compiled_cache": 1,
    "ray_security": 1,
    "proxies": 2,
    "interruptions": 0,
    "ray_folder": 1,
    "ray_guard": 1,
    "own_ray": 2,
    "zoo_keys": 1,
    "storage_url": 1,
    "time_zones": 1,
    "object_store": 3,
    "override_values": 2,
    "writable_folder": 1,
    "config_file": 4,
    "data": 4,
    "env": 5,
    "learners": 5,
    "agent": 6,
    "training": 7,
    "ray_cluster": 3,
    "trial_checkpoints": 8,
    "ray_session": 8,
    "ray_watch": 1,
    "trainable": 9,
    "fold_training": 8,
    "verdict": 3,
    "baselines": 6,
    "search": 10,
    "report": 12,
    "pipeline": 12,
    "monitoring": 12,
    "ensemble": 12,
    "practice": 13,
    "audit": 14,
    "compat": 14,
    "live_view": 14,
    "jobs": 14,
    "cli_cluster": 15,
    "cli_screen": 15,
    "cli_judging": 16,
    "cli_reading": 16,
    "confirmation": 11,
    "cli": 17,
    "reference": 5,
    "cli_reference": 18,
    "__main__": 18,
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
