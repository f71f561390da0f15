"""Loading own code: by its place in a folder, from installed packages, as entry points."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from finrl_ray.errors import ConfigError, DataError
from finrl_ray.own_code.code_files import CodeFiles, collect_code, read_code
from finrl_ray.own_code.failures import OwnCodeError, calling, naming_own_code
from finrl_ray.own_code.finder import activate
from finrl_ray.own_code.load import load_object
from finrl_ray.own_code.reference import is_reference, published, reference_of


@pytest.fixture(autouse=True)
def _nothing_active() -> Iterator[None]:
    yield
    activate(CodeFiles())


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def active(folder: Path, reference: str, kind: str = "reward") -> CodeFiles:
    code = collect_code({f"env.{kind}": reference}, folder)
    activate(code)
    return code


def loaded(folder: Path, reference: str) -> object:
    active(folder, reference)
    return load_object(reference, "reward")


def test_a_function_of_a_file_and_what_it_imports_from_beside_it(tmp_path: Path) -> None:
    written(
        tmp_path,
        my_reward="from my_parts.sums import double\ndef reward(x): return double(x)\n",
        my_parts__in____init__="",
        my_parts__in__sums="from . import factors\ndef double(x): return factors.TWO * x\n",
        my_parts__in__factors="TWO = 2\n",
        unrelated="raise RuntimeError('never imported')\n",
    )
    code = active(tmp_path, "my_reward:reward")
    assert sorted(code.files) == [
        "my_parts/__init__.py",
        "my_parts/factors.py",
        "my_parts/sums.py",
        "my_reward.py",
    ]
    assert load_object("my_reward:reward", "reward")(21) == 42


def test_it_is_imported_from_its_content_where_the_files_are_not(tmp_path: Path) -> None:
    written(tmp_path / "here", my_reward="def reward(): return 'from here'\n")
    code = collect_code({"env.reward": "my_reward:reward"}, tmp_path / "here")
    code.write(tmp_path / "copy")
    (tmp_path / "here" / "my_reward.py").unlink()
    again = read_code(tmp_path / "copy", code.files)
    assert again.digest == code.digest
    (tmp_path / "copy" / "my_reward.py").unlink()
    activate(again)
    assert load_object("my_reward:reward", "reward")() == "from here"


def test_two_searches_of_one_process_have_each_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        written(tmp_path / name, my_reward=f"def reward(): return {name!r}\n")
    codes = [
        collect_code({"env.reward": "my_reward:reward"}, tmp_path / name) for name in ("one", "two")
    ]
    assert codes[0].digest != codes[1].digest
    said = []
    for code in (*codes, codes[0]):
        activate(code)
        said.append(load_object("my_reward:reward", "reward")())
    assert said == ["one", "two", "one"]
    activate(CodeFiles())
    with pytest.raises(ConfigError, match="there is no module 'my_reward' here"):
        load_object("my_reward:reward", "reward")


def test_what_imports_a_changed_file_is_imported_anew(tmp_path: Path) -> None:
    codes = []
    for name in ("A", "B"):
        folder = written(
            tmp_path / name,
            my_reward="from my_part import NAME\ndef reward(): return NAME\n",
            my_part=f"NAME = {name!r}\n",
        )
        codes.append(collect_code({"env.reward": "my_reward:reward"}, folder))
    said = []
    for code in codes:
        activate(code)
        said.append(load_object("my_reward:reward", "reward")())
    assert said == ["A", "B"]


@pytest.mark.parametrize("name", ["colorsys.py", "finrl_ray/errors.py"])
def test_code_in_the_place_of_python_or_this_package_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="must not have the names of modules of Python"):
        activate(CodeFiles(files={name: b"x = 1\n"}))


def test_a_module_that_was_imported_before_is_taken_as_its_file_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, own_kept="class Kept:\n    changed = False\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_kept")
    assert reference_of(module.Kept, "policy") == "own_kept:Kept"
    # found where it was imported from, though the config lies elsewhere
    code = collect_code({"agent.policy": "own_kept:Kept"}, tmp_path / "elsewhere")
    activate(code)
    assert not load_object("own_kept:Kept", "policy").changed
    written(tmp_path, own_kept="class Kept:\n    changed = True\n")
    activate(collect_code({"agent.policy": "own_kept:Kept"}, tmp_path))
    assert load_object("own_kept:Kept", "policy").changed
    sys.modules.pop("own_kept", None)


def test_an_installed_module_needs_no_file(tmp_path: Path) -> None:
    assert not active(tmp_path, "math:prod").files
    assert load_object("math:prod", "reward")([2, 3]) == 6
    assert not collect_code({"agent.policy": "finrl_ray.env.make:make_env"}, tmp_path).files


@pytest.mark.parametrize(
    ("text", "reference", "message"),
    [
        ("def reward(: pass\n", "my_reward:reward", r"my_reward\.py is not valid Python .*line 1"),
        ("def rewards(): ...\n", "my_reward:reward", r"has no 'reward'; .*Did you mean 'rewards'"),
        ("reward = 3\n", "my_reward:reward", "must be a function of named arrays, got 3"),
        (
            "x = 1\ny = x / 0\n",
            "my_reward:reward",
            r"ZeroDivisionError.*my_reward\.py, line 2: y =",
        ),
        (
            "import not_there_at_all\n",
            "my_reward:reward",
            r"not_there_at_all.*my_reward\.py, line 1",
        ),
        ("import sys\nsys.exit(3)\n", "my_reward:reward", r"SystemExit: 3 \(my_reward\.py, line 2"),
        ("", "my_rewards:reward", r"neither my_rewards\.py in .* nor an installed package"),
    ],
)
def test_what_cannot_be_loaded_says_file_line_and_remedy(
    tmp_path: Path, text: str, reference: str, message: str
) -> None:
    written(tmp_path, my_reward=text)
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, reference)


@pytest.mark.parametrize("name", ["random", "numpy"])
def test_a_file_with_a_taken_name_is_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path, **{name: "def reward(): ...\n"})
    with pytest.raises(ConfigError, match=f"give the file another name, such as my_{name}.py"):
        active(tmp_path, f"{name}:reward")


def test_a_failing_call_names_the_innermost_own_line(tmp_path: Path) -> None:
    written(
        tmp_path,
        my_reward="import math\ndef reward(x):\n    return inner(x)\ndef inner(x):\n"
        "    return math.sqrt(x)\n",
    )
    active(tmp_path, "my_reward:reward")
    function = load_object("my_reward:reward", "reward")
    expected = r"env\.reward my_reward:reward failed at the first step: ValueError: .*"
    line = r"\(my_reward\.py, line 5: return math\.sqrt\(x\)\); mend it there"
    with (
        pytest.raises(OwnCodeError, match=expected + line),
        calling("my_reward:reward", "reward", "at the first step"),
    ):
        function(-1.0)
    with pytest.raises(OwnCodeError, match=r"your code failed.*line 5"), naming_own_code():
        function(-1.0)
    with pytest.raises(ValueError, match="not of own code"), naming_own_code():
        raise ValueError("not of own code")


def test_entry_points_of_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "published_rewards-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: published-rewards\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[finrl_ray.rewards]\ncalm = published_rewards:calm\nbroken = published_rewards:none\n"
    )
    written(tmp_path, published_rewards="def calm(): return 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    published.cache_clear()
    try:
        assert is_reference("calm", "reward")
        assert not is_reference("calm", "env")
        assert load_object("calm", "reward")() == 0.5
        with pytest.raises(ConfigError, match=r"broken failed when published_rewards:none was"):
            load_object("broken", "reward")
        with pytest.raises(
            ConfigError, match=r"publish calm, broken\), got 'clam'.*Did you mean 'calm'"
        ):
            load_object("clam", "reward")
    finally:
        published.cache_clear()


class OfThisFile:
    pass


def test_an_object_is_turned_into_its_reference() -> None:
    class Inside:
        pass

    assert reference_of(OfThisFile, "env") == f"{OfThisFile.__module__}:OfThisFile"
    assert reference_of("my_env:Env", "env") == "my_env:Env"
    for value in (Inside, lambda: 0.0):
        with pytest.raises(ConfigError, match=r"put it into a file of its own, such as my_env\.py"):
            reference_of(value, "env")
    with pytest.raises(ConfigError, match="or its import path 'module:name', got 3"):
        reference_of(3, "env")


@pytest.mark.parametrize(
    "text", ["my_env", "C:/data.csv", "s3://bucket", "a:1", ":x", "x:", "a b:c"]
)
def test_other_texts_are_no_places(text: str) -> None:
    assert not is_reference(text, "env")


def test_this_package_is_no_own_code_in_a_working_copy_of_it(tmp_path: Path) -> None:
    written(
        tmp_path,
        my_reward="import finrl_ray.errors\ndef reward(): return finrl_ray.errors.DataError\n",
        finrl_ray__in____init__="",
        finrl_ray__in__errors="raise RuntimeError('never imported')\n",
    )
    code = active(tmp_path, "my_reward:reward")
    assert list(code.files) == ["my_reward.py"]
    assert load_object("my_reward:reward", "reward")() is DataError


def test_a_file_in_the_place_of_a_module(tmp_path: Path) -> None:
    written(tmp_path, my_reward="def reward(): return 1\n")
    with pytest.raises(ConfigError, match=r"has no \.py; write my_reward:reward"):
        loaded(tmp_path, "my_reward.py:reward")
