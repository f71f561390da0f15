"""What a scheduler remembers of trials comes back from a pickle as it was, in order and type."""

import math
import pickle

import pytest

from finrl_ray.search.schedulers.packed_maps import PackedFloatMap, PackedIntMap

IDS = ["00000", "00002", "00001", "123456"]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_floats_come_back_bit_for_bit_and_can_grow(count: int) -> None:
    values = [0.1, -math.inf, 1e-310, math.nan]
    packed = PackedFloatMap()
    for name, value in zip(IDS[:count], values, strict=False):
        packed[name] = value
    again = pickle.loads(pickle.dumps(packed))
    assert type(again) is PackedFloatMap
    assert list(again) == IDS[:count]
    assert [v.hex() for v in again.values()] == [v.hex() for v in values[:count]]
    again["99999"] = 2.0
    assert pickle.loads(pickle.dumps(again))["99999"] == 2.0


def test_an_entry_that_changes_and_entries_that_come_together_are_packed_too() -> None:
    packed = PackedFloatMap({"00000": 1.0, "00001": 2.0})
    packed["00000"] = 3.0
    packed.update({"00002": 4.0})
    expected = {"00000": 3.0, "00001": 2.0, "00002": 4.0}
    assert pickle.loads(pickle.dumps(packed)) == expected


def test_whole_numbers_stay_whole() -> None:
    again = pickle.loads(pickle.dumps(PackedIntMap({"00003": 4096})))
    assert f"{again['00003']:,}" == "4,096"


def test_a_number_that_does_not_fit_is_an_error_and_not_another_number() -> None:
    with pytest.raises(TypeError, match="must be real number"):
        PackedFloatMap()["00003"] = None  # type: ignore[assignment]


def test_a_thousand_trials_take_few_bytes() -> None:
    packed = PackedFloatMap({f"{index:05d}": float(index) for index in range(1000)})
    assert len(pickle.dumps(packed)) < 15_000
