"""Code of the user's in an agent's folder: run for whoever wrote it, for others with trust."""

import base64
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TRAINED_ROWS, experiment, small_agent
from own_code_files import active_code_of

from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.own_code.code_files import CodeFiles
from finrl_ray.own_code.finder import activate, active_code

OWN_ENV = '''
    """An env that says what it trades."""
    import pathlib

    import gymnasium as gym
    import numpy as np

    pathlib.Path(__file__).with_suffix(".ran").write_text("ran")


    class MyEnv(gym.Env):
        def __init__(self, prices, silent=False):
            self.prices, self.silent = prices, silent
            n = prices.shape[1]
            self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2 * n,), np.float32)
            self.action_space = gym.spaces.Box(-1.0, 1.0, (n,), np.float32)

        def _seen(self):
            before = self.prices[max(self.day - 1, 0)]
            now = self.prices[self.day] / before - 1.0
            return np.concatenate([10 * now, self.shares / 100]).astype(np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.day, self.cash, self.shares = 0, 1e5, np.zeros(self.prices.shape[1])
            self.values, self.trades = [1e5], []
            return self._seen(), {}

        def step(self, action):
            traded = np.round(100 * np.asarray(action, dtype=np.float64)) - self.shares
            self.cash -= float(traded @ self.prices[self.day])
            self.shares = self.shares + traded
            self.trades.append(traded)
            self.day += 1
            self.values.append(self.cash + float(self.shares @ self.prices[self.day]))
            done = self.day == len(self.prices) - 1
            account = {"account_value": self.values}
            if not self.silent:
                account["trades"] = np.array(self.trades)
            info = {"account_history": account} if done else {}
            return self._seen(), self.values[-1] - self.values[-2], False, done, info
'''
REFERENCE = "my_deployed_env:MyEnv"


@pytest.fixture
def own(tmp_path):
    (tmp_path / "code").mkdir()
    references = {"env.class": REFERENCE}
    with active_code_of(tmp_path / "code", references, my_deployed_env=OWN_ENV):
        yield tmp_path


def own_agent(place, **keywords):
    env = {"class_": REFERENCE, "class_kwargs": keywords, "hmax": 100.0}
    config = experiment(env={**env, "risk_indicator_col": "turbulence"})
    return small_agent(place, config, code=active_code())


def test_an_own_env_gives_the_orders_that_its_account_says(own) -> None:
    agent = own_agent(own)
    (history,) = evaluate_account(agent.model(), agent.env())
    assert np.any(history.trades)
    deployed = load_agent(agent.folder)
    for day in (0, 1, 12, len(history.trades) - 1):
        signal = deployed.act(agent.market.rows(0, TRAINED_ROWS + day))
        assert_equal_bits(signal.orders, history.trades[day] + 0.0)
        assert signal.account_value == history.account_value[day]
        assert_equal_bits(signal.holdings_before, history.trades[:day].sum(axis=0))
    assert_equal_bits(deployed.account(agent.market).account_value, history.account_value)
    with pytest.raises(ConfigError, match="leave holdings out to follow the agent's own"):
        deployed.act(agent.market, Holdings(cash=1.0, shares={}))


def test_an_own_env_that_says_no_trades_gives_no_orders(own) -> None:
    agent = own_agent(own, silent=True)
    with pytest.raises(ConfigError, match="does not say what it trades on each day"):
        load_agent(agent.folder).act(agent.market)


def test_code_of_somebody_else_is_run_with_trust_alone(own, monkeypatch) -> None:
    agent = own_agent(own)
    folder = Path(shutil.copytree(agent.folder, own / "sent"))
    activate(CodeFiles())
    monkeypatch.setenv("XDG_DATA_HOME", str(own / "another"))
    monkeypatch.setenv("LOCALAPPDATA", str(own / "another"))
    monkeypatch.setattr("tempfile.tempdir", str(own / "another"))
    with pytest.raises(SearchError, match=rf"{REFERENCE}. To go on is to run that code"):
        load_agent(folder)
    assert not list(folder.rglob("*.ran"))
    trusted = load_agent(folder, trust=True)
    assert trusted.act(agent.market.rows(0, TRAINED_ROWS)).orders.shape == (3,)
    assert list(folder.rglob("*.ran"))


def test_code_that_was_changed_added_or_taken_away_is_refused(own) -> None:
    folder = own_agent(own).folder
    file = folder / "own_code" / "my_deployed_env.py"
    whole = file.read_bytes()
    file.write_bytes(whole + b"\n")
    with pytest.raises(SearchError, match=r"my_deployed_env.py was changed; put back what was"):
        load_agent(folder)
    file.unlink()
    with pytest.raises(SearchError, match=r"my_deployed_env.py is missing"):
        load_agent(folder, trust=True)
    file.write_bytes(whole)
    (folder / "own_code" / "json.py").write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(SearchError, match=r"json.py was added"):
        load_agent(folder, trust=True)


class Planted:
    """Unpickling one makes a file: what a pickle of somebody else may do."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("described", [True, False])
def test_no_pickle_in_the_model_is_run(deployed, tmp_path, described) -> None:
    """Somebody has put pickles into the model, and written a manifest that fits."""
    folder = Path(shutil.copytree(deployed.folder, tmp_path / "agent"))
    planted = base64.b64encode(pickle.dumps(Planted(tmp_path / "run"))).decode()
    content = io.BytesIO()
    with (
        zipfile.ZipFile(folder / "model.zip") as model,
        zipfile.ZipFile(content, "w") as rewritten,
    ):
        data = json.loads(model.read("data"))
        for value in data.values():
            if isinstance(value, dict) and ":serialized:" in value:
                value[":serialized:"] = planted
        for name in model.namelist():
            if name == "data":
                rewritten.writestr(name, json.dumps(data))
            elif described or not name.startswith("finrl_ray"):
                rewritten.writestr(name, model.read(name))
    (folder / "model.zip").write_bytes(content.getvalue())
    write_folder_manifest(folder, folders={})
    try:
        load_agent(folder)
    except ConfigError as error:
        assert "cannot be loaded" in str(error)  # noqa: PT017  # it may be loaded, without them
    assert not (tmp_path / "run").exists()
    pickle.loads(base64.b64decode(planted))
    assert (tmp_path / "run").exists()
