"""Compile what numba compiles, and keep it beside the sources; `make test` runs this first.

In a fresh clone every process of a test run that trades or trains would compile the same functions
for itself, half a minute each: the workers of pytest, and the trials of their searches.
"""

from typing import Any

from small_models import SMALL_KWARGS
from stable_baselines3.common.vec_env import VecNormalize

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.vec_env import StockTradingVecEnv

FORMULATIONS: tuple[dict[str, Any], ...] = (
    {},
    {"action": "target_weights", "reward": "active", "observation": "stationary"},
)


def main() -> None:
    market = MarketData.from_finrl(read_bundled()).rows(0, 100)
    for formulation in FORMULATIONS:
        for algorithm, entry in ALGORITHMS.items():
            if not entry.learners:
                continue  # trained by SB3's own code, of which nothing is compiled
            kwargs = SMALL_KWARGS[algorithm]
            env = VecNormalize(StockTradingVecEnv(market, 2, **formulation))
            model = DRLAgent(env).get_model(algorithm, model_kwargs=kwargs, verbose=0, seed=0)
            DRLAgent.train_model(model, algorithm, 64)
            evaluate_account(model, StockTradingVecEnv(market, 1, **formulation))


if __name__ == "__main__":
    main()
