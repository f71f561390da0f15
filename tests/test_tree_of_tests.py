"""`tests/X/test_y.py` is the test of `finrl_ray/X/y.py`, so that one finds the other."""

import re

from longest_files import ON_ONE_CPU, ON_TWO_CPUS, ORDER
from repository import REPOSITORY, TESTS

PACKAGE = REPOSITORY / "finrl_ray"
OTHER_FOLDERS = ("benchmarks", "docs", "faults", "helpers", "integration")
"""Tests of benchmarks, of documents, of the tests' own parts, and of many modules together."""
OF_SEVERAL_MODULES = {
    "agents/test_changed_keywords.py": "what SB3 renamed, wherever it is taken",
    "agents/test_known_answers.py": "algorithms learn what is known to be best",
    "agents/callbacks/test_trading_evaluation.py": "`TradingEvalCallback`, beside `EvalCallback`",
    "baselines/test_olps.py": "final wealth that is known, of two baselines",
    "compat/test_one_answer.py": "two ways to one number",
    "compat/test_tutorial.py": "FinRL's own tutorial, from data to backtest",
    "data/test_published.py": "sources and features of installed packages",
    "env/test_crypto.py": "prices of every day of the week, and fractions of a share",
    "env/test_env_training.py": "SB3 trains on each kind of env",
    "env/test_finrl_parity.py": "trajectories that FinRL's own env has left",
    "env/test_known_answer.py": "agents learn what is known to be best",
    "env/test_nearest_spread.py": "a distance of prices, from the config to observations",
    "env/test_raw_frame.py": "envs made of a table of prices",
    "env/test_segments.py": "envs over rows with gaps between them",
    "env/test_shares_owed.py": "accounts that may owe shares, through every part of the env",
    "learners/test_exact_in_a_market.py": "each learner beside SB3's, on prices",
    "learners/test_other_processors.py": "each learner with fewer vector instructions",
    "learners/test_predict.py": "the actions of each learner beside SB3's",
    "report/test_browser.py": "the whole report in a real browser",
    "test_import_order.py": "the whole package",
    "test_structure.py": "the whole package",
    "test_tree_of_tests.py": "this file",
}


def paths_of_tests() -> list[str]:
    found = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py"))
    assert len(found) > 150
    return [path for path in found if not path.startswith(OTHER_FOLDERS)]


def test_a_file_of_tests_is_named_after_its_module() -> None:
    lost = []
    for path in paths_of_tests():
        folder, _, name = path.rpartition("/")
        module = PACKAGE / folder / name.removeprefix("test_")
        if not (module.is_file() or module.with_suffix("").is_dir() or path in OF_SEVERAL_MODULES):
            lost.append(path)
    assert lost == []


def test_the_files_that_are_named_exist_and_need_it() -> None:
    assert [path for path in OF_SEVERAL_MODULES if not (TESTS / path).is_file()] == []
    of_one = [
        path for path in OF_SEVERAL_MODULES if (PACKAGE / path.replace("/test_", "/")).is_file()
    ]
    assert of_one == []
    assert [path for path in ORDER if not (TESTS / path).is_file()] == []
    assert len(set(ORDER)) == len(ORDER)


def test_files_on_one_ray_follow_each_other() -> None:
    for fixture, listed in (("ray_session", ON_ONE_CPU), ("ray_session_of_two", ON_TWO_CPUS)):
        # a parameter, or a mark
        used = re.compile(rf'\b{fixture}(: None|[,)])|usefixtures\("{fixture}"\)')
        found = {
            path.relative_to(TESTS).as_posix()
            for path in TESTS.rglob("test_*.py")
            if used.search(path.read_text(encoding="utf-8"))
        }
        assert found - {"test_tree_of_tests.py"} == {*listed}, fixture
