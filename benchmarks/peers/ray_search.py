"""A plain Ray Tune script, as one writes it: FinRL's env and SB3 in a function.

python ray_search.py TRIALS TIMESTEPS

The samples are those of FinRL's search, in samples.json.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from finrl_ray.machine.available_cpus import available_cpus

HERE = Path(__file__).parent
FOLDER = Path.cwd()
sys.path[:0] = [str(HERE), str(HERE.parent)]


def train(config: dict[str, Any]) -> None:
    os.chdir(FOLDER)
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import contextlib
    import io
    import time

    import torch as th
    from finrl_peer import finrl_agent
    from ray import tune
    from windows import finrl_envs

    th.set_num_threads(1)
    nets = {"small": [64, 64], "medium": [256, 256]}
    sample = dict(config["sample"])
    policy = {
        "net_arch": nets[sample.pop("net_arch")],
        "activation_fn": {"tanh": th.nn.Tanh, "relu": th.nn.ReLU}[sample.pop("activation_fn")],
        "ortho_init": False,
    }
    train_env, validation_env = finrl_envs()
    agent = finrl_agent(train_env)
    with contextlib.redirect_stdout(io.StringIO()):
        model = agent.get_model("ppo", policy_kwargs=policy, model_kwargs=sample, verbose=0)
        try:
            begin = time.perf_counter()
            model.learn(config["timesteps"])
            seconds = time.perf_counter() - begin
        except ValueError:
            tune.report({"sharpe": float("-inf")})
            return
        account, _ = agent.DRL_prediction(model, validation_env)
    returns = account["account_value"].pct_change(1)
    sharpe = float(252**0.5 * returns.mean() / returns.std())
    tune.report({"sharpe": sharpe, "seconds": seconds, "n_steps": sample["n_steps"]})


if __name__ == "__main__":
    import ray
    from ray import tune

    n_trials, timesteps = int(sys.argv[1]), int(sys.argv[2])
    samples = json.loads(Path("samples.json").read_text(encoding="utf-8"))
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray.init(num_cpus=available_cpus(), include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        train,
        param_space={"sample": tune.grid_search(samples), "timesteps": timesteps},
        run_config=tune.RunConfig(storage_path=str(FOLDER / "ray"), verbose=0),
    )
    results = tuner.fit()
    sharpes = [result.metrics.get("sharpe", float("-inf")) for result in results]
    trained = [
        {"seconds": result.metrics["seconds"], "n_steps": result.metrics["n_steps"]}
        for result in results
        if "seconds" in result.metrics
    ]
    found = {
        "trained": trained,
        "workers": available_cpus(),
        "n_trials": len(sharpes),
        "timesteps": timesteps * n_trials,
        "best_sharpe": max(sharpes),
        "n_failed": sum(sharpe == float("-inf") for sharpe in sharpes),
    }
    Path("ray.json").write_text(json.dumps(found), encoding="utf-8")
