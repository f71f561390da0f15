"""One torch thread, and the small envs and models of the tests of agents and envs."""

import sys
from pathlib import Path

import pytest
import torch as th

for folder in ("agent", "env"):
    sys.path.append(str(Path(__file__).parents[1] / folder))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    th.set_num_threads(1)
