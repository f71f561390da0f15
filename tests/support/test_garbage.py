"""How often garbage is looked for, and that it is as before afterwards."""

import gc

import pytest

from finrl_ray.support.garbage import no_collection, rare_collection


@pytest.mark.parametrize("enabled", [True, False])
def test_none_is_looked_for_in_the_block_alone(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with no_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_it_is_looked_for_rarely_in_the_block_alone() -> None:
    before = gc.get_threshold()
    with rare_collection():
        assert gc.isenabled()
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
