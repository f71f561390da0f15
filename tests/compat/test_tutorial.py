"""docs/migration.md runs as it stands there: FinRL's three steps, both tuners, a zoo entry."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from repository import REPOSITORY

from finrl_ray.config.load import load_config

DOC = (REPOSITORY / "docs" / "migration.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", DOC, flags=re.DOTALL)
SMALL = {
    "TIMESTEPS = 50_000": "TIMESTEPS = 256",
    '"n_steps": 2048': '"n_steps": 128',
    '"buffer_size": 1_000_000': '"buffer_size": 5_000',
    "n_trials=30": "n_trials=2, max_concurrent_trials=1",
    "num_samples=8": "num_samples=2, timesteps_per_iteration=128",
    "concurrent_trials=2": "concurrent_trials=1",
    "training_iterations=20": "training_iterations=2",
}
TITLES = ("imports", "features", "product", "envs", "train", "trade", "baselines", "tune", "rllib")


def snippets() -> dict[str, str]:
    """Return the snippets with budgets that a test can afford."""
    assert len(BLOCKS) == len(TITLES)
    text = "\0".join(BLOCKS)
    for written, small in SMALL.items():
        assert written in text
        text = text.replace(written, small)
    return dict(zip(TITLES, text.split("\0"), strict=True))


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "docs/migration.md", "exec"), names)  # our own text


@pytest.mark.slow
def test_the_snippets_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_session: None, caplog: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    code, names = snippets(), dict[str, Any]()
    for title in ("imports", "features"):
        run(code[title], names)
    processed = names["processed"]
    assert processed.isna().sum().sum() == 0
    # holes in the product, in either window, as a CSV of the user's may have them
    hole = (processed["tic"] == "IBM") & processed["date"].isin(["2008-03-03", "2010-05-05"])
    assert hole.sum() == 2
    names["processed"] = processed[~hole]
    for title in TITLES[2:7]:
        run(code[title], names)
    train, result = names["train"], names["result"]
    assert train.index.max() == train["date"].nunique() - 1
    assert (train["close"] == 0).sum() == 1
    models = {path.name for path in Path("trained_models").iterdir()}
    algorithms = list(names["PARAMETERS"])
    assert models == {f"agent_{name}.zip" for name in algorithms}
    assert list(result.columns) == ["min_variance", "equal_weight", *algorithms]
    assert result.notna().all(axis=None)
    assert list(result.index) == names["trade"]["date"].unique().tolist()
    assert result.iloc[0].tolist() == pytest.approx([1_000_000] * len(result.columns))
    # no price of 0 was ever traded or counted
    assert result.pct_change().abs().max(axis=None) < 0.2
    for name in algorithms:
        assert names["actions"][name].loc["2010-05-05", "IBM"] == 0
    assert names["statistics"].loc["Max drawdown"].le(0).all()
    written = pd.read_csv("results/ppo/progress.csv")
    assert "time/total_timesteps" in written.columns

    run(code["tune"], names)
    assert len(names["study"].trials_dataframe()) == 2
    np.testing.assert_array_equal(names["account_value"]["date"], result.index)
    run(code["rllib"], names)
    assert len(names["results_df"]) == 2
    account, _ = names["DRLAgent"].DRL_prediction(names["test_agent"], names["e_trade_gym"])
    assert len(account) == len(result)


def test_the_zoo_entry_loads(tmp_path: Path) -> None:
    (entry,) = re.findall(r"```yaml\n(.*?)```", DOC, flags=re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text(entry, encoding="utf-8")
    agent = load_config(path).agent
    assert (agent.total_timesteps, agent.n_envs, agent.normalize) == (100_000, 4, True)
    assert agent.model_kwargs["policy_kwargs"]["activation_fn"] == "tanh"


def test_every_name_in_the_table_is_exported() -> None:
    import finrl_ray.compat as compat

    table = DOC[: DOC.index("## The three-step tutorial")]
    named = set(re.findall(r"`(?:finrl\.[\w.]+: )?([A-Za-z_0-9]+)`", table)) - {"config_tickers"}
    rows = re.findall(r"^\| `finrl[\w.]*\.(\w+)` \| `finrl_ray.compat`", table, flags=re.MULTILINE)
    for name in [*rows, *(n for n in named if n[0].isupper())]:
        assert name in compat.__all__ or name == "X"
