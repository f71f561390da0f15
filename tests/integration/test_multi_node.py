"""One search on several Ray nodes: spread, a node lost and brought back, the driver killed.

    make cluster-test

The nodes are raylets with loopback addresses of their own, see tests/faults/local_nodes.py.
"""

import copy
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kill_cells import raw_config
from local_nodes import LocalNodes
from own_search import own_config, write_files
from searches import Search, results_by, whole_results

pytestmark = pytest.mark.cluster

NODES = ("127.0.0.3", "127.0.0.4")
GAMMAS = (0.9, 0.91, 0.92, 0.93, 0.94, 0.95)


def config(**search: Any) -> dict[str, Any]:
    """PPO long enough for nodes to be lost while it trains."""
    raw = raw_config("ppo", gammas=GAMMAS)
    raw["agent"]["total_timesteps"] = 1024
    raw["search"] |= {"max_concurrent_trials": None, "max_failures": 2, **search}
    return raw


@pytest.fixture(scope="module")
def nodes() -> Iterator[LocalNodes]:
    with LocalNodes() as cluster:
        for ip in NODES:
            cluster.add(ip)
        yield cluster


@pytest.fixture(scope="module")
def on_one_node(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The results of the same config on a Ray of its own on this machine."""
    with Search(home=tmp_path_factory.mktemp("one"), raw=config()) as search:
        search.start()
        assert search.wait() == 0, search.tail()
        return whole_results(search.folder)


def hold(gamma: float, after_reports: int) -> dict[str, Any]:
    """Have the trial with a gamma stand still, once, after some of its reports."""
    moment = {"phase": "rollout", "after_reports": after_reports, "event": 1}
    return {"name": f"hold-{gamma}", "match": {"gamma": gamma}, "target": "hold", **moment}


def meet(what: str, *gammas: float) -> list[dict[str, Any]]:
    """Have trials wait, once, until all of them have begun: they run at the same time."""
    moment = {"phase": "setup", "after_reports": 0, "event": 1}
    return [
        {"name": f"{what}-{gamma}", "match": {"gamma": gamma}, "target": "meet", **moment}
        for gamma in gammas
    ]


def test_two_nodes_give_the_table_of_one(nodes, on_one_node, tmp_path: Path) -> None:
    nodes.plan(*meet("first", *GAMMAS[:2]))
    with Search(home=tmp_path, raw=config(), env=nodes.driver_env) as search:
        started = time.time()
        search.start()
        assert search.wait() == 0, search.tail()
        assert {start["node"] for start in nodes.starts(started)} == set(NODES)
        assert whole_results(search.folder) == on_one_node


def test_a_node_lost_and_brought_back_and_a_killed_driver_lose_nothing(
    nodes, on_one_node, tmp_path: Path
) -> None:
    # one of the first two trials is on the node that is lost; the last two cannot end before the
    # driver is killed, so that some are left for its resume
    lost, *left = hold(GAMMAS[1], 2), hold(GAMMAS[4], 1), hold(GAMMAS[5], 1)
    nodes.plan(lost, *left)
    with Search(home=tmp_path, raw=config(), env=nodes.driver_env) as search:
        started = time.time()
        search.start()
        search.wait_for(lambda events: nodes.struck(lost))
        (gone,) = {s["node"] for s in nodes.starts(started) if s["sample"]["gamma"] == GAMMAS[1]}
        nodes.kill(gone)
        search.wait_for(lambda events: any(e["event"] == "recover" for e in events))
        recovered = len(search.events())
        nodes.add(gone)
        search.wait_for(lambda events: _results(events[recovered:]) >= 3)
        nodes.plan(*meet("resumed", *GAMMAS[4:]))
        assert search.process is not None
        os.kill(search.process.pid, signal.SIGKILL)
        assert search.wait() == -9
        resumed = time.time()
        search.resume()
        assert search.wait() == 0, search.tail()
        assert {start["node"] for start in nodes.starts(resumed)} == set(NODES)
        trials = results_by(search.folder, "gamma")
        assert sorted(map(float, trials)) == list(GAMMAS)
        assert whole_results(search.folder) == on_one_node


def _results(events: list[dict[str, Any]]) -> int:
    return sum(event["event"] == "result" for event in events)


def test_a_quarter_of_a_gpu_means_four_trials_at_once(tmp_path: Path) -> None:
    raw = config(gpus_per_trial=0.25)
    # the device of the networks is the config's; the share of a GPU is what Ray hands out
    raw["agent"]["model_kwargs"]["device"] = "cpu"
    with LocalNodes() as cluster:
        cluster.plan(*meet("gpu", *GAMMAS[:4]))
        cluster.add(NODES[0], cpus=8, gpus=1)
        with Search(home=tmp_path, raw=raw, env=cluster.driver_env) as search:
            search.start()
            assert search.wait() == 0, search.tail()
            starts = cluster.starts(0.0)
        assert len(starts) == len(GAMMAS)
        # eight CPUs would take all six at once
        assert max(_at_once(start["started"], starts) for start in starts) == 4
        assert {start["cuda"] for start in starts} == {"0"}


def _at_once(moment: float, starts: list[dict[str, Any]]) -> int:
    return sum(start["started"] <= moment < start["ended"] for start in starts)


def test_own_code_runs_on_every_node(nodes, tmp_path: Path) -> None:
    raw = own_config(hidden=(2, 3, 4, 5))
    for name in ("one", "two"):
        write_files(tmp_path / name)
    with Search(home=tmp_path / "one", raw=copy.deepcopy(raw)) as search:
        search.start()
        assert search.wait() == 0, search.tail()
        expected = whole_results(search.folder)
    raw["search"]["max_concurrent_trials"] = None
    with Search(home=tmp_path / "two", raw=raw, env=nodes.driver_env) as search:
        started = time.time()
        search.start()
        assert search.wait() == 0, search.tail()
        assert {start["node"] for start in nodes.starts(started)} == set(NODES)
        assert whole_results(search.folder) == expected
