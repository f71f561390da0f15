"""The user's own metrics that an experiment names, loaded and checked."""

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.own_code.metric import OwnMetric, load_metric


def metrics_of(config: ExperimentConfig) -> tuple[OwnMetric, ...]:
    """Return the user's metrics that a config names, each once; empty where it names none.

    Raises
    ------
    ConfigError
        If one cannot be loaded or does not pass `check_metric`, or one that is less the better is
        named where more must be.
    """
    loaded = tuple(load_metric(name, kwargs) for name, kwargs in config.own_metrics.items())
    for own in loaded:
        keys = [key for key, names in _maximised(config).items() if own.reference in names]
        if own.mode == "min" and keys:
            raise OwnCodeError(
                f"{own.who} has the mode 'min', and more must be better of what {keys[0]} names; "
                "return the negative of it without a mode"
                + (", or rank by 'objective'" if keys[0] == "search.rank_by" else "")
            )
    return loaded


def _maximised(config: ExperimentConfig) -> dict[str, tuple[str, ...]]:
    search = config.search
    return {"search.rank_by": (search.rank_by,), "search.objectives": search.objectives}
