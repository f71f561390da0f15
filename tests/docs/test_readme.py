"""The README's Python runs as it stands there, and its commands exist."""

import re
from pathlib import Path

import pytest
from repository import REPOSITORY
from typer.main import get_command

from finrl_ray.cli.main import app
from finrl_ray.data.sources.bundled import read_bundled

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_every_command_of_the_readme_exists_and_none_is_missing() -> None:
    named = set(re.findall(r"`finrl-ray (\w+)", README))
    assert named == set(get_command(app).commands)


@pytest.mark.slow
def test_the_first_snippet_trains_and_predicts() -> None:
    df = read_bundled().query("date < '2006-01-01'").copy()
    df["macd"], df["rsi_30"] = 0.0, 50.0
    names = {"df": df}
    code = BLOCKS[0].replace("100_000", "4096")
    exec(compile(code, "README.md", "exec"), names)  # our own text
    assert len(names["account"]) == len(names["actions"]) + 1 == df["date"].nunique()


def test_the_second_snippet_names_what_exists() -> None:
    assert len(BLOCKS) == 2
    code = compile(BLOCKS[1], "README.md", "exec")
    # under another name than __main__ nothing is run but the imports
    exec(code, {"__name__": "imported"})  # our own text
    assert Path(re.findall(r'load_config\("(.*?)"\)', BLOCKS[1])[0]).suffix == ".yaml"
