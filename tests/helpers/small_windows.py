"""Three short windows of real prices with two indicators, in FinRL's long format."""

import pandas as pd

from finrl_ray.data.sources.bundled import read_bundled


def small_windows() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    df = read_bundled().query("'2004-09-01' <= date < '2005-10-01'").copy()
    change = df.groupby("tic")["close"].pct_change().fillna(0.0)
    df["change"], df["rsi_30"] = change, 50.0
    return (
        df.query("date < '2005-04-01'"),
        df.query("'2005-04-01' <= date < '2005-07-01'"),
        df.query("date >= '2005-07-01'"),
    )
