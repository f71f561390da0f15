"""FinRL's own training guide, where a copy lies beside the repository: its snippets run on ours."""

import ast
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from repository import SHARED
from stable_baselines3.common.vec_env import DummyVecEnv

import finrl_ray
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.env.make import create_env

PATH = SHARED / "training_guide.md"
TEXT = PATH.read_text(encoding="utf-8") if PATH.is_file() else ""
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
pytestmark = pytest.mark.skipif(not BLOCKS, reason="no copy of FinRL's training guide here")

# started by the reader's own hand, or a fault of the snippet's own that no library can mend
NOT_PASTED = ("launch_tensorboard", "diagnose_learning", "validate_training_setup")


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    df = read_bundled().query("date < '2005-12-01'").copy()
    df["macd"], df["rsi_30"] = 0.1, 50.0
    return df.query("date < '2005-06-01'"), df.query("date >= '2005-06-01'")


def supplied() -> dict[str, Any]:
    """What a reader has in mind: data, envs, the usual imports, and this package's names."""
    train_data, val_data = frames()
    names: dict[str, Any] = {name: getattr(finrl_ray, name) for name in finrl_ray.__all__}
    return names | {
        "np": np,
        "torch": torch,
        "train_data": train_data,
        "val_data": val_data,
        "train_env": DummyVecEnv([lambda: create_env(train_data)]),
        "val_env": DummyVecEnv([lambda: create_env(val_data)]),
    }


def changed(code: str) -> str:
    """Return a snippet with its imports changed and its timesteps divided by a hundred."""
    code = code.replace("finrl.agents.stablebaselines3.models", "finrl_ray")
    code = code.replace("stable_baselines3.common.callbacks", "finrl_ray")
    return re.sub(r"\b(\d+)000\b", lambda match: str(int(match[1]) * 10), code)


def without(tree: ast.Module, *, names: tuple[str, ...] | None) -> ast.Module:
    """Return a module without the definitions of `names`, or without any if None."""
    kept = [
        node
        for node in tree.body
        if not isinstance(node, ast.ClassDef | ast.FunctionDef)
        or (names is not None and node.name not in names)
    ]
    return ast.Module(body=kept, type_ignores=[])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for IPython, which one snippet imports."""
    display = ModuleType("IPython.display")
    display.clear_output = lambda wait=False: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)


def test_every_definition_of_the_guide_is_a_name_of_the_package() -> None:
    defined = {
        node.name
        for block in BLOCKS
        for node in ast.parse(block).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    assert len(defined) > 10
    assert [name for name in sorted(defined) if not hasattr(finrl_ray, name)] == []


@pytest.mark.slow
@pytest.mark.parametrize("pasted", [False, True], ids=["ours", "pasted"])
def test_the_snippets_run(pasted: bool, tmp_path, monkeypatch, notebook) -> None:
    """Once with this package's definitions, once with the guide's own pasted over them."""
    monkeypatch.chdir(tmp_path)
    names = supplied()
    servers = []

    def launch(*args: Any, **kwargs: Any) -> Any:
        servers.append(finrl_ray.launch_tensorboard(*args, **kwargs))
        return servers[-1]

    names["launch_tensorboard"] = launch
    try:
        for number, block in enumerate(BLOCKS):
            tree = without(ast.parse(changed(block)), names=NOT_PASTED if pasted else None)
            exec(compile(tree, f"block {number}", "exec"), names)
    finally:
        for server in servers:
            server.stop()
    folder = Path(names["experiment_dir"])
    assert folder.parent.resolve() == (tmp_path / "experiments").resolve()
    assert names["trained_model"].num_timesteps >= 1000
    assert len(servers) == 1
