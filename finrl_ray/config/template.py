"""The commented config that `finrl-ray new` writes."""

from importlib import resources
from pathlib import Path

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.errors import ConfigError

TEMPLATE_FILE = "template.yaml"


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
    text = template.read_text(encoding="utf-8").replace("NAME", name)
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
