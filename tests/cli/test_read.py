"""`show`, `ls`, `report`, `compare` as typed: texts, JSON, NO_COLOR, completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_search import made_search

from finrl_ray.cli.main import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("runs")
    made_search(storage, n_trials=5, name="whole", failed=[1])
    made_search(storage, n_trials=3, planned=6, name="half")
    return storage


def of(runs: Path, name: str) -> str:
    return str(next(runs.glob(f"{name}_*")))


def test_show_as_json_has_every_trial(runs, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "show", of(runs, "whole"), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["state"] == "finished"
    assert [trial["rank"] for trial in shown["trials"]] == [1, 2, 3, 4, None]
    assert shown["trials"][0]["trial"] == shown["winner"]
    assert shown["ranked_by"] == "appraisal ratio"
    assert shown["verdict"]["earnings"]["exposure"] == shown["trials"][0]["exposure"]
    assert shown["verdict"]["kind"] in ("evidence", "weak evidence", "no evidence of skill")
    assert shown["test_openings"] == 0
    # a list is a list, as JSON has them
    assert {str(trial["net_arch"]) for trial in shown["trials"]} == {"[32]", "[64, 64]"}
    assert shown["backtest"] is None
    assert run(monkeypatch, "show", of(runs, "half"), "--json", "--limit", "2") == 0
    half = json.loads(capsys.readouterr().out)
    assert (half["state"], half["verdict"], len(half["trials"])) == ("interrupted", None, 2)


def test_a_long_table_says_what_it_leaves_out(runs, monkeypatch, capsys) -> None:
    def shown(*options: str) -> tuple[list[str], str]:
        assert run(monkeypatch, "show", of(runs, "whole"), *options) == 0
        out = capsys.readouterr().out
        lines = [line for line in out.splitlines() if "not shown" not in line]
        ranks = [line.split()[0] for line in lines if line[:2].strip().isdigit()]
        return ranks, out

    assert shown()[0] == ["1", "2", "3", "4"]
    assert "not shown" not in shown()[1]
    monkeypatch.setattr("finrl_ray.cli.read.SHOWN_TRIALS", 2)
    ranks, out = shown()
    assert ranks == ["1", "2"]
    assert "3 of 5 trials are not shown; --top N shows the best N, --all shows all" in out
    assert shown("--top", "3")[0] == ["1", "2", "3"]
    assert shown("--all")[0] == ["1", "2", "3", "4"]
    assert run(monkeypatch, "show", of(runs, "whole"), "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 5
    assert run(monkeypatch, "show", of(runs, "whole"), "--all", "--top", "1") == 2
    assert "--all and --top 1 exclude each other" in capsys.readouterr().err


HEAVY = ("torch", "ray", "stable_baselines3", "gymnasium", "numba", "optuna", "matplotlib",
         "plotly", "tensorboard", "scipy", "stockstats", "pandas", "pyarrow")  # fmt: skip
LOADED = """
import sys
from finrl_ray.cli.main import main
sys.argv = ["finrl-ray", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
print("\\nloaded:", [name for name in {heavy} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "arguments",
    [["show", "whole"], ["show", "half", "--json"], ["ls", ""], ["ls", "", "--json"]],
    ids=" ".join,
)
def test_tables_are_read_without_what_trains(runs: Path, arguments: list[str]) -> None:
    command, name, *options = arguments
    place = of(runs, name) if name else str(runs)
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=HEAVY), command, place, *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


DRAWING = tuple(name for name in HEAVY if name not in ("pandas", "pyarrow"))


def test_searches_are_compared_without_what_trains_or_draws(runs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=DRAWING), "compare", of(runs, "whole"),
         of(runs, "half")],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


TRAINING = ("torch", "ray", "stable_baselines3", "gymnasium", "numba", "tensorboard", "stockstats")


