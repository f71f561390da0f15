"""Files that training can do without: where the disk is full, a warning, and training goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)


@contextmanager
def surviving_disk_errors(what: str) -> Iterator[None]:
    """Run a block that writes a file that training can do without, logging an `OSError`.

    Parameters
    ----------
    what : name of the file's content in the message
    """
    try:
        yield
    except OSError as error:
        logger.warning("%s could not be written: %s; training goes on", what, error)
