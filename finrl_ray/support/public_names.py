"""Names that a package exports without importing their modules before they are used.

The stub beside a package's `__init__.py` is the one table of its names. Type checkers and editors
read it, and `lazy_loader` imports by it.
"""

from collections.abc import Callable
from typing import Any

import lazy_loader

from finrl_ray.support.text import closest

PublicNames = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def public_names(package: str, file: str, before: Callable[[], None]) -> PublicNames:
    """Return `__getattr__`, `__dir__` and `__all__` of a package that is being imported.

    Parameters
    ----------
    package : its `__name__`
    file : its `__file__`; the stub lies beside it
    before : called before a module is imported for one of the names

    Raises
    ------
    ValueError
        If there is no stub.
    """
    load, _, names = lazy_loader.attach_stub(package, file)
    exported = [name for name in names if not name.startswith("_")]

    def get(name: str) -> Any:
        if name not in exported:
            close = closest(name, exported)
            hint = f". Did you mean: {close!r}?" if close else ""  # as Python itself writes it
            raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}")
        before()
        return load(name)

    return get, lambda: [*names], exported
