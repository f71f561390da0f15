"""Where this repository is, for tests that read its documents or start programs in it."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TESTS = REPOSITORY / "tests"
SHARED = REPOSITORY.parent / "shared"
"""Prices and reference values beside the repository; tests that read them skip without them."""
