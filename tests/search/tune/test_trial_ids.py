"""Ids of trials in little room."""

from finrl_ray.search.tune.trial_ids import TrialIds


def test_ids_are_those_that_were_added_in_any_order() -> None:
    ids = TrialIds(["00000", "00002", "train", "00001", "00005"])
    again = TrialIds.of_text(ids.text())
    for found in (ids, again):
        assert [k for k in range(8) if f"{k:05d}" in found] == [0, 1, 2, 5]
        assert "train" in found
        assert "trial" not in found


def test_the_ids_of_many_trials_are_one_line() -> None:
    ids = TrialIds(f"{k:05d}" for k in range(120_000))
    assert len(ids.text()) < 30
    assert "119999" in TrialIds.of_text(ids.text())
    assert "120000" not in TrialIds.of_text(ids.text())


def test_the_ids_of_an_earlier_state_are_read() -> None:
    ids = TrialIds.of_text("00001\n00000\n00004")
    assert [k for k in range(6) if f"{k:05d}" in ids] == [0, 1, 4]
