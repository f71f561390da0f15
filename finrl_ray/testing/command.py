"""What `finrl-ray check` does: the env of a file here, in a config's window or a bundled one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finrl_ray.config.load import load_config
from finrl_ray.config.trial.own_code import own_references
from finrl_ray.data.load import load_market_data
from finrl_ray.data.windows.split import make_split
from finrl_ray.own_code.code_files import collect_code
from finrl_ray.own_code.finder import activate
from finrl_ray.own_code.kinds import KINDS
from finrl_ray.testing.trading_env import EnvReport, check_trading_env


def check_reference(
    reference: str, config: Path | None = None, overrides: Sequence[str] = ()
) -> EnvReport:
    """Return what is found of an env that a reference names.

    Parameters
    ----------
    reference : `module:name`, of a file in the folder of the config, or in this one; or the name of
        an entry point
    config : a YAML file, whose validation window is traded under its account and `class_kwargs`;
        None: the bundled prices and the defaults
    overrides : `key=value` strings, of the config

    Raises
    ------
    ConfigError, DataError
        If the class, the config or its data cannot be loaded.
    """
    folder = Path() if config is None else config.parent
    activate(collect_code({KINDS["env"].key: reference}, folder))
    if config is None:
        return check_trading_env(reference)
    loaded = load_config(config, overrides)
    market, _ = load_market_data(loaded.data, base_dir=folder)
    # the env's file and the config's others, of which loading the data has left its own alone
    named = [one for one in own_references(loaded) if one.kind != "env"]
    files = {one.key: one.reference for one in named} | {KINDS["env"].key: reference}
    activate(collect_code(files, folder), [(one.reference, one.kind) for one in named])
    window = make_split(market, loaded.split).validation.cut(market)
    account = loaded.env
    if account.class_ != reference:
        account = replace(account.of_this_package(), class_=reference)
    return check_trading_env(reference, window, config=account)
