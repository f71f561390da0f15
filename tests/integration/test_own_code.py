"""Searches made of the user's own code: killed, resumed, reproduced elsewhere, in other hands."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from own_search import FILES, own_config, write_files
from searches import Search, whole_results

from finrl_ray.config.load import load_config
from finrl_ray.search.run.runner import run_search

pytestmark = pytest.mark.slow


def finrl_ray(*arguments: str, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "finrl_ray", *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def undisturbed(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search that nothing disturbed; the user's files are gone."""
    home = tmp_path_factory.mktemp("undisturbed")
    write_files(home)
    # as a command reads it: the order of the entries is that of the draws
    (home / "config.yaml").write_text(yaml.safe_dump(own_config()), encoding="utf-8")
    config = load_config(home / "config.yaml", [f"search.storage_path={home / 'runs'}"])
    result = run_search(config, base_dir=home)
    assert result.finished
    for name in FILES:
        (home / name).unlink()
    return result.path


def test_the_folder_alone_repeats_its_winner_and_is_read_without_its_code(
    undisturbed: Path, tmp_path: Path
) -> None:
    assert (undisturbed / "code" / "my_numbers.py").is_file()
    shutil.copy(undisturbed / "reproduction.zip", tmp_path / "one.zip")
    done = finrl_ray("reproduce", "one.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # in the hands of somebody else
    elsewhere = {"XDG_DATA_HOME": str(tmp_path / "somebody")}
    refused = finrl_ray("reproduce", "one.zip", cwd=tmp_path, **elsewhere)
    assert refused.returncode != 0
    assert "add --trust" in refused.stderr
    shown = finrl_ray("show", str(undisturbed), cwd=tmp_path, **elsewhere)
    assert shown.returncode == 0, shown.stdout + shown.stderr


@pytest.mark.long
def test_somebody_else_reads_the_folder_and_opens_its_test_window_by_trust(
    undisturbed: Path, tmp_path: Path
) -> None:
    elsewhere = {"XDG_DATA_HOME": str(tmp_path / "somebody")}
    copy = shutil.copytree(undisturbed, tmp_path / "copy")
    read = finrl_ray("report", str(copy), cwd=tmp_path, **elsewhere)
    assert read.returncode == 0, read.stdout + read.stderr
    refused = finrl_ray("backtest", str(copy), cwd=tmp_path, **elsewhere)
    assert "add --trust" in refused.stderr
    opened = finrl_ray("backtest", str(copy), "--trust", cwd=tmp_path, **elsewhere)
    assert opened.returncode == 0, opened.stdout + opened.stderr


@pytest.mark.long
def test_a_search_of_own_code_that_was_killed_ends_as_if_it_had_not_been(
    undisturbed: Path, tmp_path: Path
) -> None:
    write_files(tmp_path)
    with Search(home=tmp_path, raw=own_config()) as search:
        search.start()
        search.wait_for_results(2)
        os.kill(search.process.pid, signal.SIGKILL)
        search.wait()
        # what it goes on with is its own copy
        for name in FILES:
            (tmp_path / name).write_text("raise RuntimeError('edited')\n", encoding="utf-8")
        search.resume()
        assert search.wait() == 0, search.tail()
        assert whole_results(search.folder) == whole_results(undisturbed)
