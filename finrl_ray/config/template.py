"""The commented config that `finrl-ray new` writes."""

import textwrap
from importlib import resources
from pathlib import Path

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError
from finrl_ray.metrics.registry import METRICS

TEMPLATE_FILE = "template.yaml"
_METRICS_HERE = "# METRICS\n"


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
    template = resources.files("finrl_ray.config").joinpath(TEMPLATE_FILE)
    text = _with_metrics(template.read_text(encoding="utf-8")).replace("NAME", name)
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


def _with_metrics(template: str) -> str:
    """Return the template with the metrics that there are beside the default, as a comment."""
    before, _, after = template.partition(_METRICS_HERE)
    column = len(before) - before.rindex("\n") - 1
    # a metric and the bar before it stay on one line
    others = " ".join(f"|\N{NO-BREAK SPACE}{name}" for name in METRICS[1:])
    lines = textwrap.wrap(others, width=100 - column - len("# "))
    comment = f"\n{' ' * column}".join(f"# {line}" for line in lines)
    return f"{before}{comment}\n{after}".replace("\N{NO-BREAK SPACE}", " ")
