"""Nested plain values through a file."""

import numpy as np
import pytest
import torch as th

from finrl_ray.agents.state.plain_file import load_plain, save_plain
from finrl_ray.errors import ConfigError, SearchError

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.uint32)[::2],
    np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
    np.array(["text", "más"]),
    np.array([True, False]),
    np.zeros((0, 4)),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
]


def test_arrays_come_back_as_they_were(tmp_path) -> None:
    save_plain(ARRAYS, tmp_path / "state.pt")
    for before, after in zip(ARRAYS, load_plain(tmp_path / "state.pt"), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)


def test_other_values_come_back_as_they_were(tmp_path) -> None:
    value = {
        "a": (1, 2.5, None, True, "text"),
        3: [2**200, float("inf")],
        "scalar": np.float32(0.1),
        "nested": {"empty": {}, "none": [None]},
    }
    save_plain(value, tmp_path / "state.pt")
    back = load_plain(tmp_path / "state.pt")
    assert back == value
    assert type(back["scalar"]) is np.float32


def test_tensors_come_back_as_they_were(tmp_path) -> None:
    tensor = th.arange(4, dtype=th.float32)
    save_plain({"t": tensor}, tmp_path / "state.pt")
    assert th.equal(load_plain(tmp_path / "state.pt")["t"], tensor)


def test_a_read_only_array_can_be_saved(tmp_path) -> None:
    array = np.arange(3)
    array.setflags(write=False)
    save_plain(array, tmp_path / "state.pt")
    np.testing.assert_array_equal(load_plain(tmp_path / "state.pt"), array)


def test_what_is_not_plain_is_refused_with_its_place(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"state\['env'\]\[1\] must be .*got a Generator"):
        save_plain({"env": [0, np.random.default_rng()]}, tmp_path / "state.pt")
    with pytest.raises(ConfigError, match=r"state must be an array of numbers, got dtype object"):
        save_plain(np.array([{}]), tmp_path / "state.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_told(tmp_path, kept: float) -> None:
    path = tmp_path / "state.pt"
    save_plain(ARRAYS, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(SearchError, match="cannot be read; it is truncated"):
        load_plain(path)


def test_a_missing_file_is_told(tmp_path) -> None:
    with pytest.raises(SearchError, match="there is no saved state"):
        load_plain(tmp_path / "state.pt")


def test_a_pickle_is_not_run(tmp_path) -> None:
    path = tmp_path / "state.pt"
    th.save({"noise": np.random.default_rng()}, path)
    with pytest.raises(SearchError, match="cannot be read"):
        load_plain(path)


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "state.pt"
    save_plain({"n": 1}, path)
    with pytest.raises(ConfigError, match="must be a number"):
        save_plain({"n": object()}, path)
    assert load_plain(path) == {"n": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
