"""Windows as worked numbers."""

import pytest

from finrl_ray.errors import ConfigError
from finrl_ray.workflows.ensemble.windows import EnsembleWindow, rolling_windows


def windows(n_dates: int, *, rebalance: int = 3, validation: int = 4) -> list[EnsembleWindow]:
    rows = {"train_start": 2, "first_row": 10, "stop_row": 10 + n_dates}
    found = rolling_windows(**rows, rebalance_window=rebalance, validation_window=validation)
    return list(found)


def ranges(window: EnsembleWindow) -> tuple[int, ...]:
    return (
        window.iteration,
        window.train_start,
        window.validation_start,
        window.trade_start,
        window.trade_stop,
        window.value_stop,
    )


def test_two_full_windows_and_a_shorter_last_one() -> None:
    # dates 10..21: validation 10..13, trade 14..16; 13..16, 17..19; 16..19, 20..21
    assert [ranges(window) for window in windows(12)] == [
        (7, 2, 10, 14, 17, 18),
        (10, 2, 13, 17, 20, 21),
        (12, 2, 16, 20, 22, 22),
    ]


def test_training_grows_up_to_each_validation_and_never_into_it() -> None:
    found = windows(20)
    assert [w.validation_start for w in found] == [10, 13, 16, 19, 22]
    assert {w.train_start for w in found} == {2}
    assert all(w.trade_start - w.validation_start == 4 for w in found)


def test_trading_leaves_no_day_out_and_doubles_none() -> None:
    for n_dates in range(7, 25):
        found = windows(n_dates)
        traded = [row for w in found for row in range(w.trade_start, w.trade_stop)]
        last = 10 + n_dates - 1
        # on the last date the account is only valued
        assert traded in (list(range(14, last + 1)), list(range(14, last)))
        assert found[-1].value_stop == last + 1


def test_a_single_date_left_over_makes_no_window() -> None:
    found = windows(4 + 3 + 1)
    assert [ranges(window) for window in found] == [(7, 2, 10, 14, 17, 18)]


def test_finrls_labels_are_kept_for_full_windows() -> None:
    n_dates, rebalance, validation = 25, 3, 4
    labels = list(range(rebalance + validation, n_dates, rebalance))
    found = [w.iteration for w in windows(n_dates)]
    assert found[: len(labels)] == labels
    assert found[len(labels) :] == [n_dates]


def test_windows_longer_than_the_data_name_the_numbers() -> None:
    with pytest.raises(ConfigError, match=r"at least 7 dates.*validation_window 4.*3.*got 6"):
        windows(6)
    assert len(windows(7)) == 1


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"rebalance": 0}, "rebalance_window must be >= 1 day, got 0"),
        ({"validation": 3}, "validation_window must be >= 4 days.*got 3"),
    ],
)
def test_senseless_lengths_are_refused(lengths: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        windows(20, **lengths)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"at least 2 dates to train on.*got 1"):
        rolling_windows(
            train_start=9, first_row=10, stop_row=40, rebalance_window=3, validation_window=4
        )
