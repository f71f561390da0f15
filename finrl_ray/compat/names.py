"""FinRL's constants: folders, dates and the indicator list (its `config`), and `main`'s helper."""

from collections.abc import Iterable
from pathlib import Path

from finrl_ray.data.indicators import FINRL_INDICATORS

DATA_SAVE_DIR = "datasets"
TRAINED_MODEL_DIR = "trained_models"
TENSORBOARD_LOG_DIR = "tensorboard_log"
RESULTS_DIR = "results"

TRAIN_START_DATE = "2014-01-06"
TRAIN_END_DATE = "2020-07-31"
TEST_START_DATE = "2020-08-01"
TEST_END_DATE = "2021-10-01"
TRADE_START_DATE = "2021-11-01"
TRADE_END_DATE = "2021-12-01"

INDICATORS = list(FINRL_INDICATORS)


def check_and_make_directories(directories: Iterable[str | Path]) -> None:
    """Make the folders that do not exist yet, relative to the working directory."""
    for directory in directories:
        Path(directory).mkdir(parents=True, exist_ok=True)
