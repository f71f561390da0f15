"""Names of the files in which models are kept.

On their own, so that a reader of results finds a model without loading what trains one.
"""

MODEL_FILE = "model.zip"
"""In a checkpoint, and in the folders of a search's final and best model."""
BEST_MODEL_FILE = "best_model.zip"
ENSEMBLE_FILE = "ensemble.json"
"""Names the members of an ensemble, with their hashes."""
