"""Every command that the README and the documentation name is run, or is what a named test runs.

A command that stands in a text and in none of the tables below fails the first test.
"""

import ast
import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from repository import REPOSITORY
from small_search import small_config, write_small_config

from finrl_ray.cli.main import main
from finrl_ray.search.run.runner import run_search

ROOT = REPOSITORY
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "experiments").glob("*/README.md")),
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "cli_reference.md"),
]
PROGRAMS = ("finrl-ray", "make", "ray", "python", "pip", "tensorboard", "mlflow", "wandb")
# texts name a command without what it works on: `finrl-ray backtest` opens it
BARE = re.compile(r"finrl-ray [a-z]+")

# what is trained is made small by overrides behind the command as it stands
SHRINK = (
    "--set search.num_samples=2 --set agent.total_timesteps=1024 --set agent.n_envs=4 "
    "--set evaluation.eval_freq=512 --set search.scheduler.grace_period=512 "
    "--set search.space={n_steps: 64, batch_size: 64, n_epochs: 1, net_arch: tiny} "
    "--no-report --no-dashboard"
)
SHORT_TRAIN = "--set agent.total_timesteps=512 --set agent.n_envs=2 --set evaluation.eval_freq=256"
# command as written -> further arguments that make it quick
RUN = {
    "finrl-ray new mine": "",
    "finrl-ray new NAME": "",
    "finrl-ray new NAME --style finrl": "--in others",
    "finrl-ray doctor CONFIG": "",
    "finrl-ray doctor experiments/mine/config.yaml": SHORT_TRAIN,
    "finrl-ray audit CONFIG": "",
    "finrl-ray tune CONFIG": SHRINK,
    "finrl-ray tune experiments/mine/config.yaml": SHRINK,
    "finrl-ray tune experiments/quickstart/config.yaml --backtest": SHRINK,
    "finrl-ray tune experiments/noise/config.yaml": SHRINK,
    "finrl-ray tune experiments/planted/config.yaml": SHRINK,
    "finrl-ray tune config.yaml --set search.num_samples=500 --set search.searcher=optuna": SHRINK,
    "finrl-ray train CONFIG": SHORT_TRAIN,
    "finrl-ray train config.yaml --set agent.n_timesteps=50000 --set seed=1": SHORT_TRAIN.replace(
        "total_timesteps", "n_timesteps"
    ),
    "finrl-ray resume DIR": "",
    "finrl-ray show DIR": "",
    "finrl-ray report DIR": "",
    "finrl-ray ls": "",
    "finrl-ray ls [DIR]": "",
    "finrl-ray ls [STORAGE]": "",
    "finrl-ray compare DIR DIR": "",
    "finrl-ray compare DIR DIR ...": "",
    "finrl-ray replay DIR": "",
    "finrl-ray reproduce DIR": "",
    "finrl-ray backtest DIR": "",
    "finrl-ray deploy DIR": "",
    "finrl-ray rollforward DIR": "",
    "finrl-ray confirm DIR": "--top 1 --seeds 1 --windows 2 --no-dashboard",
    "finrl-ray schema": "",
    "finrl-ray schema --out config.schema.json": "",
    "finrl-ray grafana DIR": "",
    "finrl-ray grafana monitoring": "",
    "finrl-ray --help": "",
}
# command -> the test that runs it: it serves until it is ended, or needs a cluster or a store
ELSEWHERE = {
    "finrl-ray deploy DIR --onnx": "tests/workflows/deployment/test_deploy.py",
    "finrl-ray tensorboard DIR": "tests/search/loggers/test_tensorboard.py::_check_command",
    "finrl-ray dashboard": "tests/cli/test_cluster.py::"
    "test_dashboard_prints_each_dashboard_of_this_machine_once",
    "finrl-ray check ENV": "tests/cli/test_check.py",
    "finrl-ray check my_env:MyTradingEnv": "tests/cli/test_check.py",
    "finrl-ray deploy DIR --until 2024-01-01": "tests/cli/test_deployment.py",
    "finrl-ray retrain AGENT": "tests/cli/test_schedule.py",
    "finrl-ray retrain AGENT --prices prices.csv": "tests/cli/test_schedule.py",
    "finrl-ray deploy DIR --trial 3": "tests/cli/test_deployment.py",
    "finrl-ray deploy DIR --confirmed": "tests/workflows/deployment/test_chosen.py",
    "finrl-ray forward AGENT": "tests/cli/test_deployment.py",
    "finrl-ray forward AGENT --published HASH": "tests/cli/test_deployment.py",
    "finrl-ray signal AGENT --prices FILE": "tests/cli/test_deployment.py",
    "finrl-ray signal AGENT --prices yahoo --holdings FILE": "tests/cli/test_deployment.py",
    "finrl-ray submit CONFIG": "tests/jobs/test_client.py",
    "finrl-ray submit experiments/quickstart/config.yaml": "tests/jobs/test_client.py",
    "finrl-ray tune CONFIG --address auto": "tests/integration/test_joining.py",
    "finrl-ray resume DIR --address auto": "tests/integration/test_joining.py",
    "finrl-ray resume DIR --add-trials N": "tests/integration/test_more_trials.py::"
    "test_the_command_adds_trials_and_sets_what_may_change",
    "finrl-ray resume DIR --set search.time_budget_s=7200": "tests/integration/"
    "test_more_trials.py::test_the_command_adds_trials_and_sets_what_may_change",
    "finrl-ray resume DIR --set KEY=VALUE": "tests/integration/test_more_trials.py::"
    "test_the_command_adds_trials_and_sets_what_may_change",
    "finrl-ray resume URL": "tests/integration/test_object_storage.py",
    "finrl-ray --install-completion": "tests/cli/test_read.py::test_the_shell_completes_commands",
    "make test": ".ci/run",
    "make reference": "tests/docs/test_site.py::test_generated_pages_are_up_to_date",
    "make docs": "tests/docs/test_site.py::test_the_site_builds_without_a_warning",
    "tensorboard --logdir runs": "tests/search/loggers/test_tensorboard.py::_check_command",
    "mlflow ui --backend-store-uri DIR/mlruns": "tests/search/loggers/test_trackers.py::"
    "test_mlflow_has_every_trial",
}
# they take hours, a cloud account or a login: that they exist and are well formed is all that is
# looked at here
NOT_RUN = (
    r"make (search|long-test|kills|cluster-test|soak)",
    r"ray (up|down|attach|dashboard|start|list|get-auth-token)\b.*",
    r"python benchmarks/\w+\.py.*",
    r"pip install .*",
    r"wandb login",
)


