"""R's default random numbers (Mersenne Twister, inversion), for examples published in R.

`set.seed(n)` fills the state of the twister by the generator x -> 69069 x + 1, after 50 rounds and
one value that is thrown away; `rnorm` inverts the normal distribution at a uniform number of 27 +
32 bits.
"""

from statistics import NormalDist

import numpy as np

_BIG = 134_217_728
_TO_UNIT = 2.3283064365386963e-10


class RRandom:
    """The stream after `set.seed(seed)`."""

    def __init__(self, seed: int) -> None:
        for _ in range(50):
            seed = (69069 * seed + 1) % 2**32
        words = []
        for _ in range(625):
            seed = (69069 * seed + 1) % 2**32
            words.append(seed)
        self.bits = np.random.MT19937()
        key = np.array(words[1:], dtype=np.uint32)
        self.bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}

    def uniform(self) -> float:
        return float(np.clip(self.bits.random_raw() * _TO_UNIT, 1e-10, 1 - 1e-10))

    def normal(self, count: int) -> np.ndarray:
        quantile = NormalDist().inv_cdf
        return np.array(
            [quantile((int(_BIG * self.uniform()) + self.uniform()) / _BIG) for _ in range(count)]
        )
