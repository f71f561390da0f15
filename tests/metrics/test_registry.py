"""One list of measures: what reads it, and that a measure is added in one file."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from repository import REPOSITORY

from finrl_ray.metrics.performance import sharpe_ratio
from finrl_ray.metrics.registry import (
    HEADLINES,
    MEASURES,
    METRICS,
    SHOWN,
    leading_with,
    performance_summary,
    title_of,
)

# what a person writes who adds a measure: a function, and its entry at the end of the list
FUNCTION = '''
def gain_to_pain_ratio(account: AccountCurve) -> float:
    """Return the sum of all returns over the sum of the losses; NaN without a loss."""
    losses = -float(np.minimum(account.returns, 0.0).sum())
    return float(account.returns.sum()) / losses if 0.0 < losses < np.inf else float("nan")


'''
ENTRY = """        Measure(
            name="gain_to_pain_ratio",
            label="gain/pain",
            title="gain-to-pain ratio",
            format=".2f",
            kind="ratio",
            mode="max",
            undefined=-10.0,
            function=gain_to_pain_ratio,
        ),
    )
)
\"\"\"The measures by name"""
USE = """
import json
from pathlib import Path

import numpy as np

from finrl_ray.agents.callbacks.measures import MODES, UNDEFINED_OBJECTIVE, Judge
from finrl_ray.config.reference.json_schema import config_schema
from finrl_ray.config.load import parse_config
from finrl_ray.config.reference.reference_page import config_reference
from finrl_ray.config.template import new_experiment
from finrl_ray.errors import ConfigError
from finrl_ray.metrics import registry
from finrl_ray.report.pages.search import _STRATEGY_MEASURES
from finrl_ray.search.journal.records import TrialRecord
from finrl_ray.search.results.table import trial_table

name = "gain_to_pain_ratio"
config = parse_config(
    {
        "evaluation": {"metric": name},
        "search": {"searcher": "optuna", "objectives": [name, "max_drawdown"]},
    }
)
try:
    parse_config({"evaluation": {"metric": "gain_to_pain"}})
except ConfigError as error:
    problem = str(error)
summary = registry.performance_summary(np.array([100.0, 110.0, 99.0, 108.9]))
judge = Judge(metric=name, periods_per_year=252.0)
results = [{f"eval/{key}": value for key, value in summary.items()}]
results[0] |= {"objective": summary[name], "timesteps": 100, "eval_objective": summary[name]}
record = TrialRecord(index=0, trial_id="00000", sample={}, results=results, state="completed")
table = trial_table([record], config)
print(json.dumps({
    "value": summary[name],
    "mode": MODES[judge.metric],
    "undefined": UNDEFINED_OBJECTIVE[name],
    "problem": problem,
    "schema": config_schema()["$defs"]["EvaluationConfig"]["properties"]["metric"]["anyOf"][0][
        "enum"
    ],
    "reference": config_reference().count(f"`{name}`"),
    "template": name in new_experiment("one", Path("experiments")).read_text(),
    "column": float(table[name].iloc[0]),
    "best": float(table[f"best_{name}"].iloc[0]),
    "heading": [one.label for one in _STRATEGY_MEASURES][-3:],
}))
"""


def test_choices_of_the_config_are_what_more_of_is_better() -> None:
    assert METRICS == (
        "sharpe_ratio",
        "appraisal_ratio",
        "information_ratio",
        "sortino_ratio",
        "calmar_ratio",
        "total_return",
        "annual_return",
        "max_drawdown",
    )
    assert {MEASURES[name].mode for name in METRICS} == {"max"}


def test_a_stand_in_is_finite_and_worse_than_any_value_that_can_be_told() -> None:
    for measure in MEASURES.values():
        assert np.isfinite(measure.undefined)
        assert measure.undefined < 0
    # nothing can fall further than to nothing
    assert MEASURES["max_drawdown"].undefined == MEASURES["total_return"].undefined == -1.0


def test_names_labels_and_formats() -> None:
    assert all(name == measure.name for name, measure in SHOWN.items())
    labels = [measure.label for measure in SHOWN.values()]
    assert len(set(labels)) == len(labels)
    assert format(0.1234, MEASURES["total_return"].format) == "12.3%"
    assert [measure.label for measure in HEADLINES] == ["Sharpe", "appraisal", "max DD", "return"]


def test_leading_measures_come_first_and_none_is_lost() -> None:
    names = [measure.name for measure in leading_with("total_return", "sharpe_ratio")]
    assert names[:3] == ["total_return", "sharpe_ratio", "appraisal_ratio"]
    assert sorted(names) == sorted(MEASURES)


def test_title_of_a_measure_and_of_something_else() -> None:
    assert title_of("sharpe_ratio") == "Sharpe ratio"
    assert title_of("mean_reward") == "mean reward"


def test_the_summary_passes_the_rates_on() -> None:
    curve = np.array([100.0, 101.0, 98.98, 101.9494])
    summary = performance_summary(curve, periods_per_year=12, risk_free_rate=0.03)
    returns = curve[1:] / curve[:-1] - 1.0
    assert summary["sharpe_ratio"] == sharpe_ratio(
        returns, periods_per_year=12, risk_free_rate=0.03
    )


def test_a_measure_is_added_in_one_file(tmp_path: Path) -> None:
    copy = tmp_path / "finrl_ray"
    shutil.copytree(
        REPOSITORY / "finrl_ray", copy, ignore=shutil.ignore_patterns("__pycache__", "*.nb?")
    )
    registry = copy / "metrics" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    for before, after in (
        ("def _by_name(", f"{FUNCTION.lstrip()}def _by_name("),
        ('    )\n)\n"""The measures by name', ENTRY),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    registry.write_text(text, encoding="utf-8")
    program = tmp_path / "use.py"
    program.write_text(USE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # gains of 0.1 twice and one loss of 0.1
    assert round(found["value"], 9) == 1.0
    assert found["column"] == found["best"] == found["value"]
    assert found["mode"] == "max"
    assert found["undefined"] == -10.0
    assert "Did you mean 'gain_to_pain_ratio'?" in found["problem"]
    assert "gain_to_pain_ratio" in found["schema"]
    # evaluation.metric, search.objectives and search.rank_by
    assert found["reference"] == 3
    assert found["template"] is True
    assert found["heading"] == ["gain/pain", "invested", "beta"]
