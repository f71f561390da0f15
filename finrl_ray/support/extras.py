"""Packages that only some algorithms, searchers, schedulers and trackers need: the extras."""

import importlib.util
from collections.abc import Mapping
from types import MappingProxyType

from finrl_ray.errors import ConfigError

EXTRAS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "hyperopt": ("hyperopt",),
        "bohb": ("hpbandster", "ConfigSpace"),
        "pb2": ("sklearn",),
        "mlflow": ("mlflow",),
        "wandb": ("wandb",),
        "contrib": ("sb3_contrib",),
        "onnx": ("onnx", "onnxruntime"),
    }
)
"""Modules that each extra brings."""


def require_extra(extra: str, needed_by: str) -> None:
    """Refuse a choice whose extra is not installed.

    Raises
    ------
    ConfigError
        With the command that installs it.
    """
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{needed_by} needs {' and '.join(missing)}, which is not installed: "
            f"pip install 'finrl-ray[{extra}]'"
        )
