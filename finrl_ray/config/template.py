"""The commented config that `finrl-ray new` writes."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

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
_DEFAULTS_HERE = "# Every key may be left out"

Style = Literal["learning", "finrl"]
LEARNING: Mapping[str, Any] = MappingProxyType(
    {
        "env.action": "target_weights",
        "env.zero_action": "equal_weights",
        "env.reward": "active",
        "env.observation": "stationary",
        "env.nearest_spread": True,
        "env.random_start": True,
        "agent.total_timesteps": 65_536,
        "agent.n_envs": 16,
        "agent.policy": "PerTickerPolicy",
        "evaluation.eval_freq": 8_192,
        "search.ensemble": 3,
        "search.space": {
            "learning_rate": {"loguniform": [0.0003, 0.003]},
            "one_minus_gamma": {"loguniform": [0.05, 0.5]},
            "one_minus_gae_lambda": 0.05,
            "n_steps": {"choice": [64, 128, 256]},
            "batch_size": {"choice": [128, 256, 512]},
            "n_epochs": {"choice": [5, 10]},
            "ent_coef": 0.0,
            "clip_range": 0.2,
            "max_grad_norm": 0.5,
            "activation_fn": "tanh",
            "net_arch": "tiny",
            "env.trade_rate": {"choice": [1.0, 0.3]},
        },
    }
)
"""What `style: learning` has instead of the defaults, which are FinRL's formulation: the one home
of these values, by the dotted name of the key."""
# not an entry, because it would stand for data.features: who changes that would change nothing
_FEATURES_ENTRY = (
    "# instead of data.features, to try returns alone beside them:",
    "# data.features: {choice: [finrl, []]}",
)


def new_experiment(name: str, parent: Path, style: Style = "learning") -> Path:
    """Write `<parent>/<name>/config.yaml` and a README beside it; return the config's path.

    Parameters
    ----------
    name : of the experiment and of its folder
    parent : the folder in which the new folder is made
    style : `learning` has the formulation in which agents learn (target weights, the reward beyond
        buy & hold, stationary observations) with a space of ppo for it; `finrl` has the defaults

    Raises
    ------
    ConfigError
        If the name cannot be a folder's, the folder exists, or there is no such style.
    """
    ExperimentConfig(name=name)  # the same rule as in a config file
    folder = parent / name
    if folder.exists():
        raise ConfigError(f"{folder} exists already; choose another name or another --in")
    text = template_text(style).replace("NAME", name)
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


def template_text(style: Style = "learning") -> str:
    """Return the commented config with every key, and `NAME` in the place of its name.

    Raises
    ------
    ConfigError
        If there is no such style.
    """
    if style not in get_args(Style):
        raise ConfigError(f"style must be one of {list(get_args(Style))}, got {style!r}")
    template = resources.files("finrl_ray.config").joinpath(TEMPLATE_FILE)
    text = _with_searchers(template.read_text(encoding="utf-8"))
    text = with_every_key(_with_metrics(text))
    return text if style == "finrl" else _for_learning(text)


def _for_learning(text: str) -> str:
    """Return the template with the values of `LEARNING`, and a list of them in its header."""
    for key, value in LEARNING.items():
        text = _with_value(text, key.split("."), value)
    names = ", ".join(LEARNING)
    header = textwrap.wrap(
        f"Not the defaults, which are FinRL's formulation, are: {names}. With them agents learn "
        "more from the same compute; `finrl-ray new --style finrl` writes the defaults.",
        width=98,
        break_on_hyphens=False,
    )
    lines = text.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith(_DEFAULTS_HERE))
    lines[at + 1 : at + 1] = [f"# {line}" for line in header]
    return "\n".join(lines) + "\n"


def _with_value(text: str, keys: Sequence[str], value: Any) -> str:
    """Return YAML with another value of a key, whose comment stays.

    Entries of a mapping get lines of their own, in the place of the examples below the key.
    """
    lines = text.splitlines()
    *sections, name = keys
    at, indent = _first_line(lines, sections), "  " * len(sections)
    at = next(i for i, line in enumerate(lines[at:], at) if line.startswith(f"{indent}{name}:"))
    comment = lines[at].partition(" # ")[2]
    end = at + 1
    if isinstance(value, Mapping):
        while lines[end].lstrip().startswith("#"):
            end += 1
        entries = [f"{indent}  {key}: {yaml_value(item)}" for key, item in value.items()]
        entries += [f"{indent}  {line}" for line in _FEATURES_ENTRY]
        given, comment = "", "laid over it; for ppo: with another algorithm write space: {}"
    else:
        entries, given = [], f" {yaml_value(value)}"
    written = f"{indent}{name}:{given}"
    lines[at:end] = [f"{written:<30} # {comment}" if comment else written, *entries]
    return "\n".join(lines) + "\n"


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
    lines = text.splitlines()
    begin, indent = _first_line(lines, sections), "  " * len(sections)
    end = last = begin
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(indent)):
        end += 1
        last = end if lines[end - 1].strip() else last
    lines[last:last] = [f"{indent}{line}" for line in added]
    return "\n".join(lines) + "\n"


def _first_line(lines: Sequence[str], sections: Sequence[str]) -> int:
    """Return the number of the first line within a section; 0 without a section."""
    begin = 0
    for depth, section in enumerate(sections):
        header = re.compile(rf"{'  ' * depth}{section}:\s*(#.*)?")
        begin += next(i for i, line in enumerate(lines[begin:], 1) if header.fullmatch(line))
    return begin


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
    comment = f"# auto | {' | '.join(SEARCHERS)} (extras: {extras})\n"
    return template.replace(_SEARCHERS_HERE, comment)
