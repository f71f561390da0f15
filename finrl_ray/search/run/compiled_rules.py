"""The trading rules are compiled by the driver, before the first trial, and it says so.

Else every process of a trial would compile them for itself at its first step, while the view of the
search shows no steps and no reason.
"""

import logging
from collections.abc import Mapping

import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.config.trial.config_of_sample import config_of_sample
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.machine.compiled_cache import compiling_noted
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.sampling.domains import Domain, corner_samples

logger = logging.getLogger(__name__)

MESSAGE = (
    "Compiling the trading rules for this processor, some 15 seconds on an idle one; the compiled "
    "code is kept, so that later searches start at once."
)
_MOST = 8


def compile_rules(folder: SearchFolder, space: Mapping[str, Domain]) -> None:
    """Step the envs that the trials of a search may have once, and log if that compiles something.

    What is compiled is kept on disk, where the trials on this machine find it. Where it was kept
    before, this takes a part of a second.

    Parameters
    ----------
    folder : of the search
    space : its search space, whose options of the env may need other parts of the rules
    """
    if folder.config.env.class_ is not None:
        return  # an env of the user's has rules of its own
    with compiling_noted(lambda: logger.warning(MESSAGE)):
        seen: list[EnvConfig] = []
        for sample in corner_samples(space):
            config = config_of_sample(folder.config, sample).env
            if config not in seen and len(seen) < _MOST:
                seen.append(config)
                _step(config, market_of_sample(folder.final_train_data, sample))


def _step(config: EnvConfig, data: MarketData) -> None:
    env = make_vec_env(data, config, scaling=fitted_scaling(config, data), seed=0)
    env.reset()
    space = env.action_space
    env.step(np.zeros((1, *(space.shape or ())), dtype=space.dtype))
    env.close()
