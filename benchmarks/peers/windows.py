"""The rows that the peers train and validate on, as FinRL's env takes them."""

import json
from pathlib import Path

import pandas as pd
from finrl_peer import finrl_env
from markets import N_VALIDATION


def finrl_envs() -> tuple[object, object]:
    """Return FinRL's env over the train rows and over the validation rows."""
    frame = pd.read_parquet("market.parquet")
    indicators = json.loads(Path("indicators.json").read_text(encoding="utf-8"))
    dates = sorted(frame["date"].unique())
    train = frame[frame["date"] < dates[-N_VALIDATION - 2]]
    validation = frame[frame["date"].isin(dates[-N_VALIDATION - 2 : -2])]
    return finrl_env(train, indicators), finrl_env(validation, indicators)
