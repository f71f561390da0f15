"""Which trials are in an ensemble, and what is said where others are passed over."""

from typing import Any

import pytest

from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import parse_config
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.ensemble_members import choose_members
from finrl_ray.search.results.table import in_order_of_rank, ranked_rows
from finrl_ray.search.tune.retention import beaten


def config(ensemble: int | None, **sections: dict[str, Any]) -> ExperimentConfig:
    env = {"action": "target_weights"}
    return parse_config({"env": env, "search": {"ensemble": ensemble}, **sections})


def record(index: int, score: float, state: str = "completed", **sample: Any) -> TrialRecord:
    names = {name.replace("__", "."): value for name, value in sample.items()}
    made = TrialRecord(trial_id=str(index), index=index, sample=names, state=state)  # type: ignore[arg-type]  # one of the states
    made.started = True
    worth = dict.fromkeys(("objective", "eval_objective", "eval/appraisal_ratio"), score)
    made.results = [{"timesteps": 10, **worth}]
    made.checkpoints = {10: f"ray/{index}/checkpoint_000000"}
    return made


def chosen(records, settings):
    found = choose_members(in_order_of_rank(records, settings), settings)
    return [one.index for one in found.records], found


def test_the_first_in_rank_are_in_it() -> None:
    records = [record(0, 1.0), record(1, 3.0), record(2, 2.0), record(3, 9.0, "failed")]
    numbers, found = chosen(records, config(2))
    assert numbers == [1, 2]
    assert (found.ranks, found.wanted, found.notes) == ((1, 2), 2, ())
    rows = ranked_rows(records, config(2))
    assert {row["trial"]: row["in_ensemble"] for row in rows} == {
        0: False, 1: True, 2: True, 3: False
    }  # fmt: skip


@pytest.mark.parametrize("ensemble", [None, 1])
def test_without_an_ensemble_the_table_has_no_such_column(ensemble) -> None:
    rows = ranked_rows([record(0, 1.0)], config(ensemble))
    assert "in_ensemble" not in rows[0]
    assert not config(ensemble).search.has_ensemble


def test_other_rules_of_the_account_are_passed_over_and_named() -> None:
    records = [
        record(0, 3.0, env__cooldown=5),
        record(1, 2.0),
        record(2, 1.0, env__cooldown=5, env__trade_rate=0.3),
    ]
    numbers, found = chosen(records, config(2))
    assert numbers == [0, 2]
    assert found.ranks == (1, 3)
    assert found.notes == ("passed over: trial 1 (env.cooldown 0 and not 5)",)


def test_fewer_than_wanted_are_said() -> None:
    numbers, found = chosen([record(0, 3.0), record(1, 2.0, "failed")], config(3))
    assert numbers == [0]
    assert found.notes == ("search.ensemble asks for 3 trials, and 1 trial can be in it",)


def test_a_trial_without_a_checkpoint_or_a_whole_path_is_passed_over() -> None:
    bare = record(0, 3.0)
    bare.checkpoints = {}
    numbers, found = chosen([bare, record(1, 2.0), record(2, 1.0)], config(2))
    assert numbers == [1, 2]
    assert found.notes == ("passed over: trial 0 (it has left no checkpoint)",)
    paths = config(2, validation={"scheme": "walk_forward"})
    records = [record(index, 3.0 - index) for index in range(3)]
    for one, done in zip(records, (1, 0, 2), strict=True):
        one.results[-1] |= {"paths": done, "eval/appraisal_ratio_se": 0.0}
    numbers, found = chosen(records, paths)
    assert numbers == [0, 2]
    assert "trial 1 (it has not come to the end of a path)" in found.notes[0]
    for one in records:
        one.results[-1] |= {"paths": 0}
    assert chosen(records, paths)[0] == [0, 1]  # none has, so that it is nothing against one


def test_checkpoints_of_members_are_not_those_of_beaten_trials() -> None:
    records = [record(0, 1.0), record(1, 3.0), record(2, 2.0)]
    assert [one.index for one in beaten(records, config(None))] == [0, 2]
    assert [one.index for one in beaten(records, config(2))] == [0]


def test_the_number_is_checked() -> None:
    with pytest.raises(ValueError, match="ensemble is a number of trials and must be >= 1 or null"):
        config(0)


def test_a_copy_of_another_trial_that_was_not_evaluated_since_is_passed_over() -> None:
    records = [record(0, 3.0), record(1, 2.0), record(2, 1.0)]
    at = records[0].last["timesteps"]
    records[0].exploits.append({"timesteps": at, "donor": "1", "sample": {}, "order": 1})
    trials, found = chosen(records, config(2))
    assert trials == [1, 2]
    assert "trial 0 (it became a copy of another trial at its end)" in found.notes[0]
    records[0].exploits[-1]["timesteps"] = at - 1
    assert chosen(records, config(2))[0] == [0, 1]
