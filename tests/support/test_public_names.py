"""The names that the package exports: one table, which type checkers read too."""

import ast
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import pytest

import finrl_ray
import finrl_ray.compat

ROOT = Path(finrl_ray.__file__).parents[1]
PACKAGES = (finrl_ray, finrl_ray.compat)
GOOD = """\
import finrl_ray
from finrl_ray import ExperimentConfig, create_env, resume_search, run_search
from finrl_ray.compat import FeatureEngineer


def search(config: ExperimentConfig) -> str:
    result = run_search(config, report=False)
    return str(resume_search(result.path, report=False).path)


environments: list[finrl_ray.StockTradingEnv] = []
steps: list[str] = FeatureEngineer().tech_indicator_list
make = create_env
"""
# one mistake a line
BAD = """\
import finrl_ray
from finrl_ray import DRLAgnet
from finrl_ray.compat import FeatureEnginer
finrl_ray.NoSuchName
finrl_ray.run_search(finrl_ray.ExperimentConfig(), raport=False)
finrl_ray.load_config(1)
"""
MYPY = """\
[mypy]
# what is wrong in the user's files alone is of interest here
[mypy-finrl_ray.*]
ignore_errors = True
[mypy-{others}]
follow_imports = skip
ignore_missing_imports = True
"""
# what the signatures above do not need takes most of the time
OTHERS = (
    "torch", "ray", "stable_baselines3", "gymnasium", "pandas", "numpy", "matplotlib", "plotly",
    "optuna", "scipy", "pydantic", "typer", "rich", "jinja2", "tensorboard", "mlflow", "wandb",
    "pyarrow", "numba", "IPython", "psutil", "stockstats", "skfolio", "sklearn",
)  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_export_is_there(package: types.ModuleType) -> None:
    assert len(package.__all__) > 30
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert name in dir(package)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_the_stub_is_the_table(package: types.ModuleType) -> None:
    stub = Path(str(package.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    names = [a.name for n in ast.parse(stub).body if isinstance(n, ast.ImportFrom) for a in n.names]
    assert sorted(n for n in names if n != "__version__") == sorted(package.__all__)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_a_misspelt_name_is_an_attribute_error_with_the_nearest(package: types.ModuleType) -> None:
    with pytest.raises(
        AttributeError,
        match=rf"module '{package.__name__}' has no attribute 'DRLAgnet'. "
        "Did you mean: 'DRLAgent'",
    ):
        _ = package.DRLAgnet
    with pytest.raises(AttributeError, match=r"no attribute 'NoSuchName'$"):
        _ = package.NoSuchName
    assert not hasattr(package, "NoSuchName")


def test_what_makes_the_exports_is_not_among_them() -> None:
    assert {"public_names", "set_fallback_folders"}.isdisjoint(dir(finrl_ray))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, finrl_ray, finrl_ray.compat; dir(finrl_ray); heavy = ('torch', 'ray', "
        "'numpy', 'pandas', 'stable_baselines3'); print([m for m in heavy if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def _checked(command: list[str], folder: Path) -> dict[str, set[int]]:
    """Return the lines of each file in which a type checker finds an error."""
    (folder / "good.py").write_text(GOOD, encoding="utf-8")
    (folder / "bad.py").write_text(BAD, encoding="utf-8")
    done = subprocess.run(
        [*command, "good.py", "bad.py"], cwd=folder, capture_output=True, text=True, timeout=1800
    )
    lines: dict[str, set[int]] = {"good.py": set(), "bad.py": set()}
    for line in done.stdout.splitlines():
        name, *place = line.strip().rpartition("/")[2].split(":")
        if name in lines and "error" in line:
            lines[name].add(int(place[0]))
    assert done.returncode == 1, done.stdout + done.stderr
    return lines


EVERY_MISTAKE = {"good.py": set(), "bad.py": {2, 3, 4, 5, 6}}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_finds_every_misspelt_name_and_no_other(tmp_path: Path) -> None:
    config = tmp_path / "mypy.ini"
    config.write_text(MYPY.format(others=",mypy-".join(f"{name}.*" for name in OTHERS)), "utf-8")
    command = [sys.executable, "-c", "from mypy.__main__ import console_entry; console_entry()"]
    command += ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache")]
    (tmp_path / "finrl_ray").symlink_to(ROOT / "finrl_ray")
    assert _checked(command, tmp_path) == EVERY_MISTAKE


@pytest.mark.skipif(find_spec("basedpyright") is None, reason="basedpyright is not installed")
def test_pyright_finds_every_misspelt_name_and_no_other(tmp_path: Path) -> None:
    settings = f'{{"typeCheckingMode": "standard", "extraPaths": ["{ROOT.as_posix()}"]}}'
    (tmp_path / "pyrightconfig.json").write_text(settings, encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    assert _checked(command, tmp_path) == EVERY_MISTAKE
