"""Torch's compiler stays out of processes that only train, and comes as before where it is used."""

import subprocess
import sys

COUNT = """
import sys
import torch as th
from finrl_ray.agent.without_compiler import leave_compiler_out
leave_compiler_out()
layer = th.nn.Linear(2, 1)
optimizer = th.optim.Adam(layer.parameters())
optimizer.zero_grad()
assert "torch._dynamo" not in sys.modules
assert len(optimizer.state_dict()["param_groups"][0]["params"]) == 2
"""
COMPILER_COMES = """
import torch._dynamo
optimizer.load_state_dict(optimizer.state_dict())
inner = th.optim.Optimizer.state_dict.__wrapped__
disabled = getattr(inner, "__dynamo_disable")
assert disabled.__module__.startswith("torch._dynamo"), disabled.__module__
"""


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_optimizer_is_made_without_the_compiler() -> None:
    run(COUNT)


def test_a_compiler_that_comes_later_is_kept_off_the_same_methods() -> None:
    run(COUNT + COMPILER_COMES)
