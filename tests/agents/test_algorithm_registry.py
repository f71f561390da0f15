"""The registry of algorithms: its names and classes, and that an algorithm is one entry of it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from own_code_files import active_code_of
from repository import REPOSITORY, copy_package
from small_models import small_env
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from finrl_ray.agents.algorithm_registry import ALGORITHMS, entry_of, remember_bases
from finrl_ray.agents.algorithms import model_keywords, resolve_model_kwargs
from finrl_ray.agents.drl_agent import DRLAgent
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.models import load_model, save_model
from finrl_ray.config import agent
from finrl_ray.config.load import parse_config
from finrl_ray.errors import ConfigError
from finrl_ray.own_code.failures import OwnCodeError
from finrl_ray.search.sampling.domains import build_space, planned_trials
from finrl_ray.search.sampling.initial_points import named_point
from finrl_ray.support.learner_names import LEARNER_NAMES


def test_the_config_has_the_same_names() -> None:
    assert set(get_args(agent.Algorithm)) == set(ALGORITHMS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_entry_says_what_its_class_is(name: str) -> None:
    entry = ALGORITHMS[name]
    assert entry.on_policy != issubclass(entry.model_class, OffPolicyAlgorithm)
    assert entry.class_name == entry.model_class.__name__
    faster = name in ("a2c", "ppo", "ddpg", "td3", "sac")
    assert set(entry.learners) == (set(LEARNER_NAMES) - {"sb3"} if faster else set())
    assert entry.learner_class("exact" if not faster else "sb3") is entry.model_class
    assert entry.learner_class("sb3") is entry.model_class
    for learner in entry.learners:
        assert issubclass(entry.learner_class(learner), entry.model_class)
        assert learner in entry.learner_class(learner).__name__.lower()
    keywords = model_keywords(name)
    for given in (entry.defaults, entry.small, entry.stable):
        assert set(given) <= keywords
    assert (entry.normalize_advantage is not None) == ("normalize_advantage" in keywords)
    assert entry.minibatches == (entry.on_policy and "batch_size" in keywords)


# rl-zoo3 2.9.2's hyperparams_opt.py, but for what docs/search.md gives a reason for
COMMON = {
    "learning_rate": {"loguniform": [1e-5, 2e-3]},
    "one_minus_gamma": {"loguniform": [1e-4, 0.03]},
}
ON_POLICY = COMMON | {
    "one_minus_gae_lambda": {"loguniform": [1e-4, 0.1]},
    "ent_coef": {"loguniform": [1e-8, 0.1]},
    "max_grad_norm": {"uniform": [0.3, 2.0]},
    "net_arch": {"choice": ["tiny", "small", "medium"]},
    "activation_fn": {"choice": ["tanh", "relu"]},
}
OFF_POLICY = COMMON | {
    "batch_size": {"choice": [16, 32, 64, 128, 256, 512]},
    "tau": {"loguniform": [1e-3, 0.08]},
    "train_freq": {"randint": [1, 11]},
    "gradient_steps": -1,
    "net_arch": {"choice": ["small", "medium", "big"]},
}
OU = "ornstein_uhlenbeck"
NOISE = {"action_noise": {"choice": [None, "normal", "normal_0.3", OU, f"{OU}_0.3"]}}
ENTROPY = {"ent_coef": {"choice": ["auto", "auto_0.1", 0.01, 0.1]}}
PPO = {
    "n_steps": {"choice": [32, 64, 128, 256, 512, 1024, 2048]},
    "batch_size": {"choice": [32, 64, 128, 256, 512, 1024]},
    "n_epochs": {"choice": [1, 5, 10, 20]},
    "clip_range": {"choice": [0.1, 0.2, 0.3, 0.4]},
}
SPACES: dict[str, dict[str, object]] = {
    "a2c": ON_POLICY | {"n_steps": {"choice": [5, 16, 32, 64, 128, 256, 512]}},
    "ppo": ON_POLICY | PPO,
    "ddpg": OFF_POLICY | NOISE,
    "td3": OFF_POLICY | NOISE | {"policy_delay": {"choice": [1, 2, 4]}},
    "sac": OFF_POLICY | ENTROPY,
    "tqc": OFF_POLICY
    | ENTROPY
    | {"n_quantiles": {"randint": [5, 51]}, "top_quantiles_to_drop_per_net": {"randint": [0, 6]}},
    "crossq": {name: entry for name, entry in OFF_POLICY.items() if name != "tau"}
    | ENTROPY
    | {"policy_delay": {"choice": [1, 2, 3, 4]}},
    "recurrent_ppo": ON_POLICY
    | PPO
    | {
        "lstm_hidden_size": {"choice": [16, 32, 64, 128, 256]},
        "enable_critic_lstm": {"choice": [True, False]},
    },
    "trpo": {
        **{name: ON_POLICY[name] for name in ("learning_rate", "net_arch", "activation_fn")},
        **{name: ON_POLICY[name] for name in ("one_minus_gamma", "one_minus_gae_lambda")},
        **{name: PPO[name] for name in ("n_steps", "batch_size")},
        "n_critic_updates": {"randint": [5, 31]},
        "cg_max_steps": {"randint": [5, 31]},
        "target_kl": {"loguniform": [0.001, 0.1]},
    },
    "dqn": {
        **COMMON,
        **{name: OFF_POLICY[name] for name in ("batch_size", "train_freq", "net_arch")},
        "gradient_steps": {"choice": [-1, 1]},
        "target_update_interval": {"choice": [1, 10, 100, 1000, 10_000]},
        "exploration_fraction": {"uniform": [0.0, 0.5]},
        "exploration_final_eps": {"uniform": [0.0, 0.2]},
    },
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_default_spaces_have_rl_zoo3s_ranges(name: str) -> None:
    assert dict(ALGORITHMS[name].space) == SPACES[name]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_entry_of_a_default_space_has_a_line_in_the_table_of_the_docs(name: str) -> None:
    text = (REPOSITORY / "docs" / "search.md").read_text(encoding="utf-8")
    table = text.partition("### Default spaces")[2].partition("\n### ")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    searched = {n for n, entry in SPACES[name].items() if isinstance(entry, dict)}
    # what is the same in each needs no reason
    assert {n for n in searched if f"`{n}`" not in cells} <= {"activation_fn"}


def test_reading_the_registry_loads_no_sb3() -> None:
    code = (
        "import sys, finrl_ray.agents.algorithm_registry; "
        "print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


ENTRY = """    one_pass_ppo=AlgorithmEntry(
        model_path="finrl_ray.agents.one_pass_ppo:OnePassPPO",
        on_policy=True,
        defaults=read_only(n_steps=32, batch_size=32),
        space=read_only(learning_rate={"loguniform": [1e-5, 1e-3]}),
        net_arch=(64, 64),
        activation_fn="tanh",
        minibatches=True,
        normalize_advantage=True,
    ),
    sac=AlgorithmEntry("""
MODULE = '''"""PPO that passes once over each rollout."""

from stable_baselines3 import PPO


class OnePassPPO(PPO):
    def train(self) -> None:
        self.n_epochs = 1
        super().train()
'''
CONFIG = """
data: {tickers: [AAPL, MSFT], features: [macd]}
agent: {algorithm: one_pass_ppo, total_timesteps: 64, n_envs: 1}
evaluation: {eval_freq: 32}
search: {num_samples: 2, storage_path: runs}
"""
PROGRAM = """
import sys
from pathlib import Path
from finrl_ray.agents.models import load_model
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.load import load_config
from finrl_ray.diagnostics.memory_estimate import memory_estimate
from finrl_ray.search.sampling.domains import build_space
from finrl_ray.search.sampling.initial_points import named_point
config = load_config(Path("config.yaml"))
space = build_space(config)
print(list(space), named_point(config, 'finrl', space))
print(memory_estimate("one_pass_ppo", None, 10, 2) > 0)
(file,) = Path("runs").rglob("final_model.zip")
model = load_model("one_pass_ppo", file)
print(type(model).__name__, model.num_timesteps, model._n_updates)
model.save("as_sb3_saves.zip")
print(type(load_model("one_pass_ppo", "as_sb3_saves.zip")).__name__)
"""


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.slow
def test_a_new_algorithm_is_its_class_an_entry_and_a_name(tmp_path: Path) -> None:
    package = copy_package(tmp_path)
    (package / "agents" / "one_pass_ppo.py").write_text(MODULE, encoding="utf-8")
    _replace(package / "agents" / "algorithm_registry.py", "    sac=AlgorithmEntry(", ENTRY)
    config = package.joinpath(*agent.__name__.split(".")[1:]).with_suffix(".py")
    _replace(config, '"trpo", "dqn"', '"trpo", "dqn", "one_pass_ppo"')
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "finrl_ray", "train", "config.yaml")
    space, memory, model, loaded = run("program.py").splitlines()
    assert space == "['learning_rate'] {'learning_rate': 0.0003}"
    assert memory == "True"
    assert model == "OnePassPPO 64 2"
    assert loaded == "OnePassPPO"


OWN = {
    "own_tqc": """
    from sb3_contrib import TQC

    class MyTQC(TQC):
        def __init__(self, *args, patience=7, **kwargs):
            self.patience = patience
            super().__init__(*args, **kwargs)

    class Alone(TQC):
        def __init__(self, policy, env, courage=1):
            pass

    def no_class():
        pass

    class Other:
        pass
"""
}
PLACE = "own_tqc:MyTQC"


def test_an_algorithm_of_ones_own_is_its_nearest_relative_with_keywords_of_its_own(
    tmp_path: Path,
) -> None:
    with active_code_of(tmp_path, {"agent.algorithm": PLACE}, **OWN):
        entry, base = entry_of(PLACE), ALGORITHMS["tqc"]
        assert (entry.class_name, entry.model_class.__name__) == ("MyTQC", "MyTQC")
        assert (entry.space, entry.defaults, entry.critics) == (base.space, base.defaults, 2)
        assert entry.learner_class("fused") is entry.model_class
        assert model_keywords(PLACE) == model_keywords("tqc") | {"patience"}
        # a constructor that hands nothing on accepts what it names
        assert model_keywords("own_tqc:Alone") == {"courage"}
        config = parse_config(
            {
                "agent": {"algorithm": PLACE},
                "search": {"space": {"patience": {"choice": [3, 9]}, f"{PLACE}.n_quantiles": 9}},
            }
        )
        space = build_space(config)
        assert {"patience", "n_quantiles", "tau"} <= set(space)
        assert named_point(config, "finrl", space)["patience"] == 7
        settings = resolve_sample({"patience": 3, "n_quantiles": 2}, config.agent)
        assert settings.model_kwargs == {
            "patience": 3,
            "policy_kwargs": {"n_quantiles": 2},
            "top_quantiles_to_drop_per_net": 1,
        }
        with pytest.raises(ConfigError, match="own_tqc:MyTQC has no keyword 'patiense'"):
            resolve_model_kwargs(PLACE, {"patiense": 1}, n_actions=1)
        for name in ("no_class", "Other"):
            with pytest.raises(ConfigError, match=f"own_tqc:{name} must be a class derived from"):
                entry_of(f"own_tqc:{name}")
        whole = {"agent": {"algorithm": PLACE}, "search": {"searcher": "grid", "num_samples": 1}}
        with pytest.raises(ConfigError, match="a grid over the default space of own_tqc:MyTQC"):
            build_space(parse_config(whole))
        model = DRLAgent(small_env()).get_model(
            PLACE, model_kwargs={"buffer_size": 50, "patience": 2}, verbose=0
        )
        assert (type(model).__name__, model.patience) == ("MyTQC", 2)
        save_model(model, tmp_path / "model.zip")
        loaded = load_model(PLACE, tmp_path / "model.zip", device="cpu")
        assert (type(loaded).__name__, loaded.patience) == ("MyTQC", 2)


def test_what_was_told_of_an_own_algorithm_needs_no_import() -> None:
    with pytest.raises(ConfigError, match="there is no module 'never_there' here"):
        entry_of("never_there:Mine")
    remember_bases({"never_there:Mine": "ppo", "nor_this:One": "no algorithm"})
    entry = entry_of("never_there:Mine")
    assert (entry.on_policy, entry.class_name, dict(entry.learners)) == (True, "Mine", {})
    assert entry.space == ALGORITHMS["ppo"].space
    # what a command that reads a folder needs
    config = parse_config(
        {
            "agent": {"algorithm": "never_there:Mine", "total_timesteps": 100},
            "search": {"num_samples": 5},
        }
    )
    assert planned_trials(config) == 5
    assert resolve_sample({"batch_size": 512}, config.agent).model_kwargs == {
        "batch_size": 100,
        "n_steps": 100,
    }
    with pytest.raises(ConfigError, match="no module 'nor_this'"):
        entry_of("nor_this:One")


def test_a_misspelt_algorithm_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"algorithm must be one of 'a2c', .*Did you mean 'ppo'"):
        parse_config({"agent": {"algorithm": "pppo"}})


def test_a_class_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    text = """
        from stable_baselines3 import A2C

        class Broken(A2C):
            def __init__(self, *args, **kwargs):
                raise RuntimeError("of no use")
    """
    with active_code_of(tmp_path, {"agent.algorithm": "broken:Broken"}, broken=text):
        words = "broken:Broken failed when it was built: RuntimeError: of no use .*line 5: raise"
        with pytest.raises(OwnCodeError, match=words):
            DRLAgent(small_env()).get_model("broken:Broken")
