"""Names of what lies in a search's folder, beside its tables."""

CONFIG_FILE = "config.yaml"
EXPERIMENT_FILE = "experiment.json"
DATA_FILE = "market_data.npz"
RAY_FOLDER = "ray"
LOCK_FILE = ".lock"
OPENINGS_FILE = "test_openings.jsonl"
SUBFOLDERS = ("state", "best_model", "final_model", "backtest")
"""Folders in it, besides Ray's. A store lists a folder only where it was made by name."""
