"""A policy that draws its actions at random: what costs and chance alone do to an account."""

import numpy as np

from finrl_ray._typing import FloatArray
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.market_data import MarketData
from finrl_ray.env.make import make_vec_env
from finrl_ray.env.orders.discrete import random_actions
from finrl_ray.env.own.streams import preserved_global_streams
from finrl_ray.env.scaling import fitted_scaling

N_ACCOUNTS = 64
N_OWN_ACCOUNTS = 8
"""Of an env of the user's, whose accounts are stepped one after the other."""


def random_policy_curves(
    market_data: MarketData, config: EnvConfig, *, seed: int = 0, n_accounts: int = N_ACCOUNTS
) -> FloatArray:
    """Return the account values of accounts whose actions are uniform within [-1, 1].

    Of an env of the user's (`env.class`) actions are drawn from its action space, and accounts are
    at most `N_OWN_ACCOUNTS`.

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
    config = config.without_own_reward()
    if config.class_ is not None:
        return _own_curves(market_data, config, seed, min(n_accounts, N_OWN_ACCOUNTS))
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


def _own_curves(
    market_data: MarketData, config: EnvConfig, seed: int, n_accounts: int
) -> FloatArray:
    curves = np.empty((n_accounts, market_data.n_periods))
    with preserved_global_streams():
        env = make_vec_env(market_data, config, n_envs=n_accounts, seed=seed, training=False)
        env.reset()
        env.action_space.seed(seed)
        left = set(range(n_accounts))
        while left:
            actions = np.stack([env.action_space.sample() for _ in range(n_accounts)])
            _, _, dones, infos = env.step(actions)
            for index in left & set(np.flatnonzero(dones).tolist()):
                curves[index] = infos[index]["account_history"].account_value
                left.discard(index)
        env.close()
    return curves
