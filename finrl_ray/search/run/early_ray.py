"""A Ray of our own that starts while the search is still prepared.

Its processes take seconds to start, as does the driver, which imports torch and SB3 and checks the
config meanwhile. A search that is then refused has started a Ray in vain, which ends at once.
"""

import contextlib
import threading
from collections.abc import Iterator

from finrl_ray.cluster.temp_folder import short_tmpdir
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.search.run.driver import ray_tunes_switches, start_session
from finrl_ray.search.run.trial_resources import local_shortage, starts_own_ray


class EarlyRay:
    """A Ray that starts in a thread, which lives as long as it.

    The kernel ends the processes that a thread has started when that thread ends.

    Parameters
    ----------
    session : is entered and left there
    """

    def __init__(self, session: contextlib.AbstractContextManager[None]) -> None:
        self._session = session
        self._failure: BaseException | None = None
        self._ready, self._unused = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="early-ray", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        try:
            with self._session:
                self._ready.set()
                self._unused.wait()
        except BaseException as error:  # noqa: BLE001  # raised again by `wait`
            self._failure = error
        finally:
            self._ready.set()

    def wait(self) -> None:
        """Return once Ray runs.

        Raises
        ------
        SearchError
            If it cannot be started.
        """
        self._ready.wait()
        if self._failure is not None:
            raise self._failure

    def leave(self) -> None:
        """End it, once it has started."""
        self._unused.set()
        self._thread.join()


@contextlib.contextmanager
def early_ray(
    config: ExperimentConfig, address: str | None, *, dashboard: bool
) -> Iterator[EarlyRay | None]:
    """Start the Ray of a search while the block prepares it; end it with the block.

    Yields None where nothing is started early: a cluster is joined, no trial would fit on this
    machine, or TMPDIR is too long for Ray, which then needs another one for a while.

    Parameters
    ----------
    config : of the search, as it was read
    address, dashboard : as for `run_search`
    """
    if not starts_own_ray(address) or local_shortage(config) or short_tmpdir():
        yield None
        return
    with ray_tunes_switches():
        early = EarlyRay(start_session(config, config.search.num_samples, address, dashboard))
        try:
            yield early
        finally:
            early.leave()
