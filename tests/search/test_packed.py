"""What a scheduler remembers of trials comes back from a pickle as it was, in order and type."""

import math
import pickle

import pytest

from finrl_ray.search.packed import PackedFloats, PackedInts

IDS = ["00000", "00002", "00001", "123456"]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_floats_come_back_bit_for_bit_and_can_grow(count: int) -> None:
    values = [0.1, -math.inf, 1e-310, math.nan]
    packed = PackedFloats(zip(IDS[:count], values, strict=False))
    again = pickle.loads(pickle.dumps(packed))
    assert type(again) is PackedFloats
    assert list(again) == IDS[:count]
    assert [v.hex() for v in again.values()] == [v.hex() for v in values[:count]]
    again["99999"] = 2.0
    assert pickle.loads(pickle.dumps(again))["99999"] == 2.0


def test_whole_numbers_stay_whole() -> None:
    again = pickle.loads(pickle.dumps(PackedInts({"00003": 4096})))
    assert f"{again['00003']:,}" == "4,096"


def test_a_number_that_does_not_fit_is_an_error_and_not_another_number() -> None:
    with pytest.raises(TypeError, match=r"must be real number|float"):
        pickle.dumps(PackedFloats({"00003": None}))  # type: ignore[dict-item]


def test_a_thousand_trials_take_few_bytes() -> None:
    packed = PackedFloats({f"{index:05d}": float(index) for index in range(1000)})
    assert len(pickle.dumps(packed)) < 15_000
