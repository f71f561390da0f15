"""An ensemble acts in the env that its search would have tested it in; the row after the last."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bit_equality import assert_equal_bits
from deployed_agents import TRAINED_ROWS, experiment, price_frame, small_agent

from finrl_ray.agents.ensemble_model.files import SavedMember, load_ensemble, save_ensemble
from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.agents.models import save_model
from finrl_ray.agents.rollout import evaluate_account
from finrl_ray.config.env import EnvConfig
from finrl_ray.data.chosen_features import market_of_sample
from finrl_ray.data.load import market_data_of
from finrl_ray.deployment.acting_env import with_a_row_after
from finrl_ray.deployment.agent import load_agent
from finrl_ray.deployment.agent_folder import write_agent
from finrl_ray.deployment.holdings import Holdings
from finrl_ray.deployment.onnx_policy.export import export_agent
from finrl_ray.env.scaling import fitted_scaling
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.files.manifest import fingerprint, write_folder_manifest
from finrl_ray.search.results.ensemble_parts import ensembles_env
from finrl_ray.support.extras import EXTRAS
from finrl_ray.training.folds import train_on

WEIGHTS = {"action": "target_weights", "no_trade_band": 0.02}
MEMBERS = (
    ("ppo", {**WEIGHTS, "observation_scaling": "train"}, {}, {}),
    (
        "ppo",
        {**WEIGHTS, "observation": "stationary", "return_horizons": (1, 3)},
        {"normalize": True, "n_stack": 2},
        {"data.features": ["swing"]},
    ),
    ("recurrent_ppo", {**WEIGHTS, "observation_scaling": "train"}, {}, {}),
)
VIEWS = ("observation_1", "observation_2", "observation_1")


def test_an_ensemble_gives_the_orders_of_its_account_on_every_bar(tmp_path: Path) -> None:
    whole = experiment(env=WEIGHTS)
    frame = price_frame(halts=0.03)
    market = market_data_of(frame, whole.data)[0]
    trained = market.rows(0, TRAINED_ROWS)
    members, scalings = [], {}
    for number, (algorithm, env, agent, sample) in enumerate(MEMBERS):
        config = experiment(algorithm, env=env, agent=agent)
        rows = market_of_sample(trained, sample)
        scaling = scalings[VIEWS[number]] = fitted_scaling(config.env, rows)
        model = train_on(resolve_sample({}, config.agent), config, rows, scaling, number)
        file = tmp_path / f"{number}" / "model.zip"
        file.parent.mkdir()
        save_model(model, file)
        members.append(
            (
                SavedMember(
                    file="",
                    sha256="",
                    algorithm=algorithm,
                    env=config.env,
                    normalized=bool(agent),
                    view=VIEWS[number],
                    trial=number,
                    rank=number + 1,
                    sample=sample,
                ),
                file,
            )
        )
    save_ensemble(tmp_path / "best", members, {})
    folder = write_agent(
        tmp_path / "agent",
        config=whole,
        model=tmp_path / "best",
        bars=frame,
        trained=trained,
        scalings=scalings,
    )
    window = market.rows(TRAINED_ROWS - 1, market.n_periods)
    env = ensembles_env([member for member, _ in members], trained, window)
    (history,) = evaluate_account(load_ensemble(tmp_path / "best"), env)
    assert np.any(history.trades)
    agent = load_agent(folder)
    assert agent.facts["members"] == [0, 1, 2]
    for day, traded in enumerate(history.trades):
        market_then = market.rows(0, TRAINED_ROWS + day)
        signal = agent.act(market_then)
        assert_equal_bits(signal.orders, traded + 0.0)
        if day % 10 == 9:
            assert load_agent(folder).act(market_then).to_dict() == signal.to_dict()
    if all(map(importlib.util.find_spec, EXTRAS["onnx"])):
        with pytest.raises(ConfigError, match=r"got recurrent_ppo \(trial 2 of the ensemble\)"):
            export_agent(folder, tmp_path / "model.onnx")
    held = dict(zip(signal.tickers, signal.holdings_before.tolist(), strict=True))
    same = Holdings(cash=signal.cash_before, shares=held, bought_at={"AAA": 1.0})
    assert agent.act(market_then, same).to_dict() == signal.to_dict()
    assert not np.array_equal(
        agent.act(market_then, Holdings(cash=1e5, shares={})).orders, signal.orders
    )

    # any file of a member
    for path in sorted((folder / "members").iterdir()):
        copy = Path(shutil.copytree(folder, tmp_path / "copy"))
        changed = copy / "members" / path.name
        changed.write_bytes(changed.read_bytes()[:-3])
        with pytest.raises(SearchError, match="not what was deployed: members/: "):
            load_agent(copy)
        shutil.rmtree(copy)
    (folder / "members" / "more.zip").write_bytes(b"")
    with pytest.raises(SearchError, match=r"members/more.zip was added"):
        load_agent(folder)
    (folder / "members" / "more.zip").unlink()
    manifest = folder / "members" / "manifest.json"
    content = manifest.read_text(encoding="utf-8")
    manifest.write_text(json.dumps(json.loads(content)), encoding="utf-8")
    with pytest.raises(SearchError, match=r"members/manifest.json does not match its checksum"):
        load_agent(folder)


@pytest.mark.parametrize("key", ["algorithm", "class_"])
def test_no_code_that_a_member_names_beside_the_config_is_run(
    tmp_path: Path, key, monkeypatch
) -> None:
    """Somebody names code in the file of an ensemble, with manifests that fit."""
    (tmp_path / "planted_code.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n", encoding="utf-8"
    )
    config = experiment(env=WEIGHTS)
    alone = small_agent(tmp_path, config)
    member = SavedMember(
        file="",
        sha256="",
        algorithm="ppo",
        env=config.env,
        normalized=False,
        view="observation",
        trial=0,
        rank=1,
        sample={},
    )
    save_ensemble(tmp_path / "best", [(member, alone.model_file)], {})
    folder = write_agent(
        tmp_path / "other",
        config=config,
        model=tmp_path / "best",
        bars=alone.frame,
        trained=alone.market.rows(0, TRAINED_ROWS),
    )
    assert load_agent(folder).act(alone.market).orders.shape == (3,)
    file = folder / "members" / "ensemble.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    named = content["members"][0] if key == "algorithm" else content["members"][0]["env"]
    named[key] = "planted_code:Planted"
    if key == "class_":
        for name in ("action", "no_trade_band"):
            named[name] = getattr(EnvConfig(), name)
    file.write_text(json.dumps(content), encoding="utf-8")
    write_folder_manifest(folder / "members")
    digest = fingerprint(folder / "members" / "manifest.json")["sha256"]
    write_folder_manifest(folder, folders={"members": digest})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="names planted_code:Planted, which the config does not"):
        load_agent(folder)
    assert not (tmp_path / "ran").exists()


def test_in_the_row_after_the_last_nothing_has_moved() -> None:
    config = experiment()
    market = market_data_of(price_frame(20, halts=0.2), config.data)[0]
    while market.tradable[-1].all():
        market = market.rows(0, market.n_periods - 1)
    longer = with_a_row_after(market)
    assert longer.n_periods == market.n_periods + 1
    assert longer.rows(0, market.n_periods).content_hash == market.content_hash
    assert_equal_bits(longer.close[-1], market.close[-1])
    assert_equal_bits(longer.open[-1], market.close[-1])
    assert_equal_bits(longer.features[-1], market.features[-1])
    assert longer.dates[-1] == market.dates[-1] + np.timedelta64(1, "D")
    assert longer.tradable[-1].all()
    assert (longer.volume[-1] > 0).all()
    assert (with_a_row_after(market.rows(3, 4)).dates[-1] - market.dates[3]).astype(int) > 0
