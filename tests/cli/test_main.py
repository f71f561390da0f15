"""The commands as a person types them: exit codes, messages, and what is left behind."""

import sys
from pathlib import Path

import pytest

from finrl_ray.cli.main import main
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.env import EnvConfig
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.load import load_config
from finrl_ray.config.search import SearchConfig
from finrl_ray.data.load import load_market_data
from finrl_ray.data.windows.split import make_split
from finrl_ray.search.folder.folder import SearchFolder, create_folder, sole_driver
from finrl_ray.search.journal.events import append_event
from finrl_ray.search.journal.records import TrialRecords

GOOD_CSV = "date,tic,close\n" + "\n".join(
    f"2020-{month:02d}-{day:02d},AAA,{10 + day}" for month in range(1, 13) for day in range(1, 29)
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    """The folder of a search of three trials, of which one runs, one is done, one has failed."""
    config = ExperimentConfig(name="made")
    data, report = load_market_data(config.data)
    split = make_split(data, config.split)
    made = create_folder(config, data, split, report.to_dict(), tmp_path / "runs")
    records = TrialRecords()

    def write(event: str, **content: object) -> None:
        append_event(made.path, records, event, **content)

    for index in range(3):
        write("start", trial_id=f"t{index}", index=index, sample={"n_steps": 64})
        metrics = {"timesteps": 100, "objective": float(index), "eval_objective": float(index)}
        metrics |= {"eval/appraisal_ratio": float(index), "eval/sharpe_ratio": float(index)}
        metrics |= {"eval/max_drawdown": -0.25}
        write("result", trial_id=f"t{index}", metrics=metrics)
    write("end", trial_id="t1", state="completed", reason="completed 100 timesteps")
    write("end", trial_id="t2", state="failed", reason="ValueError: [nan]", error="Traceback")
    return made


def test_new_writes_a_config_that_loads(at_work, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "new", "mine") == 0
    path = at_work / "experiments" / "mine" / "config.yaml"
    assert load_config(path).name == "mine"
    assert "finrl-ray tune experiments/mine/config.yaml" in capsys.readouterr().out


def test_new_writes_the_style_that_learns_unless_finrl_is_named(at_work, monkeypatch) -> None:
    for name, style in (("plain", []), ("named", ["--style", "learning"])):
        assert run(monkeypatch, "new", name, *style) == 0
        config = load_config(at_work / "experiments" / name / "config.yaml")
        assert (config.env.action, config.env.reward) == ("target_weights", "active")
        assert config.env.observation == "stationary"
    assert run(monkeypatch, "new", "old", "--style", "finrl") == 0
    config = load_config(at_work / "experiments" / "old" / "config.yaml")
    assert (config.env, config.agent) == (EnvConfig(), AgentConfig())
    assert config.search == SearchConfig()


def test_new_refuses_a_style_that_there_is_not(at_work, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "new", "mine", "--style", "finlr") == 2
    said = capsys.readouterr().err
    assert "finlr" in said
    assert "learning" in said
    assert "finrl" in said.replace("finlr", "")
    assert list(at_work.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "a b", "", ".hidden", "x" * 101])
def test_new_refuses_a_name_that_is_no_folder_name(name, at_work, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "new", name) == 2
    assert "it names a folder" in capsys.readouterr().err
    assert list(at_work.iterdir()) == []


def test_new_does_not_overwrite(at_work, monkeypatch, capsys) -> None:
    run(monkeypatch, "new", "mine")
    assert run(monkeypatch, "new", "mine") == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "resume", "backtest"])
