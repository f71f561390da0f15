"""The driver compiles what the trials' envs need, and says so once."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from made_search import made_search
from numba import njit

from finrl_ray.config.env import EnvConfig
from finrl_ray.search.run import compiled_rules
from finrl_ray.search.run.compiled_rules import MESSAGE, compile_rules
from finrl_ray.search.sampling.domains import Domain

SPACE = {
    "env.action": Domain(kind="choice", values=("orders", "target_weights")),
    "learning_rate": Domain(kind="loguniform", values=(1e-4, 1e-3)),
}
FRESH = """
import logging, sys
import numpy as np
from finrl_ray.env.make import make_vec_env
from finrl_ray.machine.compiled_cache import compiling_noted
from finrl_ray.search.folder.folder import open_folder
from finrl_ray.search.run.compiled_rules import compile_rules

logging.basicConfig(stream=sys.stdout, format="%(message)s")
folder = open_folder(sys.argv[1])
compile_rules(folder, {})
with compiling_noted(lambda: print("compiles again")):
    env = make_vec_env(folder.train_data, folder.config.env, n_envs=3, seed=1)
    env.reset()
    env.step(np.ones((3, folder.train_data.n_assets), dtype=np.float32))
"""


def test_it_is_said_once_and_before_the_step(tmp_path: Path, monkeypatch, caplog) -> None:
    folder = made_search(tmp_path, n_trials=2)
    stepped: list[EnvConfig] = []

    def make(data: Any, config: EnvConfig, **options: Any) -> Any:
        compiled = njit(lambda value: value + 1)

        def step(actions: np.ndarray) -> None:
            assert actions.shape == (1, data.n_assets)
            assert caplog.messages == ([MESSAGE] if stepped else [])
            compiled(1)
            stepped.append(config)

        space = spaces.Box(-1.0, 1.0, (data.n_assets,), np.float32)
        nothing = {"reset": lambda: None, "close": lambda: None}
        return SimpleNamespace(step=step, action_space=space, **nothing)

    monkeypatch.setattr(compiled_rules, "make_vec_env", make)
    compile_rules(folder, SPACE)
    # each formulation that a trial may have, and one line for both
    assert [config.action for config in stepped] == ["orders", "target_weights"]
    assert caplog.messages == [MESSAGE]


def test_where_all_is_compiled_nothing_is_said(tmp_path: Path, caplog) -> None:
    folder = made_search(tmp_path, n_trials=2)
    compile_rules(folder, {})
    caplog.clear()
    compile_rules(folder, {})
    assert caplog.messages == []


@pytest.mark.slow
@pytest.mark.long
def test_a_trial_compiles_nothing_afterwards(tmp_path: Path) -> None:
    folder = made_search(tmp_path / "runs", n_trials=2).path
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for said in (f"{MESSAGE}\n", ""):
        done = subprocess.run(
            [sys.executable, "-c", FRESH, str(folder)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == said
