"""The look that a search takes at `env.class` before it starts."""

from collections.abc import Mapping

import numpy as np

from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.own.construct import OwnEnv, load_env
from finrl_ray.env.own.make import make_own_vec_env
from finrl_ray.env.own.streams import preserved_global_streams
from finrl_ray.errors import ConfigError
from finrl_ray.testing.env_checks import EnvChecks
from finrl_ray.testing.env_runs import Subject

_FEW_STEPS = 5
VALIDATION = "validation"


def require_own_env(
    config: EnvConfig,
    windows: Mapping[str, MarketData],
    *,
    n_envs: int = 2,
    with_gaps: MarketData | None = None,
) -> tuple[str, ...]:
    """Check an env of the user's on the windows of a search.

    It is built and reset on each; on the validation window a whole episode is run, and
    determinism, causality and the exact state are looked at.

    Parameters
    ----------
    config : whose class is checked
    windows : by name; `validation` is one of them
    n_envs : accounts of a training env
    with_gaps : training rows with gaps between them, if a search has such

    Returns
    -------
    tuple of str
        What the env does not give and a search does without, in sentences.

    Raises
    ------
    ConfigError
        Naming what must hold, with the file and the line of the class.
    """
    with preserved_global_streams():
        own = load_env(config)
        checks = EnvChecks(Subject(own=own, config=config, market=windows[VALIDATION]))
        found = checks.run_all()
        broken = [finding for finding in found if finding.level == "broken"]
        if broken:
            raise ConfigError(refusal(own, [str(finding) for finding in broken]))
        spaces = []
        for name, market in windows.items():
            try:
                spaces.append((name, *_stepped(own, config, market, name == "train", n_envs)))
            except ConfigError as error:
                raise ConfigError(f"the {name} window: {error}") from error
        if with_gaps is not None:
            _stepped(own, config, with_gaps, True, n_envs)
    for name, observed, acted in spaces[1:]:
        if (observed, acted) != spaces[0][1:]:
            raise ConfigError(
                refusal(
                    own,
                    [
                        f"its spaces must be the same on every window, and on the {name} window "
                        f"they are {observed} and {acted}, on the {spaces[0][0]} window "
                        f"{spaces[0][1]} and {spaces[0][2]}"
                    ],
                )
            )
    return tuple(str(f) for f in found if f.level in ("missing", "doubt"))


def refusal(own: OwnEnv, sentences: list[str]) -> str:
    """Return one message of what a search refuses."""
    text = "; ".join(sentences)
    named = "" if own.place in text else f"{own.place}: "
    key = "" if text.startswith("env.class") else f"env.class {own.reference}: "
    return f"{key}{named}{text} (finrl-ray check {own.reference} looks at all of it)"


def _stepped(
    own: OwnEnv, config: EnvConfig, market: MarketData, training: bool, n_envs: int
) -> tuple[str, str]:
    """Take a few steps, and return the spaces in words."""
    env = make_own_vec_env(
        market, config, n_envs=n_envs if training else 1, seed=0, training=training, own=own
    )
    env.reset()
    if training:
        env.action_space.seed(0)
        for _ in range(_FEW_STEPS):
            env.step(np.array([env.action_space.sample() for _ in range(env.num_envs)]))
    env.close()
    return str(env.observation_space), str(env.action_space)
