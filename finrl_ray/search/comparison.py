"""What schedulers and searchers compare trials by."""

import math
from typing import Any

METRIC = "objective"
TIME_ATTR = "timesteps"
# finite, because percentiles between infinities are NaN; below every measure of an account
WORST = -1e9


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result whose objective can be compared: NaN and infinities are as bad as can be.

    Ray's schedulers compare NaN with `<`, so that a trial without a Sharpe ratio would never be
    stopped.
    """
    if math.isfinite(result.get(METRIC, 0.0)):
        return result
    return {**result, METRIC: WORST}
