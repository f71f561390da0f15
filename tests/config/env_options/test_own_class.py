"""`env.class`: its key in the file, and which options stand beside it."""

from pathlib import Path
from typing import Any

import pytest
from own_envs import ValueEnv

from finrl_ray.config.dump import config_to_dict, dump_config
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.keys import known_keys
from finrl_ray.config.load import load_config, parse_config
from finrl_ray.config.reference.json_schema import config_schema
from finrl_ray.config.reference.reference_page import config_reference
from finrl_ray.config.trial.options import check_option
from finrl_ray.errors import ConfigError

OWN = {"class": "my_env:MyEnv", "class_kwargs": {"window": 3}}


def test_the_key_is_class_wherever_a_person_reads_or_writes_it(tmp_path: Path) -> None:
    config = parse_config({"env": OWN})
    assert config.env.class_ == "my_env:MyEnv"
    written = config_to_dict(config)["env"]
    assert (written["class"], written["class_kwargs"]) == ("my_env:MyEnv", {"window": 3})
    assert "class_" not in written
    dump_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    changed = load_config(tmp_path / "config.yaml", ["env.class=other:Env"])
    assert changed.env.class_ == "other:Env"
    assert "env.class" in known_keys()
    assert "env.class_" not in known_keys()
    properties = config_schema()["$defs"]["EnvConfig"]["properties"]
    assert "class" in properties
    assert "class_" not in properties
    assert "### `env.class`" in config_reference()
    assert hash(config.env) == hash(parse_config({"env": OWN}).env)


def test_a_class_may_be_given_in_python() -> None:
    assert EnvConfig(class_=ValueEnv).class_ == "own_envs:ValueEnv"  # type: ignore[arg-type]

    class Inner(ValueEnv):
        pass

    with pytest.raises(ConfigError, match="defined inside a function"):
        EnvConfig(class_=Inner)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"class": 3}, "env.class must be a valid string, got 3"),
        ({"clas": "a:b"}, "unknown key 'env.clas'. Did you mean 'env.class'"),
        ({"class_kwargs": {"a": 1}}, "need class .my_env:MyTradingEnv."),
        (
            {**OWN, "short": True, "action": "target_weights"},
            "action, short are options of this package's env .* leave them at the default",
        ),
        ({**OWN, "parity": True}, "parity is an option of this package's env"),
    ],
)
def test_what_means_nothing_beside_it_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"env": section})


def test_options_of_the_account_and_the_baselines_go_with_it() -> None:
    env = EnvConfig(
        class_="a:B", hmax=7, fill="next_open", fractional_shares=True, buy_cost_pct=0.0
    )
    assert env.of_this_package() == EnvConfig(
        hmax=7, fill="next_open", fractional_shares=True, buy_cost_pct=0.0
    )


def test_the_class_itself_is_not_searched() -> None:
    with pytest.raises(ConfigError, match=r"env\.class cannot be searched over"):
        check_option("env.class")
