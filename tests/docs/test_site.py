"""The documentation: generated pages are up to date, quoted errors exist, the site builds."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from repository import REPOSITORY

from tests.test_import_order import FLOORS

ROOT = REPOSITORY
DOCS = ROOT / "docs"


def _pages():
    spec = importlib.util.spec_from_file_location("write_reference", DOCS / "write_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize(
    "name",
    [
        *("config_reference.md", "cli_reference.md", "config.schema.json", "environment.md"),
        *("bring/reward.md", "bring/metric.md"),
    ],
)
def test_generated_pages_are_up_to_date(name: str) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == _pages()[name](), "run `make reference`"


def _quoted() -> list[str]:
    rows = (DOCS / "faq.md").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"\| `([^`]+)` \|", row) for row in rows]
    return [match[1] for match in found if match]


def _message_texts() -> str:
    """Return the texts of the package as they would be said: parts joined, fields left out."""
    texts = []
    for path in sorted((ROOT / "finrl_ray").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        joined = re.sub(r'"\s*\n\s*f?"', "", source)
        texts.append(joined)
    return "\n".join(texts)


def test_the_faq_quotes_messages_that_are_really_said() -> None:
    quoted, texts = _quoted(), _message_texts()
    assert len(quoted) >= 30
    assert [message for message in quoted if message not in texts] == []


def test_every_page_is_in_the_navigation_and_linked_files_exist() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        assert page.relative_to(DOCS).as_posix() in navigation, page.name
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the extra [docs] is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra [docs] is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Tune deep-RL trading agents" in home
    # it is read without network
    assert "fonts.googleapis.com" not in home
    assert (tmp_path / "config.schema.json").is_file()


def test_every_public_name_is_in_the_api_reference() -> None:
    stub = (ROOT / "finrl_ray" / "__init__.pyi").read_text(encoding="utf-8")
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    names = [
        (node.module, alias.name)
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert len(names) > 30
    sb3 = {"BaseCallback", "DummyVecEnv"}
    missing = [
        f"{module}.{name}"
        for module, name in names
        if name not in {*sb3, "__version__"} and f"::: finrl_ray.{module}.{name}\n" not in page
    ]
    assert not missing
    assert all(f"`{name}`" in page for name in sb3)


def test_the_table_of_rooms_is_that_of_the_code() -> None:
    page = (DOCS / "design.md").read_text(encoding="utf-8").partition("## Floors")[2]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", page.partition("\n## ")[0], flags=re.MULTILINE)
    said = {room: int(floor) for floor, rooms in rows for room in re.findall(r"`([^`]+)`", rooms)}
    assert said == {room.replace(".", "/"): floor for room, floor in FLOORS.items()}
