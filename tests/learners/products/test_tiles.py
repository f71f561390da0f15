"""Products are those of whole numbers, which float32 adds up without rounding in any order."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from finrl_ray.learners.products.network import Work, product
from finrl_ray.learners.products.single_rows import row_product
from finrl_ray.learners.products.tiles import address_of, packed_transpose, tiled_product
from finrl_ray.learners.products.vectors import BLOCK, SHAPE

SHAPES = [
    (1, 1, 1),
    (5, 3, 7),
    (8, BLOCK, 10),
    (9, BLOCK + 1, 17),
    (7, BLOCK - 1, 16),
    (64, 29, 64),
    (3, 2 * BLOCK + SHAPE.lanes, 33),
    (2, SHAPE.lanes + 1, 0),
    (65, 100, 3),
]
"""Rows, columns and depth."""

OTHER_PROCESSORS = {
    "avx2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"},
    "without avx": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2"},
}


@njit
def add_product(n_rows, n_columns, depth, a, a_row, a_step, b, c, onto):
    tiled_product(
        n_rows, n_columns, depth, address_of(a), a_row, a_step,
        address_of(b), b.shape[1], BLOCK, address_of(c), c.shape[1], onto,
    )  # fmt: skip


@njit
def multiply_transposed(a, weights, packed, block, c):
    packed_transpose(
        weights.shape[0], weights.shape[1], address_of(weights), weights.shape[1],
        address_of(packed), block,
    )  # fmt: skip
    product(
        a.shape[0], weights.shape[0], a.shape[1], address_of(a), a.shape[1], 1,
        address_of(packed), BLOCK, block, address_of(c), c.shape[1],
    )  # fmt: skip


def drawn(*shape):
    rng = np.random.default_rng(sum(shape))
    return rng.integers(-8, 9, size=shape).astype(np.float32)


def framed(n_rows, n_columns):
    """Return a matrix of sevens with a row and a column more than are to be written."""
    return np.full((n_rows + 1, n_columns + 1), 7, dtype=np.float32)


def require_framed(c, expected):
    n_rows, n_columns = expected.shape
    np.testing.assert_array_equal(c[:n_rows, :n_columns], expected)
    assert (c[n_rows] == 7).all()
    assert (c[:, n_columns] == 7).all()


@pytest.mark.parametrize(("n_rows", "n_columns", "depth"), SHAPES)
def test_product(n_rows, n_columns, depth):
    a, b, c = drawn(n_rows, depth), drawn(depth, n_columns), framed(n_rows, n_columns)
    add_product(n_rows, n_columns, depth, a, depth, 1, b, c, 0)
    require_framed(c, a @ b)
    add_product(n_rows, n_columns, depth, a, depth, 1, b, c, 1)
    require_framed(c, 2 * (a @ b))


@pytest.mark.parametrize(("n_rows", "n_columns", "depth"), SHAPES)
def test_product_of_a_transpose(n_rows, n_columns, depth):
    a, b, c = drawn(depth, n_rows), drawn(depth, n_columns), framed(n_rows, n_columns)
    add_product(n_rows, n_columns, depth, a, 1, n_rows, b, c, 0)
    require_framed(c, a.T @ b)


@pytest.mark.parametrize(("n_rows", "n_columns", "depth"), SHAPES)
def test_product_with_a_transpose(n_rows, n_columns, depth):
    a, weights, c = drawn(n_rows, depth), drawn(n_columns, depth), framed(n_rows, n_columns)
    work = Work(1)
    _, block = work.packed(n_columns, depth)
    packed = np.full(work.size + 1, 7, dtype=np.float32)
    multiply_transposed(a, weights, packed, block, c)
    require_framed(c, a @ weights.T)
    assert packed[-1] == 7


@njit
def multiply_row(weights, seen, outputs):
    n_outputs, n_inputs = weights.shape
    there = address_of(weights), address_of(seen), address_of(outputs)
    row_product(n_outputs, n_inputs, *there)


@pytest.mark.parametrize(("n_outputs", "n_inputs"), [(1, 1), (3, 7), (4, 32), (9, 33), (29, 300)])
def test_product_of_one_row(n_outputs, n_inputs):
    weights, seen = drawn(n_outputs, n_inputs), drawn(n_inputs)
    outputs = np.full(n_outputs + 1, 7, dtype=np.float32)
    multiply_row(weights, seen, outputs)
    np.testing.assert_array_equal(outputs[:-1], weights @ seen)
    assert outputs[-1] == 7


def test_a_nan_reaches_its_row_alone():
    a, weights, c = drawn(9, 20), drawn(50, 20), framed(9, 50)
    a[4, 13] = np.nan
    _, block = (work := Work(1)).packed(50, 20)
    multiply_transposed(a, weights, np.zeros(work.size, dtype=np.float32), block, c)
    assert np.isnan(c[4, :50]).all()
    assert np.isfinite(np.delete(c, 4, axis=0)).all()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("avx2", marks=pytest.mark.slow),
        pytest.param("without avx", marks=pytest.mark.long),
    ],
)
def test_other_processors_have_other_tiles(name, tmp_path):
    """This processor runs the code that Numba makes for those with narrower registers."""
    settings = {**OTHER_PROCESSORS[name], "NUMBA_CACHE_DIR": str(tmp_path)}
    seen = "import finrl_ray.learners.products.vectors as v; print(*v.SHAPE)"
    shown = _run(["-c", seen], settings)
    assert shown.stdout.split() == (["8", "2", "6"] if name == "avx2" else ["4", "2", "6"])
    done = _run(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_product or nan", __file__],
        settings,
    )
    # pytest's status is another one where no test was found
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def _run(arguments, settings):
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
