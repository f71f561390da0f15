"""Importing own code from its content, in any process, without a file on its disk.

One search's code is active in a process at a time. Its modules are imported under their own names,
so that classes of theirs can be named, compared and pickled as ever.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from types import ModuleType

from finrl_ray.errors import ConfigError
from finrl_ray.own_code.code_files import CodeFiles


class _CodeLoader(importlib.abc.ExecutionLoader):
    """Compiles modules of a `CodeFiles`."""

    def __init__(self, code: CodeFiles) -> None:
        self.code = code

    def get_filename(self, fullname: str) -> str:
        """Return where the module's file lay."""
        return self.code.place(self._path(fullname))

    def get_source(self, fullname: str) -> str:
        """Return the module's text."""
        return importlib.util.decode_source(self.code.files[self._path(fullname)])

    def is_package(self, fullname: str) -> bool:
        """Return whether the module is a package."""
        return self._path(fullname).endswith("/__init__.py")

    def _path(self, fullname: str) -> str:
        path = self.code.path_of(fullname)
        if path is None:
            raise ImportError(f"there is no module {fullname} in the search's own code")
        return path


class _CodeFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of the active code before Python looks on its path."""

    def __init__(self) -> None:
        self.code = CodeFiles()
        self.named: tuple[tuple[str, str], ...] = ()
        self.loader = _CodeLoader(self.code)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of a module of the active code; None for any other."""
        if fullname.partition(".")[0] not in self.code.modules:
            return None
        file = self.code.path_of(fullname)
        if file is not None:
            locations = [fullname] if self.loader.is_package(fullname) else None
            return importlib.util.spec_from_file_location(
                fullname,
                self.code.place(file),
                loader=self.loader,
                submodule_search_locations=locations,
            )
        if not self.code.has_folder(fullname):
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [fullname]
        return spec


_FINDER = _CodeFinder()


def active_code() -> CodeFiles:
    """Return the code that is active in this process."""
    return _FINDER.code


def named_code() -> tuple[tuple[str, str], ...]:
    """Return the references, each with its kind, of the config whose code is active."""
    return _FINDER.named


def activate(code: CodeFiles, named: Iterable[tuple[str, str]] = ()) -> None:
    """Make a search's own code what its names import in this process.

    Modules of these names that were imported before, of another search's code or from a file that
    may have changed since, are forgotten, so that the next import runs the code given here.

    Parameters
    ----------
    code : the files
    named : the references of the search's config, each with its kind

    Raises
    ------
    ConfigError
        If a file has the name of a module of Python or of this package.
    """
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    former, _FINDER.named = _FINDER.code, tuple(named)
    if former.digest == code.digest:
        return
    taken = sorted(code.modules & {*sys.stdlib_module_names, "finrl_ray"})
    if taken:
        raise ConfigError(
            f"own code must not have the names of modules of Python or of this package, got "
            f"{', '.join(taken)}; give the files other names"
        )
    for name in list(sys.modules):
        loader = getattr(getattr(sys.modules[name], "__spec__", None), "loader", None)
        # also what has not changed itself: it may have imported what has
        if isinstance(loader, _CodeLoader) or name.partition(".")[0] in code.modules:
            del sys.modules[name]
    _FINDER.code = code
    _FINDER.loader = _CodeLoader(code)
