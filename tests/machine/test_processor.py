"""Which processor, and what a comparison on another one means."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from finrl_ray.machine import processor
from finrl_ray.machine.processor import differences_of, processor_facts, processor_name
from finrl_ray.search.reproduce.agreement import (
    TOLERANCE,
    agreement_of,
    different_names,
    distance,
    elsewhere_words,
    where_lines,
)

AMD = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC 7B13

processor\t: 1
model name\t: another
"""
ARM = """processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


def test_facts_are_texts_and_the_same_each_time() -> None:
    facts = processor_facts(2)
    assert facts == processor_facts(2)
    assert all(isinstance(value, str) and value for value in facts.values())
    assert facts["processor"] == processor_name()
    assert facts["threads of a trial"] == "2"
    assert {"vector instructions", "BLAS of torch", "BLAS of numpy"} < facts.keys()
    assert "threads of a trial" not in processor_facts()


def test_names_of_linux(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(AMD)
    assert processor._name_of_linux(path) == "AMD EPYC 7B13 (cpu family 25, model 1)"
    path.write_text(ARM)
    assert processor._name_of_linux(path) == "(cpu implementer 0x41, cpu part 0xd40)"
    assert processor._name_of_linux(tmp_path / "none") == ""


def test_blas_of_torch_is_read_from_its_description() -> None:
    mkl = "  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 20240605 for\n"
    assert processor._blas_of_torch(mkl) == "MKL 2024.2-Product"
    assert processor._blas_of_torch("Build settings: BLAS_INFO=accelerate, X=1") == "accelerate"
    assert processor._blas_of_torch("") == "not known"


@pytest.mark.parametrize("variable", ["MKL_CBWR", "OPENBLAS_CORETYPE"])
def test_variables_for_other_kernels_are_another_processor(variable: str) -> None:
    value = {"MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Haswell"}[variable]
    code = (
        f"import os; os.environ['{variable}'] = '{value}'\n"
        "from finrl_ray.machine.processor import processor_facts\n"
        "print(processor_facts()['library settings'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{variable}={value}" in done.stdout


def test_what_was_not_recorded_does_not_differ() -> None:
    assert differences_of({}, {"processor": "x"}) == {}
    assert differences_of({"processor": "y"}, {"processor": "x"}) == {"processor": ("y", "x")}
    assert differences_of({"later": "y"}, {}) == {"later": ("y", "not known")}


def test_distances_are_relative_above_1_and_absolute_below() -> None:
    recorded = {"timesteps": 512, "a": 2000.0, "b": 0.5, "c": math.nan, "notes": "x"}
    assert distance(recorded, dict(recorded)) == 0.0
    assert distance(recorded, {**recorded, "a": 2001.0}) == pytest.approx(1 / 2000)
    assert distance(recorded, {**recorded, "b": 0.4}) == pytest.approx(0.1)
    assert distance(recorded, {**recorded, "c": 1.0}) == math.inf
    assert distance(recorded, {**recorded, "notes": "y"}) == 0.0
    assert distance(recorded, {"timesteps": 512}) == math.inf
    assert different_names(recorded, {**recorded, "b": 0.5 + 1e-18, "a": 3.0}) == ["a"]


@pytest.mark.parametrize(
    ("equal", "largest", "elsewhere", "expected"),
    [
        (True, 0.0, True, "exact"),
        (False, 1e-12, False, "different"),
        (False, TOLERANCE, True, "within tolerance"),
        (False, 1.01 * TOLERANCE, True, "undecided"),
        (False, math.inf, True, "undecided"),
        (False, math.inf, False, "different"),
    ],
)
def test_what_a_comparison_means(
    equal: bool, largest: float, elsewhere: bool, expected: str
) -> None:
    assert agreement_of(equal=equal, largest=largest, elsewhere=elsewhere) == expected


def test_words() -> None:
    assert "equal within 0.001 on another processor" in elsewhere_words("within tolerance", 2e-5)
    undecided = elsewhere_words("undecided", 0.2)
    assert "cannot be told here" in undecided
    assert "differ" not in undecided.replace("difference", "")
    assert elsewhere_words("different", 0.2) == ""
    assert where_lines({"processor": ("A", "B")}, known=True) == [
        "processor: recorded with A, here B"
    ]
    assert "earlier version" in where_lines({}, known=False)[0]
