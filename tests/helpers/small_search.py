"""A search that takes seconds: small networks, two years of the bundled prices."""

from pathlib import Path
from typing import Any

import yaml

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config

SPACE: dict[str, Any] = {
    "n_steps": {"choice": [64, 128]},
    "batch_size": {"choice": [64, 512]},
    "n_epochs": {"choice": [1, 2]},
    "net_arch": {"choice": ["tiny"]},
}


def small_raw(storage: Path, **sections: dict[str, Any]) -> dict[str, Any]:
    """Return a raw config; `sections` are laid over its sections."""
    raw: dict[str, Any] = {
        "name": "small",
        "seed": 3,
        "split": {
            "train": [None, "2008-01-01"],
            "validation": ["2008-01-01", "2008-07-01"],
            "test": ["2008-07-01", "2009-01-01"],
        },
        "env": {"random_start": True},
        "agent": {"algorithm": "ppo", "total_timesteps": 2048, "n_envs": 4, "normalize": True},
        "evaluation": {"eval_freq": 512},
        "search": {
            "num_samples": 4,
            "searcher": "random",
            "scheduler": {"type": "fifo"},
            "storage_path": str(storage),
            "space": SPACE,
        },
    }
    for name, section in sections.items():
        raw[name] = {**raw[name], **section} if name in raw else section
    return raw


def small_config(storage: Path, **sections: dict[str, Any]) -> ExperimentConfig:
    return parse_config(small_raw(storage, **sections))


def write_small_config(path: Path, storage: Path, **sections: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(small_raw(storage, **sections)), encoding="utf-8")
    return path
