"""One torch thread, and the small envs and models of the tests of agents and envs."""

import pytest
import torch as th


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    th.set_num_threads(1)
