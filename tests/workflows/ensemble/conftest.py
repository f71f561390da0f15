"""One torch thread: results must not depend on the number of cores."""

import pytest
import torch as th


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    th.set_num_threads(1)
