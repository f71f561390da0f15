"""The JSON Schema: accepts what the package accepts, refuses what it refuses, explains each key."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from repository import REPOSITORY

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import known_keys
from finrl_ray.config.reference.field_texts import config_fields, field_texts, type_words
from finrl_ray.config.reference.json_schema import config_schema, schema_text
from finrl_ray.config.template import template_text

ROOT = REPOSITORY
CONFIGS = sorted(ROOT.glob("experiments/*/config.yaml"))


class TextDates(yaml.SafeLoader):
    """Reads dates as texts, as editors do."""


TextDates.yaml_implicit_resolvers = {
    sign: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = config_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_the_experiments_are_valid(validator, path: Path) -> None:
    validator.validate(yaml.load(path.read_text(encoding="utf-8"), TextDates))


def test_the_template_and_the_defaults_are_valid(validator) -> None:
    for style in ("learning", "finrl"):
        validator.validate(yaml.load(template_text(style), TextDates))
    validator.validate(config_to_dict(ExperimentConfig()))
    validator.validate({})
    validator.validate({"search": {"resources": {"cpu": 2, "gpu": 0.5}}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"agents": {}},
        {"agent": {"algoritm": "ppo"}},
        {"agent": {"algorithm": 3}},
        {"agent": {"total_timesteps": "many"}},
        {"search": {"scheduler": {"type": "ahsa"}}},
        {"search": {"trackers": ["tensorflow"]}},
        {"split": {"train": ["2010-01-01"]}},
    ],
)
def test_what_is_wrong_is_refused(validator, wrong) -> None:
    assert not validator.is_valid(wrong)


def test_it_has_every_key_and_its_text() -> None:
    schema = json.loads(schema_text())
    sections = {"": schema, **schema["$defs"]}

    def keys(section: str, prefix: str = "") -> list[str]:
        found = []
        for name, own in sections[section]["properties"].items():
            found.append(f"{prefix}{name}")
            if "$ref" in own:
                found += keys(own["$ref"].rpartition("/")[2], f"{prefix}{name}.")
        return found

    assert set(known_keys()) <= set(keys(""))
    algorithm = sections["AgentConfig"]["properties"]["learner"]
    assert "the fastest" in algorithm["description"]


def test_field_texts_are_those_below_the_fields() -> None:
    from finrl_ray.config.search import SearchConfig

    texts = field_texts(SearchConfig)
    assert texts["num_samples"].startswith("Trials started")
    # a docstring below nothing is no field's
    assert set(texts) <= {field.name for field in config_fields(SearchConfig)}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "integer or null"),
        (tuple[str, ...], "list of text"),
        (bool, "true or false"),
        (dict[str, int], "mapping"),
    ],
)
def test_types_in_words(annotation, words) -> None:
    assert type_words(annotation) == words
