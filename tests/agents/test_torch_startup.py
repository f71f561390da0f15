"""Torch's compiler stays out of processes that only train, and comes as before where it is used."""

import subprocess
import sys
from pathlib import Path

TRAIN = """
import sys
import torch as th
from finrl_ray.agents.torch_startup import skip_dynamo_import
skip_dynamo_import()
skip_dynamo_import()
th.manual_seed(0)
layer = th.nn.Linear(2, 1)
optimizer = th.optim.Adam(layer.parameters())
optimizer.zero_grad()
layer(th.ones(3, 2)).sum().backward()
optimizer.step()
trained = layer.weight.detach().clone()
assert th.is_grad_enabled() and layer.weight.requires_grad
assert "torch._dynamo" not in sys.modules
"""
PLAINLY = """
import torch._dynamo
state = optimizer.state_dict()
optimizer.load_state_dict(state)
inner = th.optim.Optimizer.state_dict.__wrapped__
disabled = getattr(inner, "__dynamo_disable")
assert disabled.__module__.startswith("torch._dynamo"), disabled.__module__
broken = []
torch._dynamo.graph_break = lambda *args: broken.append(args)
optimizer.step()
assert len(broken) == 2
"""
SAME = """
import torch as th
th.manual_seed(0)
layer = th.nn.Linear(2, 1)
optimizer = th.optim.Adam(layer.parameters())
layer(th.ones(3, 2)).sum().backward()
optimizer.step()
trained = layer.weight.detach().clone()
"""
TOLD = "\nprint(trained.numpy().tobytes().hex())"


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def test_an_optimizer_steps_without_the_compiler_to_the_same_bits() -> None:
    assert run(TRAIN + TOLD) == run(SAME + TOLD)


def test_a_compiler_that_comes_later_is_told_as_ever() -> None:
    run(TRAIN + PLAINLY)


README = """
import sys
from pathlib import Path
import gymnasium as gym
from finrl_ray import DRLAgent
from finrl_ray.agents.models import load_model, save_model
env = gym.make("Pendulum-v1")
file = Path(sys.argv[1]) / "model.zip"
model = DRLAgent(env).get_model("ppo", model_kwargs={"n_steps": 64}, learner="sb3", verbose=0)
DRLAgent.train_model(model, "ppo", 64)
save_model(model, file)
load_model("ppo", file, env=env).learn(16)
assert "torch._dynamo" not in sys.modules
"""


def test_models_are_made_trained_and_loaded_without_the_compiler(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", README, str(tmp_path)], check=True)
