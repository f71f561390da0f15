"""Sections whose options depend on one key: a class each in Python, one list of keys in a file."""

import dataclasses
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

import pytest

from finrl_ray.config.dump import config_to_dict
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.config.tagged_sections import (
    TaggedBy,
    TaggedSection,
    as_in_file,
    file_form,
    sections_of,
    select_variants,
    tagged_keys,
)
from finrl_ray.config.validation import CPCV, OneWindow, ValidationConfig, WalkForward

KEYS = [
    *("scheme", "n_windows", "train_window", "start", "n_groups", "n_test_groups"),
    *("purge", "embargo", "seeds", "objective"),
]


@dataclass(frozen=True, kw_only=True)
class Base:
    kind: str
    shared: int = 0


@dataclass(frozen=True, kw_only=True)
class One(Base):
    kind: Literal["one"] = "one"
    first: int = 1
    second: int = 2


@dataclass(frozen=True, kw_only=True)
class Other(Base):
    kind: Literal["other"] = "other"
    second: int = 3
    first: int = 4


@dataclass(frozen=True, kw_only=True)
class Contradicting:
    section: Annotated[One | Other, TaggedBy("kind", Base)] = dataclasses.field(default_factory=One)


def validation() -> TaggedSection:
    section = sections_of(ExperimentConfig)["validation"]
    assert isinstance(section, TaggedSection)
    return section


def test_a_scheme_has_its_own_options_alone() -> None:
    assert parse_config({}).validation == OneWindow()
    assert not hasattr(OneWindow(), "n_groups")
    assert not hasattr(WalkForward(), "n_groups")
    found = parse_config({"validation": {"scheme": "cpcv", "n_groups": None}}).validation
    assert found == CPCV(n_groups=6, n_test_groups=2)
    with pytest.raises(TypeError, match="unexpected keyword argument 'n_groups'"):
        WalkForward(n_groups=3)  # type: ignore[call-arg]  # the point of the test
    with pytest.raises(TypeError, match="abstract class ValidationConfig"):
        ValidationConfig(scheme="cpcv")  # type: ignore[abstract]  # the point of the test


def test_a_file_has_the_keys_of_all_schemes_in_one_order() -> None:
    fields = dataclasses.fields(file_form(ExperimentConfig))
    (form,) = (item.default_factory for item in fields if item.name == "validation")
    assert [item.name for item in dataclasses.fields(form)] == KEYS
    for scheme in ("one_window", "walk_forward", "cpcv"):
        config = parse_config({"validation": {"scheme": scheme}})
        assert list(config_to_dict(config)["validation"]) == KEYS


@pytest.mark.parametrize(
    ("section", "given", "spelt_out"),
    [
        (OneWindow(seeds=2), {"seeds": 2}, {}),
        (
            WalkForward(n_windows=4, start=date(2010, 1, 1)),
            {"start": "2010-01-01"},
            {"n_windows": 4, "train_window": "growing"},
        ),
        (CPCV(n_groups=8, purge=0), {"n_groups": 8, "purge": 0}, {"n_test_groups": 2}),
    ],
)
def test_null_is_what_is_at_its_default_or_of_another_scheme(section, given, spelt_out) -> None:
    config = ExperimentConfig(validation=section)
    nothing = {**dict.fromkeys(KEYS), "scheme": section.scheme, "seeds": 1}
    content = config_to_dict(config)
    assert content["validation"] == {**nothing, **given}
    assert parse_config(content) == config
    whole = config_to_dict(config, spelt_out=True)
    assert whole["validation"] == {**nothing, **given, **spelt_out}
    assert parse_config(whole) == config
    assert as_in_file(config)["seed"] == 0


def test_options_of_another_scheme_are_named_and_left_out() -> None:
    raw = {"validation": {"scheme": "walk_forward", "n_groups": 3, "embargo": None}}
    chosen, problems = select_variants(raw, ExperimentConfig)
    assert chosen == {"validation": {"scheme": "walk_forward"}}
    assert problems == [
        "validation: n_groups is an option of cpcv, not of scheme 'walk_forward'; leave it out, or "
        "set scheme to one of these"
    ]
    assert raw["validation"]["n_groups"] == 3  # the file's own is not changed


def test_a_tag_that_there_is_not_is_left_to_the_check() -> None:
    raw = {"validation": {"scheme": "kfold", "n_groups": 3}}
    assert select_variants(raw, ExperimentConfig) == (raw, [])


def test_tagged_sections_are_found_by_their_dotted_keys() -> None:
    found = dict(tagged_keys(ExperimentConfig))
    assert list(found["validation"].variants) == ["one_window", "walk_forward", "cpcv"]
    assert validation().default_tag == "one_window"
    assert validation().owner("purge") is WalkForward


def test_classes_that_contradict_each_other_in_order_are_refused() -> None:
    with pytest.raises(ValueError, match="contradicting orders"):
        file_form(Contradicting)
