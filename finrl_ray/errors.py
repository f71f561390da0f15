"""The four exception classes of finrl_ray.

Every message says what must hold, what came, where, and what to do.
"""


class FinRLRayError(Exception):
    """Base class of every error that finrl_ray raises on purpose."""


class ConfigError(FinRLRayError, ValueError):
    """A configuration that cannot be run: unknown key, wrong type, impossible combination."""


class DataError(FinRLRayError, ValueError):
    """Prices or features that cannot be used, with the ticker, date and column where known."""


class SearchError(FinRLRayError, RuntimeError):
    """A search, or its folder, that cannot be started, resumed or read."""
