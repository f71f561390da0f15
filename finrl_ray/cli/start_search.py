"""`finrl-ray tune` up to the end of its search."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from finrl_ray.cli.screen import console, progress_bar
from finrl_ray.config.experiment import ExperimentConfig

if TYPE_CHECKING:
    from finrl_ray.search.run.runner import SearchResult


def prepare_and_run(
    config: ExperimentConfig, base_dir: Path, address: str | None, *, dashboard: bool, early: bool
) -> "SearchResult":
    """Check a search, say what it is, and run it.

    Parameters
    ----------
    config, base_dir, address, dashboard : as for `run_search`
    early : let a Ray of our own start meanwhile
    """
    # Ray handles signals if its first import is in the main thread
    from finrl_ray.search.run.early_ray import early_ray

    ray_starts = early_ray(config, address, dashboard=dashboard)
    with ray_starts if early else contextlib.nullcontext() as starting:
        from finrl_ray.cli.live_view import LiveView
        from finrl_ray.search.run.prepare import prepare_search
        from finrl_ray.search.run.runner import run_search

        with progress_bar() as progress:
            prepared = prepare_search(config, base_dir=base_dir, address=address, progress=progress)
        screen = console()
        screen.print(prepared.describe(), highlight=False, markup=False)
        screen.print("joining Ray" if address else "starting Ray (a few seconds)")
        if starting is not None:
            starting.wait()
        return run_search(prepared, make_view=LiveView, address=address, dashboard=dashboard)
