"""Which replay buffer an off-policy model gets."""

import logging

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from finrl_ray.agents.replay.buffer import MarketReplayBuffer
from finrl_ray.agents.state.env import base_vec_env
from finrl_ray.env.account_view import AccountView
from finrl_ray.env.market_table import MarketTable
from finrl_ray.env.vec_env import StockTradingVecEnv

logger = logging.getLogger(__name__)


def make_replay_buffer(model: OffPolicyAlgorithm) -> MarketReplayBuffer | None:
    """Return a compact buffer for a model that is not set up yet; None: SB3 is to make its own.

    A model gets one if it has an env that trades one market, and asks for no other buffer: by
    `replay_buffer_class`, `n_steps` above 1, or keywords for such a buffer.
    """
    reason, table = _reason_against(model), None
    if not reason:
        assert model.env is not None
        table = traded_market(model.env)
        reason = "the env trades no market of finrl_ray, or several"
    if table is None:
        logger.debug("SB3's replay buffer is used: %s", reason)
        return None
    return MarketReplayBuffer(
        model.buffer_size,
        model.observation_space,
        model.action_space,
        device=model.device,
        n_envs=model.n_envs,
        optimize_memory_usage=model.optimize_memory_usage,
        table=table,
        **model.replay_buffer_kwargs,
    )


def _reason_against(model: OffPolicyAlgorithm) -> str:
    keywords = model.replay_buffer_kwargs
    if model.env is None:
        return "the model has no env"
    if model.replay_buffer_class is not None:
        return f"replay_buffer_class is {model.replay_buffer_class.__name__}"
    if model.n_steps > 1:
        return f"n_steps is {model.n_steps}"
    if set(keywords) - {"handle_timeout_termination"}:
        return f"replay_buffer_kwargs are {sorted(keywords)}"
    if model.optimize_memory_usage and keywords.get("handle_timeout_termination", True):
        return "optimize_memory_usage without handle_timeout_termination=False, which SB3 refuses"
    return ""


def traded_market(env: VecEnv) -> MarketTable | None:
    """Return the market that all accounts of an env trade and observe; None if there is none."""
    base = base_vec_env(env)
    tables: list[MarketTable] = []
    if isinstance(base, StockTradingVecEnv):
        tables = [base.accounts.table]
    elif isinstance(base, DummyVecEnv):
        accounts = [single.unwrapped for single in base.envs]
        if all(isinstance(account, AccountView) for account in accounts):
            tables = [account.accounts.table for account in accounts]  # type: ignore[attr-defined]  # checked
    if not tables or len({table.observation_hash for table in tables}) > 1:
        return None
    space = env.observation_space
    observed = space.shape == (tables[0].observation_size,) and space.dtype == np.float32
    return tables[0] if observed else None


def follow_market(model: BaseAlgorithm) -> None:
    """Let a model's compact replay buffer expect the market of the model's env, after `set_env`.

    Transitions of the markets before are kept. Without this, or where the env trades no market,
    what is added is kept whole; nothing but the memory that it takes depends on it.

    Raises
    ------
    ConfigError
        If observations of that market are of another size.
    """
    buffer = getattr(model, "replay_buffer", None)
    table = None if model.env is None else traded_market(model.env)
    if isinstance(buffer, MarketReplayBuffer) and table is not None:
        buffer.follow(table)
