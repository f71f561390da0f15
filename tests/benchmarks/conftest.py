"""The scripts in `benchmarks/` import each other by bare names, as Python finds them there."""

import sys
from collections.abc import Iterator

import pytest
from repository import REPOSITORY

BENCHMARKS = str(REPOSITORY / "benchmarks")
sys.path.append(BENCHMARKS)


@pytest.fixture(scope="session", autouse=True)
def _benchmarks_are_found() -> Iterator[None]:
    yield
    sys.path.remove(BENCHMARKS)
