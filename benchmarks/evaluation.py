"""What a day of an evaluation costs: this package's against stock SB3's `predict` and `env.step`.

Both run one episode of the same policy in the same env of this package, whose step FinRL's takes
about ten times as long for. Microseconds of CPU time per day.
"""

import argparse
import io
from typing import Any

import numpy as np
import torch as th
from markets import synthetic_market
from measuring import interleaved, paired_ratio, per_cpu_second, summary, versions, write_results
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.rollout import evaluate_episodes
from finrl_ray.env.stock_trading import StockTradingEnv
from finrl_ray.env.vec_env import StockTradingVecEnv

STOCK: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
}
POLICIES = [*((name, "MlpPolicy") for name in STOCK), ("ppo", "PerTickerPolicy")]
OPTIONS = {"hmax": 100, "initial_amount": 1e6}


def sb3_days(model: BaseAlgorithm, env: VecEnv) -> int:
    """Run one episode as SB3 does, and return its days."""
    seen, days, over = env.reset(), 0, False
    while not over:
        actions, _ = model.predict(seen, deterministic=True)
        seen, _, dones, _ = env.step(actions)
        days, over = days + 1, bool(dones[0])
    return days


def measure(algorithm: str, policy: str, n_days: int, repeats: int) -> dict[str, Any]:
    """Return a row of the results."""
    market = synthetic_market(n_days)
    env = StockTradingVecEnv(market, **OPTIONS)
    kwargs = {} if algorithm in ("ppo", "a2c") else {"buffer_size": 1000}
    agent = DRLAgent(env)
    model = agent.get_model(algorithm, policy, model_kwargs=kwargs, verbose=0, seed=0)
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    stock = STOCK[algorithm].load(file, device="cpu")
    single = StockTradingEnv(market, **OPTIONS)

    def predicted() -> int:
        return len(DRLAgent.DRL_prediction(model, single)[0]) - 1

    cases = {
        "evaluation": per_cpu_second(lambda: evaluate_episodes(model, env)[0].length),
        "DRL_prediction": per_cpu_second(predicted),
        "sb3": per_cpu_second(lambda: sb3_days(stock, env)),
    }
    for case in cases.values():
        case()
    rates = interleaved(cases, repeats)
    row: dict[str, Any] = {"algorithm": algorithm, "policy": policy, "days": n_days}
    for name, values in rates.items():
        row[f"{name}_us_per_day"] = summary([1e6 / value for value in values])
    row["evaluation_ratio"] = paired_ratio(rates["evaluation"], rates["sb3"])
    row["DRL_prediction_ratio"] = paired_ratio(rates["DRL_prediction"], rates["sb3"])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--days", type=int, nargs="+", default=[252, 3000])
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    th.set_num_threads(1)
    np.random.seed(0)  # noqa: NPY002  # SB3's stream
    known = versions()
    rows = [
        measure(algorithm, policy, n_days, arguments.repeats)
        for n_days in arguments.days
        for algorithm, policy in POLICIES
    ]
    write_results("evaluation", rows, known)


if __name__ == "__main__":
    main()
