"""What float32 can hold: agents act, see their account and are paid in it."""

FLOAT32_MAX = 3.4028234663852886e38
"""The largest number; what is larger is infinite."""
FLOAT32_TINY = 1.1754943508222875e-38
"""The smallest number of full precision; what is much smaller is 0."""