def test_the_url_of_a_search_arrives_as_it_was_typed(command, at_work, monkeypatch, capsys) -> None:
    assert run(monkeypatch, command, "s3://bucket/runs/one?regio=x") == 2
    assert "Did you mean 'region'?" in capsys.readouterr().err
    assert run(monkeypatch, command, "ftp://host/runs/one") == 2
    assert "begins with s3://, gs://, gcs://, got ftp://" in capsys.readouterr().err
    assert list(at_work.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("serach: {}", "Did you mean 'search'"),
        ("search: {scheduler: {type: ahsa}}", "Did you mean 'asha'"),
        ("agent: {total_timesteps: many}", "valid integer, got 'many'"),
        ("evaluation: {max_no_improvement_evals: 99}", "lower evaluation.max_no_improvement_evals"),
        ("search: {space: {learning_rat: {choice: [1]}}}", "learning_rate"),
        ("search: {space: {n_steps: {chioce: [1]}}}", "Did you mean 'choice'"),
        ("data: {source: prices.csv}", "prices.csv"),
        ("data: {source: bundeld}", "Did you mean 'bundled'"),
        ("data: {tickers: [APPL]}", "AAPL"),
        ("data: {features: [rsi_3O]}", "rsi_3O"),
        ("data: {features: [close_1_s]}", "close_1_s"),
        ("split: {train: [null, 2030-01-01], validation: [2030-01-01, 2031-01-01],"
         " test: [2031-01-01, null]}", "validation"),
        ("split: {train: [2004-08-19, 2006-01-01], validation: [2006-01-01, 2007-01-01],"
         " test: [2007-01-01, null]}", "2004-11-12"),
        ("agent: {algorithm: sac, model_kwargs: {clip_range: 0.2}}", "ppo would accept"),
        ("- a\n- b", "must hold keys and values"),
        ("a: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_one_message_and_nothing_is_started(
    text, words, at_work, monkeypatch, capsys
) -> None:
    (at_work / "config.yaml").write_text(text, encoding="utf-8")
    for command in ("tune", "train"):
        assert run(monkeypatch, command, "config.yaml") == 2
        error = capsys.readouterr().err
        assert any(word in error for word in words.split("|")), error
        assert "Traceback" not in error
    assert [path.name for path in at_work.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD_CSV + "\n2020-06-30,AAA,inf", ["AAA", "2020-06-30", "close"]),
        (GOOD_CSV + "\n2020-06-30,AAA,-5", ["AAA", "2020-06-30", "close"]),
        (GOOD_CSV + "\n2020-06-30,AAA,n/a?", ["AAA", "2020-06-30", "close", "n/a?"]),
        (GOOD_CSV + "\n2020-06-28,AAA,5", ["AAA", "2020-06-28"]),
        (GOOD_CSV + "\n2020-02-30,AAA,5", ["2020-02-30"]),
        ("date,ticker,close\n2020-01-01,A,1", ["tic", "ticker"]),
        ("date,tic,close\n2020-01-01,A,1", ["2 dates"]),
        ("date,tic,close\n", ["row"]),
        ("", ["prices.csv"]),
    ],
)
def test_wrong_prices_are_named_by_ticker_date_and_column(
    text, words, at_work, monkeypatch, capsys
) -> None:
    (at_work / "prices.csv").write_text(text, encoding="utf-8")
    config = "data: {source: prices.csv, features: [close_5_sma]}"
    (at_work / "config.yaml").write_text(config, encoding="utf-8")
    assert run(monkeypatch, "tune", "config.yaml") == 2
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert sorted(path.name for path in at_work.iterdir()) == ["config.yaml", "prices.csv"]


@pytest.mark.parametrize("command", ["show", "resume", "backtest"])
def test_a_folder_that_is_no_search_is_refused(command, at_work, monkeypatch, capsys) -> None:
    assert run(monkeypatch, command, "nowhere") == 2
    assert "there is no folder" in capsys.readouterr().err
    assert run(monkeypatch, command, str(at_work)) == 2
    assert "is not the folder of a search" in capsys.readouterr().err


def test_show_lists_every_started_trial(folder, monkeypatch, capsys) -> None:
    with sole_driver(folder):
        assert run(monkeypatch, "show", str(folder.path)) == 0
    shown = capsys.readouterr().out
    assert "completed 100 timesteps" in shown
    # a message with brackets is text, not markup
    assert "ValueError: [nan]" in shown
    assert "running" in shown


