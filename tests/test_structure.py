"""The house stays as it is laid out: small folders, files and functions, and no import cycle."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import REPOSITORY

PACKAGE = REPOSITORY / "finrl_ray"
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in FILES})
MOST_FILES = 20
MOST_ROOT_MODULES = 4
MOST_LINES = 600
MEDIAN_LINES = (100, 300)
P90_FUNCTION_LINES = 40


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> Iterator[str]:
    """Give the modules of this package that a file imports, lazily and for annotations too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """Return modules that import one another in a circle, the first one again at the end."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(arrows.get(module, ())):
            found = visit(other, [*way, module])
            if found:
                return found
        done.add(module)
        return []

    return next((found for module in sorted(arrows) if (found := visit(module, []))), [])


def test_a_circle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycle({module: set(imported(path)) for module, path in MODULES.items()}) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_folder_is_seen_at_one_look(folder: Path) -> None:
    assert len([path for path in folder.iterdir() if path.is_file()]) <= MOST_FILES
    assert len(folder.relative_to(PACKAGE).parts) <= 2


def test_few_modules_lie_at_the_root() -> None:
    loose = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert len(loose) <= MOST_ROOT_MODULES, loose


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {str(path): n for path, n in lengths.items() if n > MOST_LINES}
    assert not long
    low, high = MEDIAN_LINES
    assert low <= statistics.median(n for path, n in lengths.items() if n > 1) <= high


def test_functions_are_short() -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.quantiles(lengths, n=10)[-1] < P90_FUNCTION_LINES


def test_the_notes_on_dependencies_name_files_that_exist() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    start, end = text.index("dependencies = ["), text.index("[project.scripts]")
    notes = re.findall(r"#(.*)", text[start:end])
    named = {
        place
        for note in notes
        for place in re.findall(r"[\w/.]+/(?:[\w]+\.\w+)?|\b\w+\.(?:py|yml|yaml)\b", note)
    }
    assert len(named) > 20
    missing = [
        place
        for place in sorted(named)
        if not any((root / place).exists() for root in (PACKAGE, REPOSITORY))
    ]
    assert not missing


def test_each_dependency_has_a_note() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    start, end = text.index("dependencies = ["), text.index("[project.optional-dependencies]")
    lines = [line for line in text[start:end].splitlines() if line.strip().startswith('"')]
    assert len(lines) > 20
    assert [line for line in lines if "#" not in line] == []
