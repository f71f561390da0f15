"""Times of a scheduler that follow from the length of a trial."""

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.sampling.objective import full_budget


def eighth_unless_given(config: ExperimentConfig, given: int | None) -> int:
    """Return timesteps, or paths, as given, else an eighth of those of a whole trial."""
    return given if given is not None else max(1, full_budget(config) // 8)
