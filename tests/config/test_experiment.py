"""Config files: what is refused, in which words, and what survives a round trip."""

import codecs
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from finrl_ray.agents.hyperparameters import resolve_sample
from finrl_ray.config.agent import AgentConfig
from finrl_ray.config.data import SplitConfig
from finrl_ray.config.dump import config_to_dict, dump_config
from finrl_ray.config.evaluation import EvaluationConfig, earliest_stop
from finrl_ray.config.experiment import ExperimentConfig
from finrl_ray.config.keys import known_keys
from finrl_ray.config.load import load_config, parse_config, read_config
from finrl_ray.config.template import template_text, with_every_key
from finrl_ray.errors import ConfigError
from finrl_ray.search.sampling.domains import build_space


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n---\n", "{}", "null"])
def test_a_file_without_keys_starts_no_default_experiment(tmp_path: Path, text: str) -> None:
    for overrides in ([], ["seed=1"]):
        with pytest.raises(ConfigError, match=r"holds no keys and values; `finrl-ray new NAME`"):
            load_config(write(tmp_path, text), overrides)
    assert load_config(write(tmp_path, "name: experiment")) == ExperimentConfig()
    assert parse_config({}) == ExperimentConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "split:\n  train: [2019-01-01, 2020-02-30]\n",
            r"split\.train: '2020-02-30' is no date \(line 2\): day is out of range",
        ),
        ("data: {start: 2010-13-01}", r"data\.start: '2010-13-01' is no date \(line 1\): month"),
        ("a: 1\nb:\n  - 2010-02-28T25:00:00\n", r"b: '2010-02-28T25:00:00' is no date \(line 3\)"),
        ("- 2010-02-30", r"yaml: '2010-02-30' is no date \(line 1\)"),
        ("a: &d [2010-02-30]\nb: *d\n", r"a: '2010-02-30' is no date|b: '2010-02-30' is no date"),
        (
            "a:\n\tb: 1\n",
            r"not valid YAML \(line 2, column 1\): .*not with tabs",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_key_and_line(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_impossible_dates_in_overrides(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 1")
    with pytest.raises(ConfigError, match=r"data\.start must be a valid date.*got '2020-02-30'"):
        load_config(path, ["data.start=2020-02-30"])
    with pytest.raises(ConfigError, match=r"override 'split.train=.*: '2020-02-30' is no date"):
        load_config(path, ["split.train=[2019-01-01, 2020-02-30]"])


WHOLE = {
    "seed": ("1e2", 100),
    "agent.total_timesteps": ("2e4", 20_000),
    "agent.n_envs": ("1.0", 1),
    "evaluation.eval_freq": ("5e3", 5_000),
    "evaluation.min_evals": ("2E0", 2),
    "data.max_late_rows": ("1_000", 1_000),
    "env.cooldown": ("1e1", 10),
    "search.num_samples": ("3e4", 30_000),
    "search.timesteps_budget": ("1e9", 10**9),
    "search.scheduler.grace_period": ("1e3", 1_000),
    "search.max_concurrent_trials": ("+4e0", 4),
}


def of(config: ExperimentConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("key", WHOLE)
def test_whole_numbers_may_be_written_with_an_exponent(tmp_path: Path, key: str) -> None:
    text, number = WHOLE[key]
    overridden = load_config(write(tmp_path, "name: x"), [f"{key}={text}"])
    *sections, name = key.split(".")
    opened = "".join(f"{section}: {{" for section in sections)
    inside = f"{opened}{name}: {text}{'}' * len(sections)}"
    for config in (overridden, load_config(write(tmp_path, inside))):
        assert of(config, key) == number
        assert type(of(config, key)) is int


@pytest.mark.parametrize("value", ["2.5", "2.5e-1", "1e400", "'2e4'", "true", ".nan"])
def test_what_is_no_whole_number_is_none(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"agent\.total_timesteps"):
        load_config(write(tmp_path, f"agent: {{total_timesteps: {value}}}"))


def test_whole_numbers_among_keywords_and_in_spaces() -> None:
    raw = {
        "agent": {"algorithm": "sac", "model_kwargs": {"buffer_size": 1e6, "train_freq": 4.0}},
        "search": {"space": {"batch_size": {"randint": [1e2, 2e2]}, "net_arch": [64.0, 32.0]}},
    }
    config = parse_config(raw)
    space = build_space(config)
    assert space["batch_size"].values == (100, 200)
    sample = {"net_arch": [64.0, 32.0], "batch_size": 100.0}
    kwargs = resolve_sample(sample, config.agent).model_kwargs
    numbers = [kwargs["buffer_size"], kwargs["train_freq"], kwargs["batch_size"]]
    numbers += kwargs["policy_kwargs"]["net_arch"]
    assert numbers == [1_000_000, 4, 100, 64, 32]
    assert {type(number) for number in numbers} == {int}


def test_dump_and_load_return_an_equal_config(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        name: dow
        split:
          train: [null, 2010-01-01]
          validation: [2010-01-01, 2011-01-01]
          test: [2011-01-01, null]
        agent: {algorithm: sac, model_kwargs: {learning_rate: 1e-4, train_freq: [4, step]}}
        search: {space: {tau: {loguniform: [1e-3, 0.1]}}}
        """,
    )
    config = load_config(path)
    dump_config(config, tmp_path / "again.yaml")
    assert load_config(tmp_path / "again.yaml") == config
    assert config.agent.model_kwargs["learning_rate"] == 1e-4


def test_scientific_notation_without_a_point_is_a_number(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "env: {reward_scaling: 1e-4, initial_amount: 1e6}"))
    assert (config.env.reward_scaling, config.env.initial_amount) == (1e-4, 1e6)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"serach": {}}, "unknown key 'serach'. Did you mean 'search'"),
        ({"agent": {"total_timestep": 5}}, "Did you mean 'agent.total_timesteps'"),
        # what two keys share with the section's name is no likeness
        ({"agent": {"zebra_stripes": 1}}, "'agent.zebra_stripes'; known keys here"),
        (
            {"total_timesteps": 5},
            "unknown key 'total_timesteps'. Did you mean 'agent.total_timesteps'",
        ),
        # of other sections' types and names none is meant
        ({"env": {"wxyz": 1}}, r"unknown key 'env\.wxyz'; known keys here: \['env\.hmax"),
        ({"agent": {"type": "ppo"}}, "'agent.type'. Did you mean 'agent.algorithm'"),
        ({"data": {"path": "x.csv"}}, "'data.path'. Did you mean 'data.source'"),
        ({"validation": {"type": "cpcv"}}, "Did you mean 'validation.scheme'"),
        ({"search": {"type": "asha"}}, "Did you mean 'search.scheduler.type'"),
        ({"env": {"num_samples": 3}}, "Did you mean 'search.num_samples'"),
        ({"data": {"tickers": "AAPL"}}, r"tickers must be a list such as \[AAPL\], got 'AAPL'$"),
        ({"data": {"features": "macd"}}, r"features must be a list such as \[macd\], got 'macd'$"),
        (
            {"data": {"market_columns": "vix"}},
            r"must be a list such as \[vix\], got 'vix'$",
        ),
        ({"search": {"trackers": "wandb"}}, r"must be a list such as \[wandb\], got 'wandb'$"),
        ({"data": {"tickers": 5}}, r"tickers must be a list, got 5"),
        ({"env": {"lot_size": "100"}}, r"env\.lot_size must be a valid number, got '100'"),
        ({"search": {"scheduler": {"type": "ahsa"}}}, "got 'ahsa'. Did you mean 'asha'"),
        ({"agent": {"algorithm": "pp0"}}, "got 'pp0'. Did you mean 'ppo'"),
        (
            {"agent": {"total_timesteps": "5"}},
            "agent.total_timesteps must be a valid integer, got '5'",
        ),
        ({"agent": {"total_timesteps": 0}}, "total_timesteps must be >= 1, got 0"),
        (
            {"agent": {"total_timesteps": True}},
            "agent.total_timesteps must be a valid integer, got True",
        ),
        ({"agent": {"n_envs": 0}}, "n_envs must be within 1"),
        ({"env": {"hmax": 1.5}}, "hmax must be >= 1 and a whole number"),
        ({"env": {"hmax": 0.0, "fractional_shares": True}}, "hmax must be >= 1 and a whole"),
        ({"env": {"stop_loss": 1.2}}, r"stop_loss is a fraction .* within \(0, 1\), got 1.2"),
        ({"env": {"profit_loss_ratio": 2.0}}, "needs stop_loss"),
        ({"env": {"lot_size": 0.5}}, "whole unless fractional_shares is true, got 0.5"),
        ({"env": {"lot_size": [100, 0]}}, "lot_size must be > 0 shares"),
        ({"env": {"cooldown": -1}}, "cooldown must be >= 0 periods, got -1"),
        ({"env": {"cash_penalty_proportion": 10}}, r"within \[0, 1\], got 10"),
        ({"env": {"parity": True, "cooldown": 3}}, r"leave \['cooldown'\] at the default"),
        ({"evaluation": {"periods_per_year": 0}}, "must be > 0 or null, got 0"),
        ({"env": {"hmax": 0}}, "hmax must be >= 1"),
        ({"env": {"buy_cost_pct": 1.5}}, "a fraction"),
        ({"env": {"initial_amount": -1.0}}, "initial_amount must be > 0"),
        ({"env": {"initial_amount": float("inf")}}, "finite"),
        ({"env": {"parity": True, "fill": "next_open"}}, "parity reproduces FinRL"),
        ({"env": {"turbulence_threshold": 70.0}}, "needs the series 'turbulence'"),
        ({"search": None}, "search must be an object"),
        ({"search": {"num_samples": 0}}, "num_samples must be >= 1"),
        ({"search": {"storage_path": "ftp://host/runs"}}, "storage_path must be a folder, or a"),
        (
            {"search": {"storage_path": "s3:///runs"}},
            "storage_path must be like s3://bucket/folder",
        ),
        ({"search": {"storage_path": "s3://b/r?regio=x"}}, "Did you mean 'region'"),
        ({"search": {"storage_path": "s3://k:w@b/r"}}, "storage_path must hold no secret"),
        ({"search": {"storage_path": "gs://b/r?access_token=w"}}, "must hold no secret"),
        ({"search": {"local_path": "s3://b/r"}}, "local_path must be a folder of this machine"),
        ({"search": {"storage_path": ""}}, "storage_path must be a folder"),
        ({"agent": {"n_envs": 30000}}, "n_envs must be within 1..total_timesteps"),
        ({"evaluation": {"max_no_improvement_evals": 9}}, "at timestep 22000"),
        ({"search": {"max_drawdown_limit": 0.4}}, r"within \[-1, 0\)"),
        ({"search": {"scheduler": {"reduction_factor": 1}}}, "reduction_factor must be > 1"),
        (
            {"search": {"scheduler": {"grace_period": 20000}}},
            "no trial could ever be stopped early",
        ),
        ({"evaluation": {"eval_freq": 0}}, "eval_freq must be >= 1"),
        ({"evaluation": {"max_no_improvement_evals": 15, "min_evals": 5}}, "at timestep 42000"),
        ({"evaluation": {"metric": "sharp_ratio"}}, "Did you mean 'sharpe_ratio'"),
        ({"name": "../evil"}, "it names a folder"),
        ({"name": ""}, "it names a folder"),
        ({"seed": -1}, "seed must be within"),
        ({"split": {"train": ["2005-01-01", "2006-01-01"]}}, "given together"),
        ({"data": {"tickers": []}}, "tickers must not be an empty list"),
        ({"data": {"start": "2010-01-01", "end": "2009-01-01"}}, "start must be before end"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(raw)


def scheduler(**options: Any) -> dict[str, Any]:
    return {"search": {"scheduler": options}}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (scheduler(type="pbtt"), "got 'pbtt'. Did you mean 'pbt'"),
        (scheduler(type="fifo", grace_period=5), "grace_period is an option of asha and hyperband"),
        (
            scheduler(type="asha", synch=True),
            "synch is an option of pbt and pb2, not of type 'asha'",
        ),
        (scheduler(type="pb2", resample_probability=0.1), "option of pbt, not of type 'pb2'"),
        (scheduler(min_sample=3), "Did you mean 'search.scheduler.min_samples'"),
        (scheduler(type="median", min_samples=0), "min_samples must be >= 1, got 0"),
        (scheduler(type="pbt", quantile_fraction=0.6), r"within \(0, 0.5\], got 0.6"),
        (scheduler(type="pbt", resample_probability=2), r"within \[0, 1\], got 2"),
        (scheduler(type="pbt", burn_in=-1), "burn_in must be >= 0 timesteps, got -1"),
        (scheduler(type="pbt", mutations=[]), "must not be an empty list"),
        (scheduler(type="pbt", perturbation_interval=20000), "no trial could ever be changed"),
        (scheduler(brackets=5), "the last of 5 brackets begins at 40,000 timesteps"),
        ({"search": {"searcher": "bohb"}}, "set scheduler.type to 'hyperband', got 'asha'"),
        ({"search": {"searcher": "optunaa"}}, "Did you mean 'optuna'"),
        (
            {"search": {"searcher": "optuna", "scheduler": {"type": "pbt"}}},
            "set searcher to 'random', got 'optuna'",
        ),
        (
            {"search": {"searcher": "optuna", "scheduler": {"type": "hyperband"}}},
            "'optuna' could learn nothing",
        ),
        ({"search": {"initial_points": ["finrl"] * 17}}, r"num_samples \(16\), got 17"),
        ({"search": {"initial_points": ["finrll"]}}, "Did you mean 'finrl'"),
        ({"search": {"objectives": ["sharpe_ratio"]}}, "two or more different measures"),
        (
            {"search": {"objectives": ["sharpe_ratio", "max_drawdown"], "searcher": "random"}},
            "set searcher to 'optuna', got 'random'",
        ),
        (
            {"search": {"objectives": ["max_drawdown", "sharpe_ratio"], "searcher": "optuna"}},
            r"must begin with evaluation.metric \(sharpe_ratio\)",
        ),
        (
            {
                "search": {
                    "objectives": ["sharpe_ratio", "max_drawdown"],
                    "searcher": "optuna",
                    "select": "best",
                }
            },
            "set select to 'last', got 'best'",
        ),
        ({"search": {"trial_timeout_s": 0}}, "trial_timeout_s must be > 0 or null"),
        ({"search": {"time_budget_s": -1}}, "time_budget_s must be > 0 or null"),
        ({"search": {"max_disk_gb": 0}}, "max_disk_gb must be > 0 or null"),
        ({"search": {"timesteps_budget": 0}}, "timesteps_budget must be >= 1 or null"),
        ({"search": {"stop_after_no_improvement": 0}}, "must be >= 1 or null, got 0"),
        ({"search": {"gpus_per_trial": 1.5}}, "a fraction of one GPU, or a whole number, got 1.5"),
        ({"resources": {"cpus": 1}}, "unknown key 'resources.cpus'. Did you mean 'cpu'"),
        ({"resources": 4}, "resources must be keys and values such as cpu: 1, got 4"),
        ({"resources": {"gpu": "all"}}, "search.gpus_per_trial must be a valid number, got 'all'"),
        (
            {"resources": {"cpu": 2}, "search": {"cpus_per_trial": 1}},
            r"resources.cpu \(2\) and search.cpus_per_trial \(1\) say the same thing differently",
        ),
    ],
)
def test_a_wrong_plan_is_refused(raw: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"resources": {"cpu": 2, "gpu": 0.25}},
        {"search": {"resources": {"cpu": 2, "gpu": 0.25}}},
        {"resources": {"cpu": 2}, "search": {"cpus_per_trial": 2, "gpus_per_trial": 0.25}},
    ],
)
def test_resources_are_those_of_a_trial(raw: dict[str, Any]) -> None:
    search = parse_config(raw).search
    assert (search.cpus_per_trial, search.gpus_per_trial) == (2.0, 0.25)


def test_resources_can_be_overridden(tmp_path: Path) -> None:
    path = write(tmp_path, "resources: {gpu: 0.5}")
    assert load_config(path).search.gpus_per_trial == 0.5
    assert load_config(path, ["resources.gpu=0.25"]).search.gpus_per_trial == 0.25


def test_options_that_are_null_have_the_defaults_of_the_type() -> None:
    settings = parse_config(scheduler(type="pbt", quantile_fraction=0.5)).search.scheduler
    names = ("quantile_fraction", "resample_probability", "burn_in", "synch", "mutations")
    assert [getattr(settings, name) for name in names] == [0.5, 0.25, 0, True, None]


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        (
            (("2005-01-01", "2010-01-02"), ("2010-01-01", "2011-01-01"), ("2011-01-01", None)),
            "overlap",
        ),
        ((("2005-01-01", None), ("2010-01-01", "2011-01-01"), ("2011-01-01", None)), "may be null"),
        (
            (("2005-01-01", "2005-01-01"), ("2010-01-01", "2011-01-01"), ("2011-01-01", None)),
            "at least one date",
        ),
        (
            (("2012-01-01", "2013-01-01"), ("2010-01-01", "2011-01-01"), ("2011-01-01", None)),
            "overlap",
        ),
    ],
)
def test_windows_cannot_overlap(windows: Any, words: str) -> None:
    raw = dict(zip(("train", "validation", "test"), map(list, windows), strict=True))
    with pytest.raises(ConfigError, match=words):
        parse_config({"split": raw})


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"nam": "x", "agent": {"learner": "slow", "n_envs": "2"}})
    text = str(caught.value)
    assert "nam" in text
    assert "agent.learner" in text
    assert "agent.n_envs" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("- 1\n- 2\n", "must hold keys and values"),
        ("seed: 1\nseed: 2\n", "given twice"),
        ("agent: {n_envs: 1, n_envs: 2}", "given twice"),
        ("1: 2\n", "unknown key"),
        ("[1, 2]: 3\n", "line 1 has a list or a mapping as a key"),
        ("data: {start: 2010-02-30}", "is no date"),
        ("a: " + "[" * 3000, "not valid YAML"),
        ("data: {source: !!python/object:os.system x}", "not valid YAML"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, text))


def test_yaml_anchors_and_merges_are_read(tmp_path: Path) -> None:
    text = "env: &base {hmax: 7}\nagent: {<<: {n_envs: 2}, total_timesteps: 5000}\n"
    config = load_config(write(tmp_path, text))
    assert (config.env.hmax, config.agent.n_envs) == (7, 2)


@pytest.mark.parametrize(
    ("min_evals", "patience", "first"), [(0, 3, 5), (1, 3, 5), (5, 3, 9), (5, 15, 21), (0, 1, 3)]
)
def test_the_earliest_stop_is_that_of_sb3(min_evals: int, patience: int, first: int) -> None:
    from stable_baselines3.common.callbacks import StopTrainingOnNoModelImprovement

    evaluation = EvaluationConfig(min_evals=min_evals, max_no_improvement_evals=patience)
    assert earliest_stop(evaluation) == first
    callback = StopTrainingOnNoModelImprovement(patience, min_evals)
    callback.parent = SimpleNamespace(best_mean_reward=1.0)
    callback.model = SimpleNamespace(num_timesteps=0)
    stopped = next(n for n in range(1, 100) if not callback.on_step())
    assert stopped == first


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no config file"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_overrides_are_laid_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "agent: {total_timesteps: 5000}")
    overrides = ["agent.total_timesteps=7000", "search.scheduler.type=fifo", "data.tickers=[IBM]"]
    config = load_config(path, overrides)
    assert config.agent.total_timesteps == 7000
    assert config.search.scheduler.type == "fifo"
    assert config.data.tickers == ("IBM",)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("agent.total_timesteps", "must read key.subkey=value"),
        ("=5", "must read key.subkey=value"),
        ("agent.totl_timesteps=5", "Did you mean 'agent.total_timesteps'"),
        ("seed.x=5", "is a value and has no keys"),
        ("seed=[", "not valid YAML"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(write(tmp_path, "seed: 1"), [override])


@pytest.mark.parametrize(
    "path",
    [
        "/x/a #1 b",
        "/x/a\t# b",
        "#a",
        "/x/a: b",
        "a:",
        "- a",
        "-",
        "*a",
        "&a b",
        "!a b",
        "%a",
        "@a",
        "`a`",
        "|",
        "> a",
        "? a",
        "--- a",
        'it\'s "so"',
        "[a]/b",
        "{a}",
        "C:\\a\\new",
        "12",
        "1e-4",
        "2020-01-01",
        "yes",
        "true",
        "a, b",
        "=",
        "é ü #1",
    ],
)
def test_an_override_of_a_text_keeps_it_whole(tmp_path: Path, path: str) -> None:
    config = load_config(write(tmp_path, "name: x"), [f"search.storage_path={path}"])
    assert config.search.storage_path == path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.9", 0.9),
        ("1e-3", 0.001),
        ("lin_1e-3", "lin_1e-3"),
        ("true", True),
        ("[64, 64]", [64, 64]),
        ("{a: 1, b: [x, 'y #1']}", {"a": 1, "b": ["x", "y #1"]}),
        ("a: 1", {"a": 1}),
        ("- a", ["a"]),
        ("!!str 5", "5"),
        ("'a #1'", "a #1"),
        ('"5"', "5"),
        ("a #1", "a #1"),
        ("a: 1 #2", "a: 1 #2"),
        ("[1] #2", "[1] #2"),
        ("*a", "*a"),
        ("%a", "%a"),
        ("@a", "@a"),
        ("a#1", "a#1"),
        ("a: 1  # said by a script\nb: 2\n", {"a": 1, "b": 2}),
    ],
)
def test_an_override_of_anything_is_yaml_of_which_nothing_is_cut(
    tmp_path: Path, text: str, value: object
) -> None:
    raw = read_config(write(tmp_path, "name: x"), [f"search.space.x={text}"])
    assert raw["search"]["space"]["x"] == value


def test_an_override_of_quotes_and_null_is_read_as_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "validation: {scheme: walk_forward}")
    raw = read_config(path, ["name='a #1'", "validation.objective=null"])
    assert raw["name"] == "a #1"
    assert raw["validation"]["objective"] is None


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: 7")
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert load_config(path).seed == 7


def test_configs_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        ExperimentConfig().agent.n_envs = 3  # type: ignore[misc]  # the point of the test


def keys_in(mapping: dict[str, Any], prefix: str = "") -> set[str]:
    found, known = set(), known_keys()
    for name, value in mapping.items():
        key = f"{prefix}{name}"
        found |= {key}
        if isinstance(value, dict) and any(k.startswith(f"{key}.") for k in known):
            found |= keys_in(value, f"{key}.")
    return found


def test_the_template_holds_every_key_and_loads(tmp_path: Path) -> None:
    path = write(tmp_path, template_text("finrl"))
    assert keys_in(yaml.safe_load(path.read_text(encoding="utf-8"))) == set(known_keys())
    config = load_config(path)
    assert config_to_dict(config)["agent"] == config_to_dict(ExperimentConfig())["agent"]
    assert config.split != SplitConfig()
    assert config.agent == AgentConfig()


@pytest.mark.parametrize(
    ("key", "added"),
    [
        (
            "cooldown",
            [
                "  # Periods after a trade in a ticker during which orders in it are ignored.",
                "  cooldown: 0",
            ],
        ),
        ("synch", ["    synch: null"]),
        ("storage_path", ["  storage_path: runs"]),
        ("seed", ["seed: 0"]),
    ],
)
def test_a_key_that_the_template_leaves_out_comes_with_its_default_and_text(
    key: str, added: list[str]
) -> None:
    lines = template_text("finrl").splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
    short = "\n".join([*lines[:at], *lines[at + 1 :]])
    whole = with_every_key(short)
    assert keys_in(yaml.safe_load(whole)) == set(known_keys())
    assert "\n".join(added) in whole
    assert parse_config(yaml.safe_load(whole)) == parse_config(
        yaml.safe_load(template_text("finrl"))
    )
