"""`load_object`: the class or function that a reference names."""

import importlib
from typing import Any

from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import failure
from finrl_ray.own_code.finder import active_code, named_code
from finrl_ray.own_code.kinds import KINDS
from finrl_ray.own_code.reference import names_a_place, published
from finrl_ray.support.text import did_you_mean

_OF_MODELS = ("policy", "features_extractor")


def load_object(reference: str, kind: str) -> Any:
    """Return the class or function that a reference names.

    Of code that is active in this process (see `activate`) its modules are taken, of other modules
    what Python imports.

    Parameters
    ----------
    reference : `module:name`, or the name of an entry point
    kind : of KINDS

    Raises
    ------
    ConfigError
        Naming key, file, line and remedy, if it cannot be imported, there is no such name, or it
        cannot be called.
    """
    found = _from_place(reference, kind) if names_a_place(reference) else _entry(reference, kind)
    if not callable(found):
        raise ConfigError(
            f"{KINDS[kind].key} {reference} must be {KINDS[kind].must_be}, got {found!r:.100}"
        )
    return found


def own_classes() -> dict[str, type[Any]]:
    """Return the classes that models of the active search may be made of, by their full names.

    Raises
    ------
    ConfigError
        If one cannot be loaded.
    """
    found = [load_object(name, kind) for name, kind in named_code() if kind in _OF_MODELS]
    return {f"{one.__module__}.{one.__qualname__}": one for one in found if isinstance(one, type)}


def _entry(name: str, kind: str) -> Any:
    key, group = KINDS[kind].key, KINDS[kind].group
    known = published(group)
    if name not in known:
        listed = f" (installed packages publish {', '.join(known)})" if known else ""
        raise ConfigError(
            f"{key} must be an import path such as my_{kind}:name, or the name of an entry point "
            f"of the group {group}{listed}, got {name!r}."
            f"{did_you_mean(name, known)}"
        )
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:
        raise failure(name, kind, error, f"when {known[name].value} was imported") from error


def _from_place(reference: str, kind: str) -> Any:
    module_name, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _import_failure(reference, kind, error) from error
        if module_name.endswith(".py"):
            raise ConfigError(
                f"{KINDS[kind].key} {reference} must name a module, which has no .py; write "
                f"{module_name.removesuffix('.py')}:{name}"
            ) from None
        raise ConfigError(
            f"{KINDS[kind].key} {reference}: there is no module {error.name!r} here; put its file "
            "into the folder of the config, or install its package on every machine"
        ) from None
    except (Exception, SystemExit) as error:
        raise _import_failure(reference, kind, error) from error
    module = found
    for part in name.split("."):
        if not hasattr(found, part):
            code = active_code()
            file = code.path_of(module_name) or getattr(module, "__file__", module_name)
            names = [known for known in vars(module) if not known.startswith("_")]
            raise ConfigError(
                f"{KINDS[kind].key} {reference}: {file} has no {name!r}; write it there, "
                f"or name another.{did_you_mean(name, names)}"
            )
        found = getattr(found, part)
    return found


def _import_failure(reference: str, kind: str, error: BaseException) -> ConfigError:
    missing = isinstance(error, ModuleNotFoundError)
    doing = "when it was imported" + (" (install what it needs on every machine)" * missing)
    return failure(reference, kind, error, doing)