def test_show_says_that_nobody_runs_a_search_any_more(folder, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", str(folder.path)) == 0
    shown = capsys.readouterr().out
    assert "running" not in shown
    assert "interrupted after 100" in shown


def test_show_limits_the_rows(folder, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", str(folder.path), "--limit", "1") == 0
    assert "ValueError" not in capsys.readouterr().out


def test_show_before_the_first_trial(folder, monkeypatch, capsys) -> None:
    (folder.path / "journal.jsonl").unlink()
    assert run(monkeypatch, "show", str(folder.path)) == 0
    assert "no trial has started yet" in capsys.readouterr().out


def test_exchanged_data_are_noticed(folder, monkeypatch, capsys) -> None:
    from finrl_ray.data.npz import save_market_data

    save_market_data(folder.market_data.rows(0, 500), folder.path / "market_data.npz")
    assert run(monkeypatch, "show", str(folder.path)) == 2
    assert "holds other data" in capsys.readouterr().err


def test_backtest_without_a_model_says_what_to_do(folder, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "backtest", str(folder.path)) == 2
    assert "finrl-ray resume" in capsys.readouterr().err
    assert not (folder.path / "test_openings.jsonl").exists()


def test_debug_shows_the_traceback(at_work, monkeypatch) -> None:
    from finrl_ray.errors import SearchError

    monkeypatch.setattr(sys, "argv", ["finrl-ray", "--debug", "show", "nowhere"])
    with pytest.raises(SearchError):
        main()


def test_version(monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("finrl-ray 0.")


@pytest.mark.slow
def test_train_writes_a_folder_that_can_be_shown_and_backtested(
    at_work, monkeypatch, capsys
) -> None:
    (at_work / "config.yaml").write_text(
        "agent: {total_timesteps: 512, n_envs: 2, model_kwargs: {n_steps: 64}}\n"
        "evaluation: {eval_freq: 256}\n",
        encoding="utf-8",
    )
    assert run(monkeypatch, "train", "config.yaml") == 0
    assert "256 timesteps: Sharpe" in capsys.readouterr().out
    (made,) = (at_work / "runs").iterdir()
    assert run(monkeypatch, "show", str(made)) == 0
    assert run(monkeypatch, "backtest", str(made)) == 0
    assert "buy & hold" in capsys.readouterr().out


@pytest.mark.slow
def test_a_sealed_test_window_stays_sealed_over_a_resume(at_work, monkeypatch, capsys) -> None:
    (at_work / "config.yaml").write_text(
        "agent: {total_timesteps: 64, model_kwargs: {n_steps: 64}}\n", encoding="utf-8"
    )
    assert run(monkeypatch, "train", "config.yaml", "--no-test") == 0
    (made,) = (at_work / "runs").iterdir()
    assert run(monkeypatch, "resume", str(made)) == 0
    assert "the test window is still sealed" in capsys.readouterr().out
    assert not (made / "test_openings.jsonl").exists()
    assert run(monkeypatch, "resume", str(made), "--backtest") == 0
    assert (made / "test_openings.jsonl").exists()


@pytest.mark.slow
def test_a_rejected_agent_is_no_error_and_opens_nothing(at_work, monkeypatch, capsys) -> None:
    (at_work / "config.yaml").write_text(
        "agent: {total_timesteps: 512, n_envs: 2, model_kwargs: {n_steps: 64}}\n"
        "evaluation: {eval_freq: 128}\nsearch: {max_drawdown_limit: -1.0e-9}\n",
        encoding="utf-8",
    )
    assert run(monkeypatch, "train", "config.yaml") == 1
    shown = capsys.readouterr()
    assert "training has ended: drawdown" in shown.out
    assert "rejected: drawdown" in shown.err
    (made,) = (at_work / "runs").iterdir()
    assert not (made / "test_openings.jsonl").exists()
