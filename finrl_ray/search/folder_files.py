"""Names of what lies in a search's folder, beside its tables."""

CONFIG_FILE = "config.yaml"
EXPERIMENT_FILE = "experiment.json"
DATA_FILE = "market_data.npz"
RAY_FOLDER = "ray"
LOCK_FILE = ".lock"
REPRODUCTION_FILE = "reproduction.zip"
VERDICT_FILE = "verdict.json"
OPENINGS_FILE = "test_openings.jsonl"
BEST_MODEL_FOLDER = "best_model"
FINAL_MODEL_FOLDER = "final_model"
SUBFOLDERS = ("state", "best_model", "final_model", "backtest", "report", "tensorboard")
"""Folders in it, besides Ray's. A store lists a folder only where it was made by name."""
