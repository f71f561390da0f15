"""Names of features of own code say function, column and keywords, and are read back."""

import pytest

from finrl_ray.data.own_features.names import feature_name, is_of, keywords_of


@pytest.mark.parametrize(
    ("column", "keywords", "name"),
    [
        ("", {}, "my_f:compute"),
        ("trend", {}, "my_f:compute/trend"),
        ("", {"window": 10}, "my_f:compute[window=10]"),
        ("trend", {"b": 0.5, "a": "x, y=1]"}, 'my_f:compute/trend[a="x, y=1]", b=0.5]'),
        ("up", {"a": [1, {"k": None}], "c": True}, 'my_f:compute/up[a=[1, {"k": null}], c=true]'),
    ],
)  # fmt: skip
def test_a_name_and_back(column: str, keywords: dict[str, object], name: str) -> None:
    assert feature_name("my_f:compute", column, keywords) == name
    assert keywords_of(name) == keywords
    assert is_of(name, "my_f:compute")
    assert not is_of(name, "my_f:comp")


@pytest.mark.parametrize("name", ["macd", "close_-1_s", "rsi[", "x[y]", "x[a=]", "x[a=1"])
def test_other_names_have_no_keywords(name: str) -> None:
    assert keywords_of(name) == {}