def test_a_report_is_written_without_what_trains(runs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=TRAINING), "report", of(runs, "whole")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("arguments", [["--help"], ["backtest", "--help"]], ids=" ".join)
def test_help_draws_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(heavy=("rich", *HEAVY)), *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert "..." not in done.stdout.replace("[ARGS]...", "")


def test_ls(runs, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "ls", str(runs), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["name"]: (one["state"], one["ended"], one["planned"]) for one in found} == {
        "whole": ("finished", 5, 5),
        "half": ("interrupted", 3, 6),
    }
    monkeypatch.setenv("COLUMNS", "120")
    assert run(monkeypatch, "ls", str(runs)) == 0
    text = capsys.readouterr().out
    assert "interrupted" in text
    assert "3/6" in text


def test_ls_of_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "ls") == 2
    assert "there is no folder runs" in capsys.readouterr().err
    assert run(monkeypatch, "ls", str(tmp_path)) == 0
    assert "there is no search under" in capsys.readouterr().out


def test_report_says_where_it_is(runs, monkeypatch, capsys) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run(monkeypatch, "report", of(runs, "half"), "--open") == 0
    path = Path(of(runs, "half")) / "report.html"
    assert f"report: {path}" in capsys.readouterr().out.replace("\n", "")
    assert path.is_file()
    assert opened == []  # nobody could see it
    monkeypatch.setenv("DISPLAY", ":0")
    assert run(monkeypatch, "report", of(runs, "half"), "--open") == 0
    assert opened == [path.as_uri()]


def test_compare(runs, tmp_path, monkeypatch, capsys) -> None:
    both = [of(runs, "whole"), of(runs, "half")]
    page = tmp_path / "page.html"
    assert run(monkeypatch, "compare", *both, "--html", str(page)) == 0
    text = capsys.readouterr().out
    assert "Side by side" in text
    assert "search.num_samples" in text
    assert "Without a verdict yet: half" in text
    assert page.is_file()
    assert run(monkeypatch, "compare", *both, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [one["search"] for one in shown["searches"]] == ["whole", "half"]
    assert run(monkeypatch, "compare", both[0]) == 2
    assert "two or more" in capsys.readouterr().err


def test_doctor_and_audit_as_json(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "new", "mine") == 0
    capsys.readouterr()
    config = "experiments/mine/config.yaml"
    wrong = ("--set", "data.source=missing.csv")
    assert run(monkeypatch, "doctor", config, *wrong, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"] is False
    assert any(one["level"] == "error" for one in found["findings"])
    code = run(monkeypatch, "audit", config, "--json")
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["healthy"] else 2)
    assert found["findings"]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = Path(sys.executable).with_name("finrl-ray")
    return subprocess.run(
        [str(script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_no_color_is_honoured(runs) -> None:
    coloured = command("ls", str(runs), FORCE_COLOR="1", TERM="xterm-256color")
    plain = command("ls", str(runs), FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[33m" in coloured.stdout  # an interrupted search is yellow
    assert not any(f"\x1b[{code}m" in plain.stdout for code in (31, 32, 33, 36))
    help_ = command("--help", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert not any(f"\x1b[{code}m" in help_ for code in (31, 32, 33, 36))


def test_the_shell_completes_commands() -> None:
    done = command(_FINRL_RAY_COMPLETE="complete_bash", COMP_WORDS="finrl-ray re", COMP_CWORD="1")
    assert {"resume", "replay", "report", "reproduce"} <= set(done.stdout.split())
    # a program that was not started by a shell has none to be found
    shown = command(
        "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    ).stdout
    assert "_FINRL_RAY_COMPLETE" in shown


def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch, capsys) -> None:
    from finrl_ray.cli.screen import progress_bar

    def shown() -> str:
        with progress_bar() as progress:
            progress("computing features of AAA", 0, 2)
            progress("computing features of BBB", 1, 2)
            progress("done", 2, 2)
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    assert shown() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    assert "computing features of" in shown()
