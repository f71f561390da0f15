"""`Lasting`: the answer of a function that is asked often and changes slowly."""

import math
import time
from collections.abc import Callable


class Lasting:
    """Calls a function anew only when its last answer is older than a while.

    Parameters
    ----------
    ask : the function
    for_s : seconds that an answer lasts
    """

    def __init__(self, ask: Callable[[], float], for_s: float) -> None:
        self.ask = ask
        self.for_s = for_s
        self.answer = math.nan
        self.until = -math.inf

    def __call__(self) -> float:
        """Return the answer, at most `for_s` seconds old."""
        now = time.monotonic()
        if now >= self.until:
            self.answer = self.ask()
            self.until = now + self.for_s
        return self.answer
