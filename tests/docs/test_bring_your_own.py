"""The pages of docs/bring: their files and configs as they stand, in a search in a new folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY

from finrl_ray.config.load import load_config
from finrl_ray.report.run_search import run_search

PAGES = sorted(p for p in (REPOSITORY / "docs" / "bring").glob("*.md") if p.stem != "index")
_FILE = re.compile(r"New file `(?P<name>[^`]+)`:\s+```(?:python|yaml)\n(?P<text>.*?)```", re.DOTALL)
_TRY = re.compile(r"Try it:\s+```python\n(.*?)```", re.DOTALL)
MOST_LINES = 60


def written(page: Path, folder: Path) -> str:
    text = page.read_text(encoding="utf-8")
    files = {found["name"]: found["text"] for found in _FILE.finditer(text)}
    for name, content in files.items():
        assert content.count("\n") < MOST_LINES, f"{page.name}: {name} is too long"
        (folder / name).write_text(content, encoding="utf-8")
    assert [name for name in files if name.endswith(".py")], f"{page.name} has no file of code"
    return text


def test_each_kind_has_a_page() -> None:
    index = (REPOSITORY / "docs" / "bring" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([a-z]+)\.md\)", index))
    assert linked >= {page.stem for page in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_as_it_stands(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_session: None
) -> None:
    monkeypatch.chdir(tmp_path)
    text = written(page, tmp_path)
    if (tmp_path / "config.yaml").is_file():
        config = load_config("config.yaml")
        result = run_search(config, base_dir=tmp_path, report=page.stem == "policy")
        assert result.finished
        assert not result.table["error"].any(), result.table["error"].tolist()
    for number, block in enumerate(_TRY.findall(text)):
        (tmp_path / f"try_{number}.py").write_text(block, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, f"try_{number}.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
