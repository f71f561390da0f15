"""The config file as JSON Schema, by which editors complete and check it."""

import json
from typing import Any

from pydantic import TypeAdapter

from finrl_ray.config.checks import key_of
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.reference.field_texts import config_fields
from finrl_ray.config.tagged_sections import file_form

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# the one key that the file has and the dataclasses have not: it is read as two of them
_RESOURCES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "description": "CPUs and GPUs of one trial: cpus_per_trial and gpus_per_trial under Ray's "
    "names.",
    "properties": {
        "cpu": {"type": "number", "exclusiveMinimum": 0},
        "gpu": {"type": "number", "minimum": 0},
    },
}


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file, with the texts of all keys."""
    schema = TypeAdapter(file_form(ExperimentConfig)).json_schema()
    described = {"": schema, **schema["$defs"]}
    _describe(ExperimentConfig, described[""], described)
    described["SearchConfig"]["properties"]["resources"] = _RESOURCES
    return {
        "$schema": DIALECT,
        **schema,
        "title": "finrl-ray experiment",
        "description": "One hyperparameter search for trading agents; see `finrl-ray new`.",
    }


def _describe(cls: type, schema: dict[str, Any], sections: dict[str, Any]) -> None:
    properties = {key_of(name): own for name, own in schema["properties"].items()}
    schema["properties"] = properties
    for field in config_fields(cls):
        own = properties[field.name]
        own.pop("title", None)
        if field.text:
            own["description"] = field.text
        if field.section is not None:
            # a default section is the one that the file leaves out
            own.pop("default", None)
            _describe(field.section, sections[field.section.__name__], sections)


def schema_text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(config_schema(), indent=2, sort_keys=False) + "\n"
