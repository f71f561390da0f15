"""What of a search is deployed, how far it is trained, and what its verdict is worth for that."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_journals import cut, made_folder
from made_search import made_search

from finrl_ray.errors import ConfigError, SearchError
from finrl_ray.search.folder.folder import SearchFolder
from finrl_ray.search.folder.names import VERDICT_FILE
from finrl_ray.search.results.table import in_order_of_rank
from finrl_ray.training.stretches import Stretch
from finrl_ray.workflows.confirmation_files import TABLE_FILE
from finrl_ray.workflows.deployment.chosen import chosen_trials, stretches_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SearchFolder:
    return made_search(tmp_path_factory.mktemp("made"), n_trials=5, failed=[1])


def ranked(folder: SearchFolder) -> list[int]:
    return [one.index for one in in_order_of_rank(folder.records().in_order(), folder.config)]


def test_the_winner_comes_with_the_verdict_on_it(folder) -> None:
    chosen = chosen_trials(folder)
    first = ranked(folder)[0]
    assert [one.index for one in chosen.records] == [first]
    assert (chosen.ensemble, chosen.ranks, chosen.who) == (False, (1,), f"trial {first}")
    written = json.loads((folder.path / VERDICT_FILE).read_text())
    assert {name: chosen.verdict[name] for name in written} == written
    assert written["verdict"] == "no evidence of skill"
    assert chosen.verdict["applies"]
    headline, said = chosen.verdict_sentences
    assert headline.startswith("no evidence of skill")
    assert "shows no evidence of skill for this configuration" in said


def test_another_trial_has_no_verdict(folder) -> None:
    best, second, *_ = ranked(folder)
    chosen = chosen_trials(folder, trial=second)
    assert (chosen.who, chosen.ranks) == (f"trial {second}", (2,))
    assert not chosen.verdict["applies"]
    assert (
        f"is on trial {best}, the winner of the search, and not on what is deployed here"
        in (chosen.verdict["of_this_agent"])
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trial": 1}, SearchError, r"trial 1 cannot be deployed: it is failed \(ValueError"),
        ({"trial": 9}, SearchError, "has no trial 9; it has 0 to 4"),
        ({"confirmed": True}, SearchError, "has no confirmation; make one with: finrl-ray confirm"),
        ({"trial": 0, "confirmed": True}, ConfigError, "not both"),
    ],
)
def test_what_cannot_be_deployed_is_refused(folder, options, error, message) -> None:
    with pytest.raises(error, match=message):
        chosen_trials(folder, **options)


def test_an_unfinished_search_is_refused(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=3, planned=6)
    for trial in (None, 0):
        with pytest.raises(SearchError, match=r"but 3 of 6 trials .* have ended; go on with it"):
            chosen_trials(folder, trial=trial)


def test_a_search_without_a_winner_is_refused(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=2, failed=[0, 1])
    with pytest.raises(SearchError, match="no trial of 2 can win"):
        chosen_trials(folder)


def test_a_search_without_a_verdict_is_refused(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=2)
    (folder.path / VERDICT_FILE).unlink()
    with pytest.raises(SearchError, match=r"has no verdict.json; let it end once with"):
        chosen_trials(folder)


def confirmation(folder: SearchFolder, rows: list[dict[str, object]]) -> Path:
    place = folder.path / "confirmation" / "confirm_made_20260101_120000_abcd"
    place.mkdir(parents=True, exist_ok=True)
    known = {"search_rank": pd.NA, "ranked_by": "appraisal_ratio", "state": "completed"}
    table = pd.DataFrame([{**known, **row} for row in rows])
    table.to_csv(place / TABLE_FILE, index=False)
    return place


def test_the_best_of_a_confirmation(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=5)
    second = ranked(folder)[1]
    rows = [
        {"rank": 1, "trial": second, "lower_bound": 0.25},
        {"rank": 2, "trial": ranked(folder)[0], "lower_bound": 0.125},
    ]
    place = confirmation(folder, rows)
    chosen = chosen_trials(folder, confirmed=True)
    assert [one.index for one in chosen.records] == [second]
    assert "the first of the confirmation in" in chosen.why
    assert "lower bound 0.250" in chosen.why
    assert not chosen.verdict["applies"]
    confirmation(folder, [{**rows[0], "state": "interrupted"}])
    with pytest.raises(SearchError, match=f"has not ended.*resume {place}"):
        chosen_trials(folder, confirmed=True)
    confirmation(folder, [{**rows[0], "rank": pd.NA}])
    with pytest.raises(SearchError, match="no configuration of the confirmation"):
        chosen_trials(folder, confirmed=True)


def test_training_goes_as_far_as_the_trial_was_judged(folder) -> None:
    records = folder.records().in_order()
    stopped = next(one for one in records if one.state == "stopped")
    (stretch,) = stretches_of(stopped, records, folder.config)
    assert stretch.until == stopped.last["timesteps"] == 512
    assert stretch.sample == stopped.sample


def test_the_best_evaluation_ends_training(tmp_path) -> None:
    folder = made_search(tmp_path, n_trials=4, search={"select": "best"})
    records = folder.records().in_order()
    for record in records:
        values = [result["eval/appraisal_ratio"] for result in record.results]
        (stretch,) = stretches_of(record, records, folder.config)
        assert stretch.until == record.results[values.index(max(values))]["timesteps"]


@pytest.mark.parametrize("kind", ["pbt", "walk_forward"])
def test_stretches_of_other_searches(tmp_path, kind) -> None:
    folder = made_folder(tmp_path, kind)
    cut(folder, 10_000)
    records = folder.records().in_order()
    for record in records:
        found = stretches_of(record, records, folder.config)
        if kind == "walk_forward":
            assert found == [Stretch(sample=record.sample, until=None)]
            continue
        ends = [stretch.until for stretch in found]
        assert ends == sorted(ends, key=int)
        assert ends[-1] == record.last["timesteps"]
        assert found[-1].sample == record.sample
    if kind == "pbt":
        assert max(len(stretches_of(one, records, folder.config)) for one in records) > 1
