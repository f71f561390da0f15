"""The recipes of CONTRIBUTING.md, followed word for word on a copy of the package."""

import ast
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from repository import REPOSITORY, copy_package

TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_FILES = {
    "Add a metric": 1,
    "Add a scheduler": 2,
    "Add a data source": 2,
    "Add an algorithm": 4,
    "Add an adapter for another package's env": 2,
    "Add an env option": 4,
}
"""How many source files each may touch."""
COMPILED_ANEW = ("Add a scheduler", "Add an env option")
"""Those that train in an env, for which the copy of the package compiles its rules again."""
_CODE = r"\s+```(?:python|yaml)\n(.*?)```"
_STEPS = re.compile(
    rf"New file `(?P<new>[^`]+)`:{_CODE}"
    rf"|In `(?P<file>[^`]+)`, (?P<place>before|after|replace){_CODE}\s+(?:put|by){_CODE}",
    re.DOTALL,
)
_TRY = re.compile(rf"Try it:{_CODE}", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A new file, or a text put before, after or in the place of one that is there once."""

    path: str
    place: str
    found: str
    text: str

    def follow(self, root: Path) -> None:
        file = root / self.path
        if self.place == "new":
            assert not file.exists(), f"{self.path} is there already"
            file.write_text(self.text, encoding="utf-8")
            return
        old = file.read_text(encoding="utf-8")
        assert old.count(self.found) == 1, f"{self.path} has not once:\n{self.found}"
        whole = {
            "before": self.text + self.found,
            "after": self.found + self.text,
            "replace": self.text,
        }
        file.write_text(old.replace(self.found, whole[self.place]), encoding="utf-8")


def recipe(title: str) -> str:
    return TEXT.split(f"\n### {title}\n")[1].split("\n### ")[0]


def steps(text: str) -> list[Step]:
    return [
        Step(m["new"], "new", "", m[2]) if m["new"] else Step(m["file"], m["place"], m[5], m[6])
        for m in _STEPS.finditer(text)
    ]


def tried(root: Path, text: str) -> "subprocess.CompletedProcess[str]":
    match = _TRY.search(text)
    assert match is not None
    (root / "try_it.py").write_text(match[1], encoding="utf-8")
    return subprocess.run(
        [sys.executable, "try_it.py"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_recipes_are_those_with_a_bound() -> None:
    assert re.findall(r"\n### (Add .*)\n", TEXT) == list(MOST_FILES)


@pytest.mark.parametrize("title", MOST_FILES)
def test_a_recipe_touches_few_source_files(title: str) -> None:
    touched = {step.path for step in steps(recipe(title)) if step.path.startswith("finrl_ray/")}
    assert 1 <= len(touched) <= MOST_FILES[title]


def test_every_recipe_finds_its_places(tmp_path: Path) -> None:
    for title in MOST_FILES:
        root = tmp_path / title
        copy_package(root)
        for step in steps(recipe(title)):
            step.follow(root)
            assert (root / step.path).suffix != ".py" or ast.parse((root / step.path).read_text())


@pytest.mark.slow
@pytest.mark.parametrize(
    "title",
    [pytest.param(t, marks=[pytest.mark.long] * (t in COMPILED_ANEW)) for t in MOST_FILES],
)
def test_a_recipe_works_as_it_stands(title: str, tmp_path: Path) -> None:
    copy_package(tmp_path)
    text = recipe(title)
    before = tried(tmp_path, text)
    assert before.returncode != 0, "what the recipe adds is there without it"
    for step in steps(text):
        step.follow(tmp_path)
    after = tried(tmp_path, text)
    assert after.returncode == 0, after.stdout + after.stderr
