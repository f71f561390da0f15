"""`finrl-ray check` as typed."""

import json
import sys
from pathlib import Path

import own_envs
import pytest

from finrl_ray.cli.main import main
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate

CONFIG = """
data: {source: bundled, tickers: [AAPL, MSFT], features: [macd]}
env: {class: "my_env:ValueEnv", class_kwargs: {window: 2}}
split:
  train: [null, 2008-01-01]
  validation: [2008-01-01, 2008-07-01]
  test: [2008-07-01, 2009-01-01]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = Path(own_envs.__file__).read_text(encoding="utf-8")
    (tmp_path / "my_env.py").write_text(text, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield
    activate(CodeFiles())


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", "check", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_usable_env_ends_with_0_and_says_what_is_missing(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "my_env:ValueEnv") == 0
    shown = capsys.readouterr().out
    assert "ValueEnv (my_env.py, line " in shown
    assert "has no get_state and no set_state" in shown
    assert "a search takes this env" in shown


def test_an_env_that_a_search_refuses_ends_with_1(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "my_env:LookingAheadEnv", "--json") == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["usable"] is False
    (broken,) = [one for one in shown["findings"] if one["level"] == "broken"]
    assert broken["name"] == "causality"
    assert "rows up to t alone" in broken["remedy"]


def test_a_config_gives_window_and_keywords(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "my_env:ValueEnv", "--config", "config.yaml") == 0
    assert "an episode of 124 steps over 125 rows" in capsys.readouterr().out
    wrong = ("--config", "config.yaml", "--set", "env.class_kwargs.windo=3")
    assert run(monkeypatch, "my_env:ValueEnv", *wrong) == 1
    assert "Did you mean 'window'" in capsys.readouterr().out


def test_a_config_with_features_of_its_own_is_loaded_with_them(
    monkeypatch, capsys, tmp_path: Path
) -> None:
    text = "def compute(prices):\n    return prices['close'] / prices['open']\n"
    (tmp_path / "my_features.py").write_text(text, encoding="utf-8")
    own = CONFIG.replace("[macd]", "['my_features:compute']")
    (tmp_path / "config.yaml").write_text(own, encoding="utf-8")
    # an env that is not the config's, in a file that is none of its features'
    (tmp_path / "other_env.py").write_text("from my_env import ValueEnv\n", encoding="utf-8")
    for reference in ("my_env:ValueEnv", "other_env:ValueEnv"):
        assert run(monkeypatch, reference, "--config", "config.yaml") == 0
        assert "an episode of 124 steps over 125 rows" in capsys.readouterr().out


def test_a_class_that_is_not_there_is_an_error(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "my_env:ValuEnv") == 2
    assert "Did you mean 'ValueEnv'" in capsys.readouterr().err
