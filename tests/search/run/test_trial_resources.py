"""What a trial asks for against what nodes have: refused, or waited for with the reason."""

import dataclasses
import logging
from types import SimpleNamespace

import pytest
from ray._private.accelerators import NvidiaGPUAcceleratorManager, get_all_accelerator_managers
from small_search import small_config

from finrl_ray.cli.live_view import LiveView
from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.search.run import trial_resources
from finrl_ray.search.run.prepare import prepare_search
from finrl_ray.search.run.trial_resources import (
    Resources,
    cluster_shortage,
    found_gpus,
    local_shortage,
    require_capacity,
    why_none_runs,
)


def node(alive: bool = True, **resources: float) -> dict[str, object]:
    """What Ray says of a node."""
    return {"Alive": alive, "Resources": resources}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four CPUs and one GPU, and no Ray."""
    monkeypatch.setattr(trial_resources, "available_cpus", lambda: 4)
    monkeypatch.setattr(trial_resources, "found_gpus", lambda: 1)
    monkeypatch.setattr(trial_resources.ray, "is_initialized", lambda: False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("cpus", "gpus", "said"),
    [
        (4.0, 1.0, ""),
        (0.5, 0.25, ""),
        (4.5, 0.0, "search.cpus_per_trial must be <= 4, the CPUs that this process may use, got 4"),
        (64.0, 0.0, "got 64: no trial could ever start"),
        (1.0, 2.0, "search.gpus_per_trial must be <= 1, the GPUs that Ray finds on this machine"),
        (8.0, 8.0, "search.cpus_per_trial must be <= 4"),
    ],
)
def test_a_request_against_this_machine(machine, tmp_path, cpus, gpus, said) -> None:
    config = small_config(tmp_path, search={"cpus_per_trial": cpus, "gpus_per_trial": gpus})
    assert said in local_shortage(config)
    assert bool(said) == bool(local_shortage(config))


def test_it_is_refused_before_anything_is_started(machine, tmp_path, monkeypatch) -> None:
    config = small_config(tmp_path, search={"gpus_per_trial": 2.0})
    with pytest.raises(ConfigError, match=r"gpus_per_trial must be <= 1.*got 2"):
        prepare_search(config)
    assert list(tmp_path.iterdir()) == []
    # a cluster may have more; one training without Ray asks for nothing
    prepare_search(config, address="10.0.0.1:6379")
    prepare_search(config, on_ray=False)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    prepare_search(config)
    with pytest.raises(ConfigError, match="gpus_per_trial"):
        prepare_search(config, address="local")


@pytest.mark.parametrize(("visible", "found"), [(None, 4), ("0,2", 2), ("", 0)])
def test_gpus_are_those_that_ray_would_offer(monkeypatch, visible, found) -> None:
    for manager in get_all_accelerator_managers():
        number = 4 if manager is NvidiaGPUAcceleratorManager else 0
        monkeypatch.setattr(manager, "get_current_node_num_accelerators", lambda n=number: n)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert found_gpus() == found


@pytest.mark.parametrize(
    ("wanted", "nodes", "said"),
    [
        (Resources(1), [Resources(1)], ""),
        (Resources(2), [Resources(1), Resources(2)], ""),
        (Resources(2), [Resources(1), Resources(1)], "2 CPUs, but the largest has 1 CPU"),
        (
            Resources(1, 0.5),
            [Resources(8)],
            "1 CPU and 0.5 GPUs, but the largest has 8 CPUs and 0 GPUs",
        ),
        (Resources(1, 1), [Resources(8), Resources(0, 4)], "but no node has both"),
        (Resources(1), [], "one node must have 1 CPU, but the largest has 0 CPUs"),
    ],
)
def test_a_request_against_the_largest_node(wanted, nodes, said) -> None:
    lack = cluster_shortage(wanted, nodes)
    assert said in lack
    assert bool(said) == bool(lack)


def on_ray(monkeypatch: pytest.MonkeyPatch, *nodes: dict[str, object], own: bool) -> None:
    """Connect to a Ray with these nodes."""
    monkeypatch.setattr(trial_resources.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(trial_resources.ray, "nodes", lambda: list(nodes))
    monkeypatch.setattr(trial_resources, "is_own_ray", lambda: own)


def test_on_our_own_ray_it_is_an_error_with_both_numbers(monkeypatch) -> None:
    on_ray(monkeypatch, node(CPU=2.0), node(alive=False, CPU=64.0), own=True)
    require_capacity(Resources(2), "a trial")
    with pytest.raises(SearchError, match=r"a trial can never start: .* 3 CPUs, .* has 2 CPUs;"):
        require_capacity(Resources(3), "a trial")


def test_on_a_joined_ray_a_warning_names_what_is_waited_for(monkeypatch, caplog) -> None:
    on_ray(monkeypatch, node(), node(CPU=2.0), own=False)
    with caplog.at_level(logging.WARNING):
        require_capacity(Resources(1, 0.5), "a trial")
    assert "one node must have 1 CPU and 0.5 GPUs, but the largest has 2 CPUs and 0 GPUs" in (
        caplog.text
    )
    assert "autoscaler" in caplog.text


def waiting_view(config, started_s_ago: float) -> LiveView:
    """A view of four trials of which none has started."""
    journal = SimpleNamespace(records=SimpleNamespace(endings=[], in_order=list))
    view = LiveView(SimpleNamespace(config=config), journal, 4)
    view.started_at -= started_s_ago
    return view


def test_the_live_view_says_why_nothing_runs(monkeypatch, tmp_path) -> None:
    config = small_config(tmp_path, search={"gpus_per_trial": 0.5})
    on_ray(monkeypatch, node(CPU=2.0), own=False)
    line = waiting_view(config, started_s_ago=60)._summary_line()
    assert line.startswith("4 waiting; they wait for the autoscaler, or somebody, to add a node: ")
    # the first trials need a moment to start, whatever there is
    assert waiting_view(config, started_s_ago=0)._summary_line().startswith("4 waiting; 0 steps/s")


def test_trials_that_wait_for_others_say_so(monkeypatch, tmp_path) -> None:
    on_ray(monkeypatch, node(CPU=2.0), own=False)
    monkeypatch.setattr(trial_resources.ray, "cluster_resources", lambda: {"CPU": 2.0})
    monkeypatch.setattr(trial_resources.ray, "available_resources", lambda: {"memory": 1e9})
    config = small_config(tmp_path)
    assert why_none_runs(config) == "0 CPUs of 2 CPUs free"
    monkeypatch.setattr(trial_resources.ray, "available_resources", lambda: {"CPU": 1.0})
    assert why_none_runs(config) == ""
    changed = dataclasses.replace(config.search, cpus_per_trial=4.0)
    config = dataclasses.replace(config, search=changed)
    assert "one node must have 4 CPUs, but the largest has 2 CPUs" in (why_none_runs(config))
