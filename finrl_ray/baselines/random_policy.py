"""A policy that draws its actions at random: what costs and chance alone do to an account."""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.orders.discrete import random_actions
from finrl_ray.env.scaling import fitted_scaling

N_ACCOUNTS = 64


def random_policy_curves(
    market_data: MarketData, config: EnvConfig, *, seed: int = 0, n_accounts: int = N_ACCOUNTS
) -> FloatArray:
    """Return the account values of accounts whose actions are uniform within [-1, 1].

    Whether they are orders or target weights is the config's choice, as for the agents; of weights,
    half are 0 and the others share the account. Of discrete actions each choice is as likely.

    Parameters
    ----------
    market_data : the window, T rows
    config : account, costs and rules, as the agents trade under
    seed : of the actions
    n_accounts : E

    Returns
    -------
    array of shape (E, T), currency
    """
    # what is observed does not matter, but the env asks for a scaling where the config has one
    env = make_vec_env(
        market_data,
        config,
        n_envs=n_accounts,
        seed=seed,
        scaling=fitted_scaling(config, market_data),
        training=False,
        record_trades=False,
    )
    env.reset()
    rng = np.random.default_rng(seed)
    curves = np.empty((n_accounts, market_data.n_periods))
    left = n_accounts
    while left:
        _, _, dones, infos = env.step(random_actions(env.action_space, n_accounts, rng))
        for index in np.flatnonzero(dones):
            curves[index] = infos[index]["account_history"].account_value
            left -= 1
    return curves
