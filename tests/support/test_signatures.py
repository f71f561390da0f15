"""A function that passes keywords on shows their names and refuses others."""

import inspect
from typing import Any

import pytest

from finrl_ray.support.signatures import with_keywords_of


def model(first: int, *, size: int = 3, colour: str = "red", secret: bool = False) -> str:
    return f"{first} {size} {colour} {secret}"


@with_keywords_of(model, without=("secret",))
def shown(first: int, *, loud: bool = False, **options: Any) -> str:
    """Say it."""
    said = model(first, **options)
    return said.upper() if loud else said


def test_the_signature_names_what_is_passed_on() -> None:
    signature = "(first: int, *, size: int = 3, colour: str = 'red', loud: bool = False) -> str"
    assert str(inspect.signature(shown)) == signature
    assert (shown.__name__, shown.__doc__) == ("shown", "Say it.")


def test_keywords_reach_the_model_and_defaults_stay_its_own() -> None:
    assert shown(1, colour="blue") == "1 3 blue False"
    assert shown(1, size=5, loud=True) == "1 5 RED FALSE"


@pytest.mark.parametrize("name", ["secret", "couleur"])
def test_another_keyword_is_refused(name: str) -> None:
    wrong: Any = {name: True}
    with pytest.raises(TypeError, match=rf"shown\(\) got an unexpected keyword argument '{name}'"):
        shown(1, **wrong)


def test_a_function_without_options_is_refused() -> None:
    with pytest.raises(TypeError, match=r"plain\(\) must end with \*\*options, got first: int"):

        @with_keywords_of(model)
        def plain(first: int) -> str:
            return model(first)
