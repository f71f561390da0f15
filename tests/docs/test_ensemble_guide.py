"""The example of docs/ensemble.md runs as it stands there, with shorter trainings."""

import re
from dataclasses import fields
from typing import Any

import pytest
from repository import REPOSITORY

from finrl_ray.workflows.ensemble.options import EnsembleOptions

GUIDE = (REPOSITORY / "docs" / "ensemble.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) == 1
    code = BLOCKS[0]
    for written, shorter in (("10_000", "64"), ("2048", "64"), ("128", "64")):
        assert written in code
        code = code.replace(written, shorter)
    code = code.replace("use_ray=True", "use_ray=False")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/ensemble.md", "exec"), names)  # our own text
    agent, summary = names["agent"], names["summary"]
    assert len(summary) == len(agent.windows) == 4
    assert str(summary) in capsys.readouterr().out


def test_every_option_of_the_guide_exists() -> None:
    section = GUIDE.split("## Options")[1].split("##")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    assert named <= {item.name for item in fields(EnsembleOptions)}
    assert len(named) > 10
