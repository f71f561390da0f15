"""The result of opening the test window of a made search, as `finrl-ray backtest` leaves it."""

import json
from typing import Any

import pandas as pd

from finrl_ray._typing import FloatArray
from finrl_ray.metrics.registry import performance_summary
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import BACKTEST_FOLDER, CURVES_FILE, OPENINGS_FILE
from finrl_ray.workflows.backtest_files import RESULT_FILE


def opened_with(
    folder: SearchFolder,
    own: FloatArray,
    held: FloatArray,
    *,
    openings: int = 1,
    **more: Any,
) -> SearchFolder:
    """Write the accounts of the winner and of buy & hold on the test window into a search."""
    dates = pd.bdate_range("2021-02-01", periods=len(own))
    measures = {
        "agent": performance_summary(own, benchmark_value=held) | {"exposure": 0.5},
        "buy_and_hold": performance_summary(held, benchmark_value=held),
    }
    content = {
        "trial": 0,
        "model_hash": "",
        "window": ["2021-02-01", "2021-07-14"],
        "measures": measures,
        "rule": "residual",
        **more,
    }
    place = folder.path / BACKTEST_FOLDER
    place.mkdir()
    (place / RESULT_FILE).write_text(json.dumps(content), encoding="utf-8")
    curves = pd.DataFrame({"date": dates, "agent": own, "buy_and_hold": held})
    curves.to_csv(place / CURVES_FILE, index=False)
    with (folder.path / OPENINGS_FILE).open("w", encoding="utf-8") as file:
        file.writelines('{"by": "backtest"}\n' for _ in range(openings))
    return folder
