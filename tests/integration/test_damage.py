"""Damaged files in an interrupted search: found, said, and without effect on the results."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kill_cells import raw_config
from searches import Search, last_checkpoints, read_text_table, whole_results

pytestmark = pytest.mark.slow

TRIALS = 6
GAMMAS = tuple(round(0.9 + 0.01 * i, 2) for i in range(TRIALS))
# one trial after the other in one process, however many CPUs this machine has
ONE_CPU = {"RAY_OVERRIDE_RESOURCES": '{"CPU": 1}'}
ALL_AT_ONCE = {"RAY_OVERRIDE_RESOURCES": f'{{"CPU": {TRIALS}}}'}
# what a search starts from and what it says; all other files beside checkpoints are its state
NO_STATE = ("config.yaml", "experiment.json", "market_data.npz", "journal.jsonl", ".lock")


def config() -> dict[str, Any]:
    raw = raw_config("a2c", gammas=GAMMAS)
    raw["agent"]["total_timesteps"] = 256
    raw["search"]["max_concurrent_trials"] = None
    return raw


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    with Search(home=tmp_path_factory.mktemp("whole"), raw=config(), env=ONE_CPU) as search:
        search.start()
        assert search.wait() == 0, search.tail()
        return whole_results(search.folder)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Search]:
    """A search whose machine went down while every trial had two checkpoints, and a copy of it."""
    faults = [
        {
            "name": str(gamma),
            "match": {"gamma": gamma},
            "phase": "rollout",
            "after_reports": 2,
            "event": 1,
            "target": "hold",
            "signals": [],
        }
        for gamma in GAMMAS
    ]
    home = tmp_path_factory.mktemp("cut")
    with Search(home=home, raw=config(), faults=faults, env=ALL_AT_ONCE) as search:
        search.start()
        search.wait_for(lambda _: all(search.fired(str(gamma)) for gamma in GAMMAS))
        search.wait_for_results(2 * TRIALS)
        search.kill_everything()
        shutil.copytree(search.folder, home / "copy", symlinks=True)
        search.env = ONE_CPU
        yield search


@pytest.fixture
def search(cut_off: Search) -> Search:
    """The search as its machine left it: in its place, with nothing of an earlier resume."""
    folder = cut_off.folder
    shutil.rmtree(folder)
    shutil.copytree(cut_off.home / "copy", folder, symlinks=True)
    cut_off.output_path.write_text("", encoding="utf-8")
    return cut_off


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.long
@pytest.mark.parametrize(
    "damage", [flip_a_bit, truncate, Path.unlink], ids=["flip_a_bit", "truncate", "unlink"]
)
def test_a_damaged_file_of_the_newest_checkpoint_is_found_and_the_one_before_used(
    damage: Callable[[Path], None], search: Search, undisturbed: dict[str, str]
) -> None:
    newest = last_checkpoints(search.folder)
    names = sorted(path.name for path in newest[0].iterdir() if path.is_file())
    assert len(names) < TRIALS, "a trial for each file, and one that stays whole"
    for trial, name in enumerate(names):
        damage(newest[trial] / name)
    search.resume()
    assert search.wait() == 0, search.tail()
    table = read_text_table(search.folder / "trials.csv").set_index("trial")
    assert whole_results(search.folder) == undisturbed
    assert "notes" in table, "the table does not say which checkpoint was damaged"
    notes = table["notes"]
    said = search.output + search.worker_logs()
    for trial, name in enumerate(names):
        assert newest[trial].name in notes[str(trial)]
        assert name in notes[str(trial)]
        assert f"{newest[trial].name} is damaged" in said
    assert all(notes[str(trial)] == "" for trial in range(len(names), TRIALS))


def state_families(folder: Path) -> list[list[Path]]:
    """The files of a search's state; those of one folder and suffix replace each other."""
    families: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and inside[0] not in NO_STATE and "checkpoint_" not in str(inside):
            families.setdefault(f"{path.parent}/*{path.suffix}", []).append(path)
    return list(families.values())


@pytest.mark.long
@pytest.mark.parametrize("damage", [truncate, Path.unlink], ids=lambda f: f.__name__)
def test_a_damaged_state_of_the_search_and_half_a_line_of_its_journal_change_nothing(
    damage: Callable[[Path], None], search: Search, undisturbed: dict[str, str]
) -> None:
    families = state_families(search.folder)
    assert families
    for family in families:
        damage(max(family, key=lambda path: path.stat().st_mtime))
    with (search.folder / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"event": "resu')
    search.resume()
    assert search.wait() == 0, search.tail()
    assert whole_results(search.folder) == undisturbed
