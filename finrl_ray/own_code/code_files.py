"""`CodeFiles`: the source files that a search's own code consists of, as content with a hash.

They are found from the references of a config: the file or package of each, and what these import
that lies beside them. They travel as content, so that every process, on any machine, runs what the
search began with.
"""

import ast
import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from finrl_ray.errors import ConfigError
from finrl_ray.files.bounded_reading import read_limited
from finrl_ray.files.shown_path import shown_path
from finrl_ray.own_code.reference import module_of, names_a_place

_FILE_BYTES = 4 << 20
_MOST_FILES = 1000
_INSTALLED = tuple(
    {os.path.realpath(p) for name, p in sysconfig.get_paths().items() if name != "data"}
)


@dataclass(frozen=True, eq=False)
class CodeFiles:
    """Python source files by their path relative to the folder that modules are imported from.

    Parameters
    ----------
    files : content by relative path, with `/` between folders
    places : where each lay when it was read, for messages
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names of the modules and packages at the top."""
        return frozenset(PurePosixPath(p).parts[0].removesuffix(".py") for p in self.files)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each file, by its path."""
        return {path: hashlib.sha256(self.files[path]).hexdigest() for path in sorted(self.files)}

    @cached_property
    def digest(self) -> str:
        """The SHA-256 over paths and contents; empty without files."""
        if not self.files:
            return ""
        text = "".join(f"{path}\0{digest}\n" for path, digest in self.hashes.items())
        return hashlib.sha256(text.encode()).hexdigest()

    def path_of(self, module: str) -> str | None:
        """Return the path of a module's file, of a package that of its `__init__.py`; or None."""
        base = module.replace(".", "/")
        return next((p for p in (f"{base}.py", f"{base}/__init__.py") if p in self.files), None)

    def has_folder(self, module: str) -> bool:
        """Return whether a name is that of a folder with files, with or without `__init__.py`."""
        return any(path.startswith(f"{module.replace('.', '/')}/") for path in self.files)

    def place(self, path: str) -> str:
        """Return where a file lay, or its path."""
        return self.places.get(path, path)

    def name_of(self, filename: str) -> str:
        """Return the path of the file that a traceback names; empty if it is none of these."""
        for path in self.files:
            if filename in (path, self.place(path)):
                return path
        return ""

    def write(self, folder: Path) -> None:
        """Write the files below a folder.

        Raises
        ------
        OSError
            If they cannot be written.
        """
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def read_code(folder: Path, paths: Iterable[str]) -> CodeFiles:
    """Return files that `CodeFiles.write` has written; those that are missing are left out.

    Parameters
    ----------
    folder : below which they lie
    paths : relative, checked by the caller to stay inside
    """
    found = {path: folder / path for path in paths if (folder / path).is_file()}
    return CodeFiles(
        files={path: _content(place) for path, place in found.items()},
        places={path: str(place) for path, place in found.items()},
    )


def collect_code(references: Mapping[str, Any], folder: Path) -> CodeFiles:
    """Return the files of the user's that references need.

    Parameters
    ----------
    references : key of the config -> reference; entry points need no files
    folder : of the config

    Raises
    ------
    ConfigError
        Naming key, file, line and remedy, where there is no such module, its name is taken, or a
        file is not Python.
    """
    roots: dict[str, Path] = {}
    files: dict[str, Path] = {}
    wanted = [
        (module_of(reference).partition(".")[0], f"{key} {reference}")
        for key, reference in references.items()
        if names_a_place(reference)
    ]
    while wanted:
        module, needed_by = wanted.pop()
        if module in roots:
            continue
        found = _root_of(module, folder, needed_by)
        if found is None:
            continue
        roots[module] = found
        for path in _files_of(found / module):
            files[path.relative_to(found).as_posix()] = path
            wanted += [
                (name, f"{path.name}, line {line}: import {name}")
                for name, line in _imports(path, needed_by)
                if _lies_beside(name, found)
            ]
        if len(files) > _MOST_FILES:
            raise ConfigError(
                f"{needed_by}: {module} has more than {_MOST_FILES:,} files; put your code into a "
                "folder of its own, or install it as a package on every machine"
            )
    return CodeFiles(
        files={path: _content(place) for path, place in sorted(files.items())},
        places={path: str(place.absolute()) for path, place in files.items()},
    )


def _root_of(module: str, folder: Path, needed_by: str) -> Path | None:
    """Return the folder in which a module of the user's lies; None for one that is installed."""
    if _lies_beside(module, folder):
        _refuse_taken_name(module, folder, needed_by)
        return folder.absolute()
    if module == "finrl_ray" or module in sys.stdlib_module_names:
        return None
    place = _importable_place(module)
    if place is None:
        raise ConfigError(
            f"{needed_by}: there is no module {module!r}: neither {module}.py in "
            f"{shown_path(folder.absolute())}, the folder of the config, nor an installed package; "
            "put the file there, or install the package"
        )
    return None if _is_installed(place) else place


def _importable_place(module: str) -> Path | None:
    """Return the folder that a module would be imported from."""
    loaded = sys.modules.get(module)
    try:
        spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return None
    locations = list(spec.submodule_search_locations or ())
    if locations:
        return Path(locations[0]).parent
    return Path(spec.origin).parent if spec.origin else Path(_INSTALLED[0])


def _is_installed(place: Path) -> bool:
    real = os.path.realpath(place)
    if {"site-packages", "dist-packages"} & set(Path(real).parts):
        return True
    return any(real == base or real.startswith(base + os.sep) for base in _INSTALLED)


def _refuse_taken_name(module: str, folder: Path, needed_by: str) -> None:
    """Refuse a file that has the name of a module of Python or of an installed package."""
    taken = "Python itself" if module in sys.stdlib_module_names else ""
    if not taken:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            spec = None
        origin = spec.origin if spec is not None else None
        if origin and _is_installed(Path(origin).parent):
            taken = "an installed package"
    if taken:
        raise ConfigError(
            f"{needed_by}: {module}.py in {shown_path(folder.absolute())} has the name of a module "
            f"of {taken}, which would be imported in its place or the other way round; give the "
            f"file another name, such as my_{module}.py"
        )


def _lies_beside(module: str, folder: Path) -> bool:
    if module == "finrl_ray":
        return False  # of a working copy of this package: what runs is no code of the user's
    package = folder / module
    return (folder / f"{module}.py").is_file() or (
        package.is_dir() and any(package.rglob("*.py")) and not (package / "pyvenv.cfg").exists()
    )


def _files_of(base: Path) -> list[Path]:
    """Return the files of a module or package, given its path without suffix."""
    single = base.with_name(f"{base.name}.py")
    if (base / "__init__.py").is_file() or not single.is_file():
        return sorted(p for p in base.rglob("*.py") if "__pycache__" not in p.parts)
    return [single]


def _imports(path: Path, needed_by: str) -> Iterator[tuple[str, int]]:
    """Yield the top-level names that a file imports, and the lines."""
    try:
        tree = ast.parse(_content(path), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        text = (getattr(error, "text", None) or "").strip()
        at = f", line {line}: {text}" if line else ""
        raise ConfigError(
            f"{needed_by}: {shown_path(path)} is not valid Python ({type(error).__name__}: "
            f"{getattr(error, 'msg', error)}{at}); mend it there"
        ) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0], node.lineno


def _content(path: Path) -> bytes:
    return read_limited(path, _FILE_BYTES, ConfigError)
