"""Each leak is found by its own check, and clean data are left in peace."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.data import features as features_module
from finrl_ray.data.sources.bundled import read_bundled
from finrl_ray.data.sources.generated import generated_market
from finrl_ray.diagnostics.findings import FindingsReport
from finrl_ray.diagnostics.leaks.audit import audit_config, audit_data
from finrl_ray.errors import DataError

Leak = Callable[[pd.DataFrame], pd.Series]


def config(*columns: str, market: tuple[str, ...] = (), **sections: object) -> ExperimentConfig:
    data = {"features": ["macd", *columns], "market_columns": list(market)}
    # three tickers of a small market take 1,000,000 too slowly, which is said too
    return parse_config({"data": data, "env": {"initial_amount": 100_000}, **sections})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    df = read_bundled()
    dates = sorted(df["date"].unique())[:900]
    return df[df["date"].isin(dates)].reset_index(drop=True)


def audited(df: pd.DataFrame, column: Leak, **sections: object) -> FindingsReport:
    leaky = df.copy()
    leaky["x"] = column(leaky)
    return audit_data(leaky, config("x", **sections))


def by_ticker(df: pd.DataFrame, change: Callable[[pd.Series], pd.Series]) -> pd.Series:
    return df.groupby("tic")["close"].transform(change)


def causal(df: pd.DataFrame) -> pd.Series:
    return by_ticker(df, lambda s: s / s.rolling(10, min_periods=1).mean() - 1)


ERRORS: dict[str, tuple[Leak, str]] = {
    "tomorrow's return": (
        lambda df: by_ticker(df, lambda s: s.shift(-1) / s - 1).fillna(0.0),
        "is the next return",
    ),
    "tomorrow's close": (
        lambda df: by_ticker(df, lambda s: s.shift(-1).ffill()),
        "is the next close",
    ),
    "a return of later days": (
        lambda df: by_ticker(df, lambda s: s.shift(-3) / s.shift(-2) - 1).fillna(0.0),
        "the return 3 days later",
    ),
}
WARNINGS: dict[str, tuple[Leak, str]] = {
    "a centred mean": (
        lambda df: by_ticker(df, lambda s: s.rolling(7, center=True, min_periods=1).mean()),
        "the distance from the close of x has a rank correlation",
    ),
    "tomorrow with noise": (
        lambda df: (
            by_ticker(df, lambda s: s.shift(-1) / s - 1).fillna(0.0)
            + np.random.default_rng(0).normal(0, 0.03, len(df))
        ),
        "x has a rank correlation",
    ),
    "the whole sample's z-score": (
        lambda df: (causal(df) - causal(df).mean()) / causal(df).std(),
        "a mean of 0 and a deviation of 1 over all rows",
    ),
    "the whole sample's range": (
        lambda df: (causal(df) - causal(df).min()) / (causal(df).max() - causal(df).min()),
        "the range 0 to 1 over all rows",
    ),
    "filled back": (
        lambda df: by_ticker(df, lambda s: s.rolling(20).mean().bfill() / s.iloc[0]),
        "they were filled from later rows",
    ),
    "one value per date": (
        lambda df: df.groupby("date")["close"].transform("mean") / 100,
        "one value per date for all tickers",
    ),
    "rows of several tickers": (
        lambda df: (
            df["close"].pct_change().fillna(0.0).rolling(4, min_periods=1).mean()
            + df.groupby("date")["close"].transform("sum").diff().fillna(0.0)
        ),
        "follow the other tickers' returns",
    ),
    "another ticker's values": (
        lambda df: by_ticker(df, lambda s: s.rolling(9, min_periods=1).mean()).where(
            df["tic"] != "IBM",
            df["date"].map(
                df[df["tic"] == "AAPL"].set_index("date")["close"].rolling(9, min_periods=1).mean()
            ),
        ),
        "of AAPL equals that of IBM",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_leaks_are_errors(frame, name) -> None:
    column, words = ERRORS[name]
    report = audited(frame, column)
    assert not report.healthy
    assert any(words in item.what for item in report.of("error")), report.findings
    assert all(item.remedy for item in report.of("error"))


@pytest.mark.parametrize("name", WARNINGS)
def test_what_may_be_a_leak_is_a_warning(frame, name) -> None:
    column, words = WARNINGS[name]
    report = audited(frame, column)
    said = [item.what for item in (*report.of("warning"), *report.of("error"))]
    assert any(words in what for what in said), report.findings


def test_a_causal_column_and_the_bundled_data_are_clean(frame) -> None:
    report = audited(frame, causal)
    assert report.of("error") == report.of("warning") == ()
    assert "data.features: compared at 6 dates" in "\n".join(
        f"{item.where}: {item.what}" for item in report.of("ok")
    )


def test_a_train_window_may_begin_after_the_dates_that_are_looked_at(frame) -> None:
    dates = sorted(frame["date"].unique())
    windows = {
        "train": [str(dates[600])[:10], str(dates[700])[:10]],
        "validation": [str(dates[700])[:10], str(dates[800])[:10]],
        "test": [str(dates[800])[:10], None],
    }
    for env in ({}, {"observation": "stationary"}):
        found = audited(frame, causal, split=windows, env={"initial_amount": 1e5, **env})
        assert not [item for item in found.findings if item.level == "error"]


@pytest.mark.parametrize("seed", range(20))
def test_random_markets_are_clean(seed) -> None:
    df = generated_market("noise", seed=seed, n_days=700, tickers=("A", "B", "C"))
    rng = np.random.default_rng(seed)
    df["x"] = causal(df)
    df["y"] = np.cumsum(rng.normal(size=len(df)))  # wanders as prices do, and knows nothing
    df["z"] = rng.normal(size=len(df))
    report = audit_data(df, config("x", "y", "z"))
    assert report.of("error") == report.of("warning") == (), report.findings


@pytest.mark.parametrize(
    ("fill", "short"), [("close", False), ("next_open", False), ("close", True)]
)
def test_target_weights_do_not_look_ahead(frame, fill, short) -> None:
    # a leak is found, and nothing else is; hmax does not matter
    env = {"action": "target_weights", "hmax": 1, "fill": fill, "initial_amount": 1_000_000}
    env["short"] = short
    report = audited(frame, causal, env=env)
    assert report.of("error") == report.of("warning") == (), report.findings
    column, words = next(iter(ERRORS.values()))
    assert any(words in item.what for item in audited(frame, column, env=env).of("error"))


def test_a_computed_feature_that_looks_ahead_is_found(frame, monkeypatch) -> None:
    """A fault of our own: the indicator is shifted by a row into the past."""
    computed = features_module.add_features

    def leaky(data, indicators, progress):
        import dataclasses

        whole = computed(data, indicators)
        ahead = whole.features.copy()
        ahead[:-1] = whole.features[1:]
        return dataclasses.replace(whole, features=ahead)

    monkeypatch.setattr("finrl_ray.data.load.add_features", leaky)
    report = audit_data(frame, config())
    (error,) = [item for item in report.of("error") if item.where == "data.features.macd"][:1]
    assert "is another number without the rows after" in error.what


def test_a_computed_feature_that_mixes_tickers_is_found(frame, monkeypatch) -> None:
    computed = features_module.add_features

    def mixing(data, indicators, progress):
        import dataclasses

        whole = computed(data, indicators)
        mean = np.broadcast_to(whole.features.mean(axis=1, keepdims=True), whole.features.shape)
        return dataclasses.replace(whole, features=mean.copy())

    monkeypatch.setattr("finrl_ray.data.load.add_features", mixing)
    report = audit_data(frame, config())
    assert any("changes with the prices of AAPL" in item.what for item in report.of("error"))


def test_prices_that_come_again_in_another_window_are_found(frame) -> None:
    dates = sorted(frame["date"].unique())
    copied = frame.copy()
    # days 700..719 repeat the returns of days 100..119
    wide = copied.pivot_table(index="date", columns="tic", values="close")
    factor = wide.to_numpy()[100:120] / wide.to_numpy()[100]
    for tic in wide:
        k = list(wide).index(tic)
        rows = copied["date"].isin(dates[700:720]) & (copied["tic"] == tic)
        copied.loc[rows, "close"] = wide[tic].to_numpy()[700] * factor[:, k]
    report = audit_data(copied, config())
    assert any("have been in train before" in item.what for item in report.of("error"))


def test_a_rule_that_lives_on_the_same_close_is_noticed() -> None:
    """Closes bounce between bid and ask, opens do not: reversal earns at the close alone."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2015-01-01", periods=900).strftime("%Y-%m-%d")
    rows = []
    for tic in ("A", "B", "C"):
        mid = 100 * np.exp(np.cumsum(rng.normal(0, 0.005, 900)))
        close = mid * (1 + 0.01 * rng.choice([-1.0, 1.0], 900))
        opened = np.r_[mid[:1], mid[:-1]]
        frame = pd.DataFrame({"date": dates, "tic": tic, "open": opened, "close": close})
        rows.append(frame.assign(high=close * 1.02, low=close * 0.98, volume=1e6))
    df = pd.concat(rows, ignore_index=True)
    report = audit_data(df, config(env={"hmax": 5000}))
    assert any("cannot be traded" in item.what for item in report.of("warning"))
    asked = audit_data(df, config(env={"hmax": 5000, "fill": "next_open"}))
    assert not any("cannot be traded" in item.what for item in asked.of("warning"))


