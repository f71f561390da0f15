"""`DrawnSamples`: the samples of a random or grid search, each drawn when it is asked for."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from finrl_ray.cluster.tune_internals import SampleGenerator
from finrl_ray.search.sampling.domains import Domain, to_param_space
from finrl_ray.support.values import nested_to_python


class DrawnSamples:
    """Whole samples in an order that the seed alone decides, however many are asked for.

    Apart from the points they are those of Ray's BasicVariantGenerator with the same seed: every
    entry that is not fixed draws once per sample, in the order of the space, and of a grid the
    first name (by the alphabet) changes fastest.

    Only how many have been drawn, and the generator's state, change; config and seed give the rest
    again, so that a search's state holds no more than these two.

    Parameters
    ----------
    space : the checked search space
    seed : of the experiment
    total : how many there are
    points : whole samples that come first, and draw nothing
    seed_draw : give each sample a number of its own, from which the trial's seed is derived
    """

    def __init__(
        self,
        space: Mapping[str, Domain],
        seed: int,
        total: int,
        points: Sequence[dict[str, Any]] = (),
        *,
        seed_draw: bool = True,
    ) -> None:
        self.total = total
        self.given = 0
        self._points = list(points)
        self._entries = to_param_space(space, seed_draw=seed_draw)
        self._drawing = [name for name in self._entries if _draws(space.get(name))]
        self._grid = {name: d.values for name, d in sorted(space.items()) if d.kind == "grid"}
        self._generator = SampleGenerator(seed)

    def draw(self) -> dict[str, Any] | None:
        """Return the next sample; None when all have been given out."""
        if self.given >= self.total:
            return None
        position = self.given - len(self._points)
        self.given += 1
        if position < 0:
            return copy.deepcopy(self._points[position])
        chosen = self._combination(position)
        for name in self._drawing:
            chosen[name] = self._entries[name].sample(random_state=self._generator)
        return {name: nested_to_python(chosen.get(name, v)) for name, v in self._entries.items()}

    def _combination(self, position: int) -> dict[str, Any]:
        """Return the point of the grid at a position; after the last comes the first again."""
        chosen: dict[str, Any] = {}
        for name, values in self._grid.items():
            position, index = divmod(position, len(values))
            chosen[name] = values[index]
        return chosen

    def first(self, count: int) -> list[dict[str, Any]]:
        """Return the first samples, of a generator that has not given out any."""
        again = copy.deepcopy(self)
        drawn = [again.draw() for _ in range(count)]
        return [sample for sample in drawn if sample is not None]

    def state(self) -> dict[str, Any]:
        """Return what `go_to` needs to go on from here."""
        return {"given": self.given, "generator": self._generator.rng.bit_generator.state}

    def go_to(self, state: Mapping[str, Any]) -> None:
        """Go on from where a state was taken."""
        self.given = int(state["given"])
        self._generator.rng.bit_generator.state = state["generator"]


def _draws(domain: Domain | None) -> bool:
    # what is no entry of the space is the draw for the trial's seed
    return domain is None or domain.kind not in ("grid", "constant")


def grid_size(space: Mapping[str, Domain]) -> int:
    """Return the number of combinations of the grid in a space; 1 without one."""
    return math.prod(len(domain.values) for domain in space.values() if domain.kind == "grid")
