"""A trial goes on from the first unreported checkpoint, or the newest whole one, and says why."""

from pathlib import Path

import pyarrow.fs as pafs
import pytest
from ray import tune

from finrl_ray.files.manifest import write_folder_manifest
from finrl_ray.search.worker.restart import trial_start

LOCAL = pafs.LocalFileSystem()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name in ("own", "donor"):
        for index in range(4):
            folder = tmp_path / name / f"checkpoint_{index:06d}"
            folder.mkdir(parents=True)
            (folder / "state.pt").write_text(f"{name} {index}")
            write_folder_manifest(folder)
    return tmp_path / "own"


def begun(own: Path, given: str) -> tuple[str, bool, str]:
    checkpoint = tune.Checkpoint(str(own.parent / given), LOCAL) if given else None
    with trial_start(checkpoint, str(own), LOCAL) as start:
        text = "" if start.checkpoint is None else (start.checkpoint / "state.pt").read_text()
        return text, start.must_report, start.notes


def test_the_reported_checkpoint_is_gone_on_from(own) -> None:
    assert begun(own, "own/checkpoint_000003") == ("own 3", False, "")


@pytest.mark.parametrize(
    ("given", "first"),
    [("", "own 0"), ("own/checkpoint_000001", "own 2"), ("own/checkpoint_000002", "own 3")],
)
def test_the_next_one_whose_report_was_lost_is_reported_again(own, given, first) -> None:
    assert begun(own, given) == (first, True, "")


def test_an_unreported_one_that_was_never_finished_is_passed_over_without_a_word(own) -> None:
    (own / "checkpoint_000003" / "manifest.json").unlink()
    assert begun(own, "own/checkpoint_000002") == ("own 2", False, "")
    (own / "checkpoint_000002" / "manifest.json").unlink()
    assert begun(own, "own/checkpoint_000001") == ("own 1", False, "")


def test_no_later_one_stands_in_for_an_unreported_one_that_is_damaged(own) -> None:
    (own / "checkpoint_000002" / "state.pt").write_text("")
    assert begun(own, "own/checkpoint_000001") == ("own 1", False, "")
    (own / "checkpoint_000000" / "state.pt").write_text("")
    assert begun(own, "") == ("", False, "")


def test_a_damaged_one_falls_back_to_the_one_before_and_is_named(own) -> None:
    (own / "checkpoint_000003" / "state.pt").write_text("own x")
    text, unreported, notes = begun(own, "own/checkpoint_000003")
    assert (text, unreported) == ("own 2", False)
    assert notes == (
        "checkpoint_000003 is damaged: state.pt does not match its checksum; went on from "
        "checkpoint_000002"
    )


def test_when_all_are_damaged_the_trial_starts_over_and_says_so(own) -> None:
    for index in range(4):
        (own / f"checkpoint_{index:06d}" / "state.pt").unlink()
    text, unreported, notes = begun(own, "own/checkpoint_000003")
    assert (text, unreported) == ("", False)
    assert notes.endswith("went on from the start")
    assert notes.count("state.pt is missing") == 4


def test_a_donors_later_checkpoints_are_not_taken(own) -> None:
    assert begun(own, "donor/checkpoint_000001") == ("donor 1", False, "")
    (own.parent / "donor" / "checkpoint_000001" / "state.pt").write_text("")
    assert begun(own, "donor/checkpoint_000001")[0] == "donor 0"


def test_a_trial_without_checkpoints_starts_from_scratch(tmp_path) -> None:
    assert begun(tmp_path / "new", "") == ("", False, "")