def test_without_opens_the_fills_are_not_compared(frame) -> None:
    report = audit_data(frame[["date", "tic", "close"]], config())
    assert any("no open for every quote" in item.what for item in report.of("note"))


@pytest.mark.parametrize(
    ("where", "env"),
    [
        ("env.observation_scaling", {"observation_scaling": "train"}),
        ("env.observation", {"observation": "stationary", "lookback": 3}),
    ],
)
def test_the_scaling_is_fitted_again(frame, where, env) -> None:
    report = audit_data(frame, config(env=env))
    said = [item.where for item in report.of("ok") if "on the train window alone" in item.what]
    assert said == [where]
    assert any("do not depend on later prices" in item.what for item in report.of("ok"))


def test_the_command_ends_with_2_on_a_leak(frame, tmp_path: Path) -> None:
    leaky = frame.copy()
    leaky["x"] = ERRORS["tomorrow's return"][0](leaky)
    leaky.to_csv(tmp_path / "prices.csv", index=False)
    file = tmp_path / "config.yaml"
    file.write_text("data: {source: prices.csv, features: [macd, x]}\n")
    assert not audit_config(file).healthy
    assert audit_config(file, ["data.features=[macd]"]).healthy
    done = subprocess.run(
        [sys.executable, "-m", "finrl_ray", "audit", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "x of AAPL is the next return" in done.stdout


def test_dates_with_a_time_zone_and_rows_that_cannot_be_used(frame) -> None:
    zoned = frame.assign(date=pd.to_datetime(frame["date"]).dt.tz_localize("America/New_York"))
    assert audit_data(zoned, config()).healthy
    with pytest.raises(DataError, match="tic"):
        audit_data(frame.drop(columns="tic"), config())


def test_doubts_about_prices_are_said_with_what_to_do(frame) -> None:
    late = frame["date"] >= "2006-06-01"
    split = (frame["tic"] == "IBM") & late
    broken = frame.copy()
    broken.loc[split, ["open", "high", "low", "close"]] /= 4
    broken.loc[split, "volume"] *= 4
    broken = broken[~((broken["tic"] == "GOOG") & (broken["date"] >= "2007-01-03"))]
    report = audit_data(broken, config(env={"hmax": 1}))
    said = {item.where: item for item in report.of("warning")}
    prices = [item for item in report.of("warning") if item.where == "prices"]
    assert [item.what.split()[0] for item in prices] == ["GOOG", "IBM"]
    assert "GOOG ends on 2006-12-29" in prices[0].what
    assert "IBM changes by -7" in prices[1].what
    assert "4:1 split" in prices[1].what
    assert "adjusted prices" in prices[1].remedy
    assert "set env.hmax to" in said["env.hmax"].remedy


def test_every_feature_that_a_trial_may_choose_is_audited() -> None:
    frame = read_bundled()
    next_close = frame.groupby("tic")["close"].shift(-1)
    rows = frame.assign(tomorrow=next_close.fillna(frame["close"]))
    space = {"data.features": {"choice": [["macd"], ["macd", "tomorrow"]]}}
    raw = {"data": {"features": ["macd"]}, "search": {"space": space}}
    found = audit_data(rows, parse_config(raw))
    leaks = [item for item in found.of("error") if "tomorrow" in f"{item.where} {item.what}"]
    assert leaks
    quiet = audit_data(rows, parse_config({"data": {"features": ["macd"]}}))
    assert not [item for item in quiet.of("error") if "tomorrow" in f"{item.where} {item.what}"]
