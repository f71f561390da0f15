"""The range of float32, which actions, observations and rewards must fit into."""

FLOAT32_MAX = 3.4028234663852886e38
"""The largest number; what is larger is infinite."""
FLOAT32_TINY = 1.1754943508222875e-38
"""The smallest number of full precision; what is much smaller is 0."""