def _commands() -> Iterator[tuple[str, str]]:
    """Return every command with its page: code within sentences, and console blocks."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines() if line.startswith("$ ")]
        found = [part for line in lines for part in line[2:].split("#")[0].split("&&")]
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found += re.findall(rf"`((?:{'|'.join(PROGRAMS)})(?: [^`]*)?)`", prose)
        for command in found:
            words = " ".join(command.split())
            if words not in PROGRAMS:
                yield page.relative_to(ROOT).as_posix(), words


COMMANDS = sorted({command for _, command in _commands()})


def _is_bare(command: str) -> bool:
    """Return whether it is a command's name alone, which the table has with what it works on."""
    known = [*RUN, *ELSEWHERE]
    return BARE.fullmatch(command) is not None and any(k.startswith(command) for k in known)


def _not_run(command: str) -> bool:
    return any(re.fullmatch(pattern, command) for pattern in NOT_RUN)


def test_every_command_is_known_here() -> None:
    assert len(COMMANDS) > 60
    unknown = [
        (page, command)
        for page, command in _commands()
        if command not in RUN
        and command not in ELSEWHERE
        and not _not_run(command)
        and not _is_bare(command)
        and not command.startswith("chmod")
    ]
    assert unknown == []


def test_no_command_is_known_here_that_no_page_has() -> None:
    assert [command for command in (*RUN, *ELSEWHERE) if command not in COMMANDS] == []


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_the_tests_named_here_exist(place: str) -> None:
    file, _, name = place.partition("::")
    assert (ROOT / file).is_file()
    if name:
        functions = ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        assert name in {f.name for f in functions if isinstance(f, ast.FunctionDef)}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_has_the_target(command: str) -> None:
    done = subprocess.run(
        ["make", "-n", *shlex.split(command)[1:]],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if command == "make search":  # it is the command that is run below
        assert "tune experiments/quickstart/config.yaml --backtest --open" in done.stdout


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("pip install")])
def test_pip_finds_the_extra(command: str) -> None:
    extras = importlib.metadata.metadata("finrl-ray").get_all("Provides-Extra") or []
    for word in shlex.split(command)[2:]:
        extra = re.fullmatch(r"finrl-ray\[(\w+)\]", word)
        known = extra and extra[1] in extras
        assert known or word in ("finrl-ray", "boto3", "jupyterlab"), word


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("ray ")])
def test_ray_has_the_command(command: str) -> None:
    from ray.scripts.scripts import cli

    assert shlex.split(command)[1] in cli.commands


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python ")])
def test_the_benchmark_takes_these_options(command: str) -> None:
    _, script, *arguments = shlex.split(command)
    source = (ROOT / script).read_text(encoding="utf-8")
    for option in (word for word in arguments if word.startswith("--")):
        assert f'"{option}"' in source


@pytest.fixture(scope="module")
def workplace(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the experiments, a small config, and two small searches that have ended."""
    place = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "experiments", place / "experiments")
    small = {"search": {"num_samples": 2, "scheduler": {"type": "asha"}}, "agent": {"n_envs": 2}}
    write_small_config(place / "config.yaml", place / "runs", **small)
    for cost in (0.001, 0.002):
        run_search(small_config(place / "runs", **small, env={"buy_cost_pct": cost}))
    return place


def _arguments(command: str, place: Path) -> list[str]:
    folders = sorted(str(path) for path in (place / "runs").glob("small_*"))[:2]
    words = []
    for word in shlex.split(command)[1:]:
        if word in ("[DIR]", "[STORAGE]"):
            words.append("runs")
        elif word == "DIR" and "grafana" in command:
            words.append("grafana")
        elif word == "DIR":
            # two searches are compared; else it is the first
            words.append(folders[sum(w in folders for w in words)])
        elif word != "...":
            words.append({"CONFIG": "config.yaml", "NAME": "named"}.get(word, word))
    return words


# in the order of the table: `new mine` comes before what uses it
@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_it_runs(command: str, workplace: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workplace)
    arguments = [*_arguments(command, workplace), *shlex.split(_quoted(RUN[command]))]
    monkeypatch.setattr(sys, "argv", ["finrl-ray", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr()
    # a tiny search may leave no trial that can win: that is a result too
    allowed = (0, 1) if " tune " in f" {command} " else (0,)
    assert (caught.value.code or 0) in allowed, said.err
    assert "fault of finrl-ray" not in said.err
    assert said.out


def _quoted(arguments: str) -> str:
    """Return arguments with the one that holds spaces in quotes."""
    return re.sub(r"(search\.space=\{.*?\})", r"'\1'", arguments)
