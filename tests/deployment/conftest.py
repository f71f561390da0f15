"""One torch thread, and one small agent that tests only read."""

import pytest
import torch as th
from deployed_agents import SmallAgent, experiment, small_agent


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    th.set_num_threads(1)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> SmallAgent:
    """An agent of PPO that orders shares; its folder is not to be written to."""
    return small_agent(
        tmp_path_factory.mktemp("deployed"),
        experiment(env={"observation_scaling": "train"}),
        facts={"trial": 3, "verdict": {"sentences": ["No evidence."]}},
    )
