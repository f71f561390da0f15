"""The exact tests again with the code that libraries keep for other processors.

MKL and OpenBLAS look at the processor when they are loaded and take the kernels written for it;
variables make them take others. So do torch's own and numpy's. With
`MKL_ENABLE_INSTRUCTIONS=SSE4_2` MKL's products depend on the address of their matrices on Intel's
processors as they do on AMD's. Where a library has no such choice, its variable does nothing.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# the markets of test_exact_in_a_market.py, of which each algorithm gets one
MARKETS = {
    "ppo": "two accounts, three tickers, stationary",
    "a2c": "three accounts, one ticker, odd layers",
    "sac": "one account, two tickers",
    "td3": "one account, seven tickers, relu",
    "ddpg": "two accounts, three tickers, tanh",
}
IN_A_MARKET = "test_exact_in_a_market.py::test_training_and_predictions_are_sb3s"
EXACT = (
    *("on_policy/test_exact.py", "test_exact_in_a_market.py", "test_vec_normalize.py"),
    "forward/test_policy.py",
)
FEWER = (
    "on_policy/test_exact.py",
    *(f"{IN_A_MARKET}[{algorithm}-{shape}]" for algorithm, shape in MARKETS.items()),
    "test_vec_normalize.py",
    "forward/test_policy.py",
)
MORE = (
    "off_policy/test_exact.py",
    "test_predict.py",
    "../agents/test_compiled_episodes.py",
    "flat/test_optimizers.py",
    "flat/test_parameters.py",
    "on_policy/test_fused.py::test_a_restored_model_goes_on_bit_for_bit",
    "off_policy/test_fused.py::test_a_restored_model_goes_on_bit_for_bit",
)
SETTINGS: dict[str, dict[str, str]] = {
    "as on AMD's, of 256 bits": {
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "OPENBLAS_CORETYPE": "Zen",
        "ATEN_CPU_CAPABILITY": "avx2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    },
    "as on any": {"MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Prescott"},
    "as on an older Intel's": {"MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}
PRODUCTS = """
import torch as th
from torch.nn.functional import linear

th.set_num_threads(1)
base = th.zeros(1 << 16)
drawn = th.Generator().manual_seed(0)
found = dict.fromkeys((0, 16, 32, 48, 4, 8, 12, 20, 60), 0)
for rows in (1, 2, 3, 4, 16, 65):
    for outputs in (1, 3, 7, 13, 64):
        for inputs in (2, 5, 7, 16, 61):
            sizes = ((outputs, inputs), (rows, inputs), (outputs,))
            weight, seen, bias = (th.randn(size, generator=drawn) for size in sizes)
            expected = linear(seen, weight, bias)
            for offset in found:
                first = (-base.data_ptr() % 64 + offset) // 4
                moved = base[first : first + weight.numel()].view(weight.shape)
                moved.copy_(weight)
                cut = base[first + 32768 : first + 32768 + seen.numel()].view(seen.shape)
                cut.copy_(seen)
                one, other = linear(seen, moved, bias), linear(cut, weight, bias)
                found[offset] += not (th.equal(one, expected) and th.equal(other, expected))
print(found)
"""
"""Prints how many products of some shapes depend on where a matrix starts, by its offset."""


def run(arguments: list[str], settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **settings},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


def require_passing(tests: tuple[str, ...], settings: dict[str, str]) -> None:
    paths = [str(HERE / name) for name in tests]
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "", *paths], settings)
    assert done.returncode == 0, f"with {settings}:\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SETTINGS)[:1])
def test_exact_is_exact_with_other_kernels(name: str) -> None:
    require_passing(FEWER, SETTINGS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", SETTINGS)
def test_everything_exact_is_exact_with_other_kernels(name: str) -> None:
    require_passing((*EXACT, *MORE), SETTINGS[name])


@pytest.mark.slow
def test_products_depend_on_no_multiple_of_16_bytes() -> None:
    """What the exact learners rest on: torch starts a tensor at 64 bytes, numpy an array at 16."""
    visible = {}
    for name, settings in {"as it is": {}, **SETTINGS}.items():
        done = run(["-c", PRODUCTS], settings)
        assert done.returncode == 0, done.stderr
        found: dict[int, int] = ast.literal_eval(done.stdout)
        assert {offset: n for offset, n in found.items() if offset % 16 == 0 and n} == {}, name
        visible[name] = sum(found.values())
    if not any(visible.values()):
        pytest.skip("no setting of this machine's libraries shows a product that depends on it")
