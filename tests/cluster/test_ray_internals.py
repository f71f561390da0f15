"""Private names of Ray stand in one folder, so that an upgrade of Ray is one look."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import ray
from repository import REPOSITORY

PACKAGE = REPOSITORY / "finrl_ray"
HOMES = (
    "cluster/ray_internals.py",
    "cluster/scheduler_internals.py",
    "cluster/tune_controller.py",
    "cluster/tune_internals.py",
    "cluster/tune_worker.py",
)
PRIVATE_MODULES = ("ray.tune.execution", "ray.tune.impl", "ray.core", "ray.dashboard")
RAYS_FOLDER = Path(ray.__file__).parent
HANDLED = (
    "tune/schedulers",
    "tune/search",
    "tune/experiment",
    "tune/execution",
    "air/integrations",
)
"""Folders of the classes of which this package makes objects, or is given some."""
OUTSIDE = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).as_posix() not in HOMES
)


def is_hidden(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def members(tree: ast.AST) -> Iterator[str]:
    """Yield the private methods and attributes that classes of a source define."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_hidden(node.name):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if is_hidden(node.attr):
                yield node.attr
        elif isinstance(node, ast.ClassDef):
            named = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            yield from (n.id for n in named if isinstance(n.ctx, ast.Store) and is_hidden(n.id))


@cache
def rays_members() -> set[str]:
    sources = (path for folder in HANDLED for path in (RAYS_FOLDER / folder).rglob("*.py"))
    return {name for path in sources for name in members(parsed(path))}


@cache
def members_of_class(base: type) -> frozenset[str]:
    """Return the private members that a class of Ray and those above it define."""
    found: set[str] = set()
    for above in base.__mro__:
        if above.__module__.split(".")[0] == "ray":
            found |= set(members(ast.parse(inspect.cleandoc("\n" + inspect.getsource(above)))))
    return frozenset(found)


def imported(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Return where each name of a file comes from: the module, and the name there."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                found[alias.asname or alias.name] = (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (alias.name, "")
    return found


@cache
def inherited(path: Path, name: str) -> frozenset[str]:
    """Return the private members that a class of the package has from Ray's, by name."""
    tree = parsed(path)
    origin = imported(tree)
    (found,) = (n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    classes = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    out: set[str] = set()
    for base in found.bases:
        first, _, rest = ast.unparse(base).split("[")[0].partition(".")
        module, inner = origin.get(first, ("", ""))
        if first in classes:
            out |= inherited(path, first)
        elif module.split(".")[0] == "ray":
            parts = [part for part in (inner, rest) if part]
            out |= members_of_class(rays_class(module, parts))
        elif module.startswith("finrl_ray."):
            home = REPOSITORY / (module.replace(".", "/") + ".py")
            if home.exists():
                out |= inherited(home, inner)
    return frozenset(out)


def rays_class(module: str, parts: list[str]) -> type:
    found = importlib.import_module(module)
    for part in parts:
        found = getattr(found, part, None) or importlib.import_module(f"{found.__name__}.{part}")
    assert isinstance(found, type)
    return found


def uses_of_members(path: Path) -> Iterator[str]:
    """Yield where a file reads, sets, calls or overrides private members of Ray's objects.

    In a class that derives from one of Ray's these are the members that it inherits; anywhere else
    they are those of all classes of Ray that are handled here, which the file does not define.
    """
    tree = parsed(path)
    inside: dict[ast.AST, ast.ClassDef] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            inside |= dict.fromkeys(ast.walk(node), node)
    own = set(members(tree)) | {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    for node in ast.walk(tree):
        holder = inside.get(node)
        taboo = inherited(path, holder.name) if holder is not None else frozenset()
        for name, of_self in used(node):
            if name in taboo or (not of_self and name in rays_members() - own):
                yield f"{getattr(node, 'lineno', 0)}: {name}"


def used(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each private member that a node names, and whether it is one of `self`."""
    if isinstance(node, ast.FunctionDef) and is_hidden(node.name):
        yield node.name, True
    elif isinstance(node, ast.Attribute) and is_hidden(node.attr):
        of = ast.unparse(node.value)
        yield node.attr, of in ("self", "cls", "super()")
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
        name = node.args[1]
        if isinstance(name, ast.Constant) and is_hidden(str(name.value)):
            yield str(name.value), ast.unparse(node.args[0]) == "self"


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
    return sorted({name for name in private_imports(parsed(path)) if is_private(name)})


@pytest.mark.parametrize("home", HOMES)
def test_the_homes_have_private_names_and_say_with_which_ray_they_were_tried(home: str) -> None:
    assert found_in(PACKAGE / home)
    assert "Tried with Ray 2." in (PACKAGE / home).read_text(encoding="utf-8")


def test_no_other_file_imports_private_names_of_ray() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): found_in(path) for path in OUTSIDE}
    assert {name: names for name, names in found.items() if names} == {}


def test_no_other_file_uses_or_overrides_private_members_of_rays_objects() -> None:
    found = {path.relative_to(PACKAGE).as_posix(): list(uses_of_members(path)) for path in OUTSIDE}
    assert {name: uses for name, uses in found.items() if uses} == {}


@pytest.mark.parametrize(
    ("home", "known"),
    [
        (
            "scheduler_internals",
            {"_brackets", "_exploit", "_time_attr", "_on_insufficient_samples"},
        ),
        ("tune_internals", {"_handle_ray_actor_error", "_cleanup_logging_actors"}),
    ],
)
def test_the_members_that_the_homes_are_for_are_seen(home: str, known: set[str]) -> None:
    """What finds nothing elsewhere finds these."""
    seen = {use.split(": ")[1] for use in uses_of_members(PACKAGE / f"cluster/{home}.py")}
    assert known <= seen


LEAKS = {
    "a subclass that overrides": "    def _exploit(self, a, b, c):\n        return None\n",
    "a subclass that reads": "    def x(self):\n        return self._trial_state\n",
    "a subclass that calls": "    def x(self):\n        return super()._quantiles()\n",
}


@pytest.mark.parametrize("body", LEAKS.values(), ids=LEAKS)
def test_a_subclass_that_touches_private_members_is_found(body: str, tmp_path: Path) -> None:
    path = tmp_path / "leak.py"
    base = "from finrl_ray.search.schedulers.pbt import PopulationBase\n\n\n"
    path.write_text(f"{base}class Leak(PopulationBase):\n    _own = 1\n\n{body}", encoding="utf-8")
    assert len(list(uses_of_members(path))) == 1


def test_a_function_that_touches_private_members_is_found(tmp_path: Path) -> None:
    path = tmp_path / "leak.py"
    body = 'def f(a, b):\n    return a._rungs, getattr(b, "_time_attr", ""), b._mine\n'
    path.write_text(body, encoding="utf-8")
    assert list(uses_of_members(path)) == ["2: _rungs", "2: _time_attr"]
