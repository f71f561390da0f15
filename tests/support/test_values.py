"""Values of numpy as Python's own, and nested values as JSON has them."""

import json
import math
from pathlib import Path

import numpy as np

from finrl_ray.support.values import nested_to_python, to_json, to_python


def test_numpy_scalars_become_python_numbers() -> None:
    assert type(to_python(np.int64(3))) is int
    assert to_python([1, 2]) == [1, 2]
    assert to_python("a") == "a"


def test_an_array_is_no_scalar() -> None:
    array = np.ones(1)
    assert to_python(array) is array


def test_nested_values_share_nothing() -> None:
    given = {"layers": [np.int64(64), (np.float32(0.5), "relu")], "odd": {1, 2}}
    plain = nested_to_python(given)
    assert plain == {"layers": [64, (0.5, "relu")], "odd": {1, 2}}
    assert type(plain["layers"][0]) is int
    assert type(plain["layers"][1][0]) is float
    assert plain["odd"] is not given["odd"]


def test_json_has_null_for_nan_and_words_for_infinity() -> None:
    given = {"a": math.nan, 2: [np.float64(math.inf), (-math.inf, np.int32(4), True, None)]}
    assert to_json(given) == {"a": None, "2": ["infinity", ["-infinity", 4, True, None]]}


def test_json_without_words_for_infinity() -> None:
    assert to_json([math.inf, -math.inf, 0.5], infinity_as_text=False) == [None, None, 0.5]


def test_json_asks_for_what_it_does_not_know() -> None:
    assert to_json({"at": [Path("a")]}, str) == {"at": ["a"]}
    assert to_json(Path("a")) == Path("a")


def test_what_json_knows_it_can_write() -> None:
    text = json.dumps(to_json({"x": np.float32(math.nan), "y": np.bool_(True)}), allow_nan=False)
    assert text == '{"x": null, "y": true}'
