"""Names that a package exports without importing their modules before they are used.

A package lists its exports once, as imports under `if TYPE_CHECKING`, which type checkers and
editors read:

    if TYPE_CHECKING:
        from package.module import Name as Name
    else:
        __getattr__, __dir__, __all__ = exports(__name__)

`exports` reads the same lines when the package is imported. Type checkers never see the module's
`__getattr__`, which would allow every name.
"""

import ast
import difflib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from inspect import ismodule
from typing import Any

from finrl_ray.files.private_folder import settle_folders

Exports = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def exports(package: str) -> Exports:
    """Return `__getattr__`, `__dir__` and `__all__` of a package that is being imported.

    Parameters
    ----------
    package : its name; its source has the imports of the exports under `if TYPE_CHECKING`

    Raises
    ------
    ImportError
        If its source is not there, as in an installation of compiled files alone.
    """
    homes = exported_names(_source(package))

    def get(name: str) -> Any:
        if name not in homes:
            hint = _suggestion(name, homes)
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        settle_folders()
        return getattr(import_module(homes[name]), name)

    def names() -> list[str]:
        # not what the package needs for this itself
        own = vars(sys.modules[package]).items()
        shown = [name for name, value in own if name.startswith("__") or ismodule(value)]
        return sorted({*shown, *homes})

    return get, names, sorted(homes)


def exported_names(source: str) -> dict[str, str]:
    """Return the names that are imported under `if TYPE_CHECKING`, and the modules they are in."""
    return {
        alias.name: node.module
        for node in _under_type_checking(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == alias.name  # how a re-export is written; others are for annotations
    }


def _under_type_checking(tree: ast.Module) -> Iterator[ast.stmt]:
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.body


def _source(package: str) -> str:
    spec = sys.modules[package].__spec__
    loader: Any = None if spec is None else spec.loader
    source = loader.get_source(package) if hasattr(loader, "get_source") else None
    if source is None:
        raise ImportError(f"the source of {package} is not installed, from which its exports are")
    return str(source)


def _suggestion(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f". Did you mean: {close[0]!r}?" if close else ""
