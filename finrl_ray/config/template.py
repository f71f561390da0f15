"""The commented config that `finrl-ray new` writes."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from finrl_ray.config.dump import config_to_dict, yaml_value
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import changeable_keys, sealed_keys
from finrl_ray.config.reference.field_texts import field_texts
from finrl_ray.config.search import SEARCHERS
from finrl_ray.config.tagged_sections import file_form
from finrl_ray.errors import ConfigError
from finrl_ray.metrics.registry import METRICS

TEMPLATE_FILE = "template.yaml"
_METRICS_HERE = "# METRICS\n"
_SEARCHERS_HERE = "# SEARCHERS\n"


def new_experiment(name: str, parent: Path) -> Path:
    """Write `<parent>/<name>/config.yaml` and a README beside it; return the config's path.

    Raises
    ------
    ConfigError
        If the name cannot be a folder's, or the folder exists.
    """
    ExperimentConfig(name=name)  # the same rule as in a config file
    folder = parent / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name or another --in")
    text = template_text().replace("NAME", name)
    try:
        folder.mkdir(parents=True)
        path = folder / "config.yaml"
        path.write_text(text, encoding="utf-8")
        (folder / "README.md").write_text(
            f"# {name}\n\nQuestion:\n\nCommand: `finrl-ray tune {path}`\n\nSeeds: 0\n\nResult:\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error}") from error
    return path


def template_text() -> str:
    """Return the commented config with every key, and `NAME` in the place of its name."""
    template = resources.files("finrl_ray.config").joinpath(TEMPLATE_FILE)
    text = _with_searchers(template.read_text(encoding="utf-8"))
    return with_every_key(_with_metrics(text))


def with_every_key(text: str) -> str:
    """Return a config in which each key that it leaves out stands at the end of its section.

    So a new key needs no line in the template: it comes with its default and its text.

    Parameters
    ----------
    text : YAML in which each section is written in lines of its own
    """
    present, defaults = yaml.safe_load(text), config_to_dict(ExperimentConfig())
    for key in (*sealed_keys(), *changeable_keys()):
        *sections, name = key.split(".")
        try:
            _at(present, [*sections, name])
        except KeyError:
            line = f"{name}: {yaml_value(_at(defaults, [*sections, name]))}"
            text = _with_lines(text, sections, [*_comment(sections, name), line])
    return text


def _at(mapping: Mapping[str, Any], keys: Sequence[str]) -> Any:
    found: Any = mapping
    for key in keys:
        found = found[key]
    return found


def _comment(sections: Sequence[str], name: str) -> list[str]:
    cls: Any = file_form(ExperimentConfig)
    for section in sections:
        cls = cls.__dataclass_fields__[section].default_factory
    width = 100 - len("# ") - 2 * len(sections)
    return [f"# {line}" for line in textwrap.wrap(field_texts(cls).get(name, ""), width)]


def _with_lines(text: str, sections: Sequence[str], added: Sequence[str]) -> str:
    """Return YAML with lines at the end of a section, as deep in as its other lines."""
    lines, begin = text.splitlines(), 0
    for depth, section in enumerate(sections):
        header = re.compile(rf"{'  ' * depth}{section}:\s*(#.*)?")
        begin += next(i for i, line in enumerate(lines[begin:], 1) if header.fullmatch(line))
    indent = "  " * len(sections)
    end = last = begin
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(indent)):
        end += 1
        last = end if lines[end - 1].strip() else last
    lines[last:last] = [f"{indent}{line}" for line in added]
    return "\n".join(lines) + "\n"


def _with_metrics(template: str) -> str:
    """Return the template with the metrics that there are beside the default, as a comment."""
    before, _, after = template.partition(_METRICS_HERE)
    column = len(before) - before.rindex("\n") - 1
    # a metric and the bar before it stay on one line
    others = " ".join(f"|\N{NO-BREAK SPACE}{name}" for name in METRICS[1:])
    lines = textwrap.wrap(others, width=100 - column - len("# "))
    comment = f"\n{' ' * column}".join(f"# {line}" for line in lines)
    return f"{before}{comment}\n{after}".replace("\N{NO-BREAK SPACE}", " ")


def _with_searchers(template: str) -> str:
    """Return the template with the searchers that there are, and which need an extra."""
    extras = " and ".join(name for name, searcher in SEARCHERS.items() if searcher.extra)
    comment = f"# {' | '.join(SEARCHERS)} (extras: {extras})\n"
    return template.replace(_SEARCHERS_HERE, comment)
