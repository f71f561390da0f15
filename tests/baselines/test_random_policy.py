"""Random accounts, of this package's env and of a user's."""

import numpy as np
from own_envs import wandering_market

from finrl_ray.baselines.random_policy import random_policy_curves
from finrl_ray.config.env import EnvConfig


def test_accounts_of_an_own_class_draw_from_its_action_space() -> None:
    market = wandering_market(30)
    config = EnvConfig(class_="own_envs:ValueEnv")
    curves = random_policy_curves(market, config, seed=1)
    assert curves.shape == (8, 30)
    assert (curves[:, 0] == 1e6).all()
    assert len(set(curves[:, -1].tolist())) == 8
    np.testing.assert_array_equal(curves, random_policy_curves(market, config, seed=1))
