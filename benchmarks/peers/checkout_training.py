"""Trains with the package of the checkout that PYTHONPATH names, a chunk per line of the input.

python checkout_training.py ALGORITHM STEPS

Writes a line of JSON with the package's file, and one with the speed of each chunk. It imports only
what every version of the package has.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import torch as th
from markets import synthetic_market

import finrl_ray

WARM_UP = {"ppo": 2048, "a2c": 500, "sac": 500, "td3": 500, "ddpg": 500}

algorithm, steps = sys.argv[1], int(sys.argv[2])
th.set_num_threads(1)
env = finrl_ray.StockTradingVecEnv(synthetic_market(335), 1)
model: Any = finrl_ray.DRLAgent(env).get_model(
    algorithm, model_kwargs={"device": "cpu"}, verbose=0, seed=0
)
model.learn(WARM_UP[algorithm], reset_num_timesteps=False)
print(json.dumps({"package": finrl_ray.__file__}), flush=True)
for _ in sys.stdin:
    before, begin = model.num_timesteps, time.process_time()
    model.learn(steps, reset_num_timesteps=False)
    speed = (model.num_timesteps - before) / (time.process_time() - begin)
    print(json.dumps({"steps_per_cpu_s": speed}), flush=True)
