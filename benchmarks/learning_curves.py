"""Whether the fused learner learns as SB3 does: returns over seeds, on two tasks.

    OMP_NUM_THREADS=1 python benchmarks/learning_curves.py [--algorithms ppo ...] [--seeds 10]

Each algorithm is trained from the same seeds with `learner="sb3"` and `learner="fused"` on
Gymnasium's Pendulum-v1 and on the bundled prices (train window of the quickstart experiment; its
validation window is where the policy is then judged). At four points of training the deterministic
policy is run: on Pendulum the mean return of ten episodes, on the market the window's total return.

Per task, algorithm and point: both means, the difference with a 95 % bootstrap interval over seeds,
and p-values of Welch's t-test and of Mann and Whitney's test. `lowest_p` over all points is to be
read with the number of points in mind.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from measuring import versions, write_results
from scipy import stats
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_account, evaluate_episodes
from finrl_ray.config.load import load_config
from finrl_ray.data.load import load_market_data
from finrl_ray.data.market_data import MarketData
from finrl_ray.data.windows.split import make_split
from finrl_ray.env.vec_env import StockTradingVecEnv
from finrl_ray.learners.vec_normalize import LeanVecNormalize

QUICKSTART = Path(__file__).parents[1] / "experiments" / "quickstart" / "config.yaml"
N_POINTS = 4
ALGORITHMS = ("ppo", "a2c", "sac", "td3", "ddpg")
SMALL = {"net_arch": [64, 64]}
OFF_POLICY: dict[str, Any] = {"policy_kwargs": SMALL, "learning_rate": 1e-3, "buffer_size": 20_000}
KEYWORDS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 1024, "learning_rate": 1e-3, "gamma": 0.9, "ent_coef": 0.0},
    "a2c": {"n_steps": 8, "gamma": 0.9, "ent_coef": 0.0},
    "sac": OFF_POLICY,
    "td3": {**OFF_POLICY, "action_noise": "normal"},
    "ddpg": {**OFF_POLICY, "action_noise": "normal"},
}
TIMESTEPS = {"ppo": 49_152, "a2c": 40_000, "sac": 4_000, "td3": 4_000, "ddpg": 4_000}

Task = Callable[[str, str, int], list[float]]
"""Trains an algorithm with a learner from a seed; returns one number per point of training."""


def train(
    algorithm: str, learner: str, seed: int, env: VecEnv, judge: Callable[[Any], float]
) -> list[float]:
    keywords = {"device": "cpu", **KEYWORDS[algorithm]}
    model = DRLAgent(env).get_model(
        algorithm, model_kwargs=keywords, verbose=0, seed=seed, learner=learner
    )
    assert getattr(model, "learner", "sb3") == learner
    judged = []
    for _ in range(N_POINTS):
        model.learn(TIMESTEPS[algorithm] // N_POINTS, reset_num_timesteps=False)
        judged.append(judge(model))
    return judged


def pendulum(algorithm: str, learner: str, seed: int) -> list[float]:
    n_envs = 4 if algorithm in ("ppo", "a2c") else 1
    env = DummyVecEnv([lambda: Monitor(gym.make("Pendulum-v1")) for _ in range(n_envs)])
    watched = DummyVecEnv([lambda: Monitor(gym.make("Pendulum-v1"))])

    def judge(model: Any) -> float:
        episodes = evaluate_episodes(model, watched, 10, seed=1_000, require_account=False)
        return float(np.mean([episode.reward for episode in episodes]))

    return train(algorithm, learner, seed, env, judge)


def market_task(train_data: MarketData, validation_data: MarketData) -> Task:
    def run(algorithm: str, learner: str, seed: int) -> list[float]:
        kind = VecNormalize if learner == "sb3" else LeanVecNormalize
        env = kind(StockTradingVecEnv(train_data, 4 if algorithm in ("ppo", "a2c") else 1))
        watched = kind(StockTradingVecEnv(validation_data), training=False, norm_reward=False)

        def judge(model: Any) -> float:
            value = evaluate_account(model, watched)[0].account_value
            return float(value[-1] / value[0] - 1)

        return train(algorithm, learner, seed, env, judge)

    return run


def compare(name: str, algorithm: str, seeds: int, task: Task) -> dict[str, Any]:
    reached: dict[str, list[list[float]]] = {"sb3": [], "fused": []}
    for seed in range(seeds):
        for learner, values in reached.items():
            values.append(task(algorithm, learner, 100 * seed))
    plain, fused = (np.array(reached[learner]) for learner in ("sb3", "fused"))
    points = [point(plain[:, k], fused[:, k]) for k in range(N_POINTS)]
    return {
        "task": name,
        "algorithm": algorithm,
        "seeds": seeds,
        "timesteps": TIMESTEPS[algorithm],
        "points": points,
        "lowest_p": min(min(p["welch_p"], p["mann_whitney_p"]) for p in points),
    }


def point(plain: Any, fused: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(plain), (2, 10_000, len(plain)))
    differences = fused[draws[0]].mean(axis=1) - plain[draws[1]].mean(axis=1)
    low, high = np.quantile(differences, [0.025, 0.975])
    return {
        "sb3_mean": round(float(plain.mean()), 4),
        "sb3_deviation": round(float(plain.std(ddof=1)), 4),
        "fused_mean": round(float(fused.mean()), 4),
        "fused_deviation": round(float(fused.std(ddof=1)), 4),
        "difference_95": [round(float(low), 4), round(float(high), 4)],
        "welch_p": round(float(stats.ttest_ind(plain, fused, equal_var=False).pvalue), 4),
        "mann_whitney_p": round(float(stats.mannwhitneyu(plain, fused).pvalue), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    th.set_num_threads(1)
    config = load_config(QUICKSTART)
    market, _ = load_market_data(config.data, QUICKSTART.parent)
    split = make_split(market, config.split)
    tasks: dict[str, Task] = {
        "Pendulum-v1": pendulum,
        "bundled market": market_task(split.train.cut(market), split.validation.cut(market)),
    }
    for algorithm in options.algorithms:
        for name, task in tasks.items():
            known = versions("scipy", "gymnasium")
            row = compare(name, algorithm, options.seeds, task)
            write_results("learning_curves", [row], known, same=["algorithm", "task"])


if __name__ == "__main__":
    main()
