"""Training steps per CPU second of the five algorithms, against FinRL + SB3 and SB3 alone.

    OMP_NUM_THREADS=1 taskset -c 1 python benchmarks/training.py [--algorithms ppo a2c]

FinRL's default keywords, one account, one thread, 29 stocks x 335 days x 8 indicators. What runs:

    finrl        FinRL 0.3.7's env and agent, with its callback
    sb3_free     SB3 on an env that costs nothing
    exact_free   our exact learner on the same env
    fused_free   our fused learner on the same env
    finrl_ray    our fused learner on our env

Chunks of training are interleaved; the ratios (`vs_finrl` and the others) are medians over the
rounds of the ratios within a round. What other commits did is measured by `against_checkout.py`.
"""

import argparse
import contextlib
import io
from collections.abc import Callable
from typing import Any

import torch as th
from finrl_peer import finrl_agent, finrl_env
from free_env import FreeVecEnv
from markets import finrl_frame, synthetic_market
from measuring import (
    Case,
    interleaved,
    paired_ratio,
    per_cpu_second,
    summary,
    versions,
    write_results,
)

from finrl_ray.agents.algorithm_registry import ALGORITHMS
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.env.vec_env import StockTradingVecEnv

CHUNKS = {"ppo": 2048, "a2c": 2000, "sac": 250, "td3": 250, "ddpg": 250}
"""Steps of training between two looks at the clock; PPO's is one rollout with its update."""
WARM_UP = {"ppo": 2048, "a2c": 500, "sac": 1500, "td3": 1500, "ddpg": 1500}


def training_case(model: Any, algorithm: str, learn: Callable[[int], Any]) -> Case:
    learn(WARM_UP[algorithm])

    def work() -> int:
        before = model.num_timesteps
        learn(CHUNKS[algorithm])
        return int(model.num_timesteps - before)

    return per_cpu_second(work)


def our_case(env: Any, algorithm: str, learner: str) -> Case:
    model = DRLAgent(env).get_model(
        algorithm, model_kwargs={"device": "cpu"}, verbose=0, seed=0, learner=learner
    )
    assert getattr(model, "learner", "sb3") == learner
    return training_case(
        model, algorithm, lambda steps: model.learn(steps, reset_num_timesteps=False)
    )


def finrl_case(env: Any, algorithm: str) -> Case:
    agent = finrl_agent(env)
    keywords = {**ALGORITHMS[algorithm].defaults, "device": "cpu"}
    with contextlib.redirect_stdout(io.StringIO()):
        model = agent.get_model(algorithm, model_kwargs=keywords, verbose=0, seed=0)
    callback = type(agent).train_model.__globals__["TensorboardCallback"]

    def learn(steps: int) -> None:
        # what FinRL's train_model does, without starting afresh; it prints with each step
        with contextlib.redirect_stdout(io.StringIO()):
            model.learn(steps, reset_num_timesteps=False, callback=callback())

    return training_case(model, algorithm, learn)


def measure(algorithm: str, repeats: int) -> dict[str, Any]:
    market = synthetic_market(335)
    frame = finrl_frame(market)
    cases = {
        "finrl": finrl_case(finrl_env(frame, list(market.feature_names)), algorithm),
        "sb3_free": our_case(FreeVecEnv(), algorithm, "sb3"),
        "exact_free": our_case(FreeVecEnv(), algorithm, "exact"),
        "fused_free": our_case(FreeVecEnv(), algorithm, "fused"),
        "finrl_ray": our_case(StockTradingVecEnv(market, 1), algorithm, "fused"),
    }
    speeds = interleaved(cases, repeats)
    return {
        "algorithm": algorithm,
        "steps_per_cpu_s": {name: summary(values) for name, values in speeds.items()},
        "vs_finrl": paired_ratio(speeds["finrl_ray"], speeds["finrl"]),
        "fused_vs_sb3_free": paired_ratio(speeds["fused_free"], speeds["sb3_free"]),
        "finrl_ray_vs_sb3_free": paired_ratio(speeds["finrl_ray"], speeds["sb3_free"]),
        "exact_vs_sb3_free": paired_ratio(speeds["exact_free"], speeds["sb3_free"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithms", nargs="+", choices=list(CHUNKS), default=list(CHUNKS))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    th.set_num_threads(1)
    known = versions(finrl="0.3.7")
    rows = [measure(algorithm, arguments.repeats) for algorithm in arguments.algorithms]
    write_results("training", rows, known, same=["algorithm"])


if __name__ == "__main__":
    main()
