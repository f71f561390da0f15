"""What an entry says of its class without loading it, and without its package."""

import subprocess
import sys

import pytest

from finrl_ray.agents.algorithm_registry import ALGORITHMS, entry_of, installed_algorithms

CONTRIB = {"tqc", "crossq", "recurrent_ppo", "trpo"}
# a program in which sb3-contrib is not there
WITHOUT = """
import sys, importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "sb3_contrib" else found(name, *rest)
import importlib.machinery
sys.modules["sb3_contrib"] = None
"""


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_an_algorithm_whose_package_is_missing_says_how_to_install_it() -> None:
    code = """
from finrl_ray.agents.algorithms import check_model_kwargs, find_algorithm
from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import build_space
for use in (
    lambda: find_algorithm("tqc"),
    lambda: check_model_kwargs("ppo", {"buffer_size": 3}),
    lambda: build_space(parse_config({"agent": {"algorithm": "crossq"}})),
):
    try:
        use()
    except ConfigError as error:
        print(error)
"""
    missing, others, space = run(code)
    assert missing == (
        "the algorithm TQC needs sb3_contrib, which is not installed: pip install "
        "'finrl-ray[contrib]'"
    )
    # those that are there are still named
    assert "(ddpg, td3, sac, dqn would accept 'buffer_size')" in others
    assert "pip install 'finrl-ray[contrib]'" in space


def test_models_of_sb3_are_saved_and_loaded_without_it(tmp_path) -> None:
    code = f"""
from stable_baselines3 import PPO
from finrl_ray.agents.models import load_model, save_model
save_model(PPO("MlpPolicy", "Pendulum-v1", n_steps=8, batch_size=8), {str(tmp_path / "m.zip")!r})
print(type(load_model("ppo", {str(tmp_path / "m.zip")!r})).__name__)
"""
    assert run(code) == ["PPO"]


def test_what_is_there() -> None:
    assert installed_algorithms() == tuple(ALGORITHMS)
    assert {name for name, entry in ALGORITHMS.items() if entry.extra == "contrib"} == CONTRIB
    assert [name for name, entry in ALGORITHMS.items() if entry.is_recurrent] == ["recurrent_ppo"]
    assert entry_of("crossq").class_name == "CrossQ"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_policys_own_keywords_and_widths_are_those_of_its_class(name: str) -> None:
    import inspect

    entry = ALGORITHMS[name]
    policy = entry.model_class.policy_aliases[entry.policies[0]]
    parameters = inspect.signature(policy).parameters
    for keyword, default in entry.policy_keywords.items():
        assert parameters[keyword].default == default
