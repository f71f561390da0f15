"""Which own code a config names: each place of it has a name of its own."""

from finrl_ray.config.load import parse_config
from finrl_ray.config.trial.own_code import own_references


def test_each_place_that_names_own_code_has_a_name_of_its_own() -> None:
    config = parse_config(
        {
            "data": {
                "source": "my_source:read",
                "features": ["macd", "my_features:trend", "my_others:risk"],
            },
            "search": {
                "space": {
                    "data.features": {"choice": [["my_features:trend", "my_third:size"], ["macd"]]}
                }
            },
        }
    )
    assert [(one.key, one.reference, one.kind) for one in own_references(config)] == [
        ("data.source", "my_source:read", "source"),
        ("data.features[1]", "my_features:trend", "features"),
        ("data.features[2]", "my_others:risk", "features"),
        ("search.space.data.features[0][1]", "my_third:size", "features"),
    ]
