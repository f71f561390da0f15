"""Configs that are small as files and large in memory, and those that only look so."""

import os
import time
from pathlib import Path

import pytest

from finrl_ray.config.load import load_config, read_config
from finrl_ray.config.yaml_text import load_yaml
from finrl_ray.errors import ConfigError


def nested_aliases(levels: int = 9, width: int = 9) -> str:
    """`width` ** `levels` values in a few hundred bytes."""
    lines = ['a0: &a0 ["x"]']
    for level in range(1, levels + 1):
        repeated = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{repeated}]")
    return "\n".join(lines)


HUGE = {
    "lists": nested_aliases(),
    "deep": nested_aliases(levels=60, width=2),
    "mappings": "a0: &a0 {k: v}\n"
    + "\n".join(
        f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}" for i in range(1, 10)
    ),
    "merges": "a0: &a0 {k: v}\n"
    + "\n".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)),
    "texts": f'a: &a "{"x" * 100_000}"\nb: [{", ".join(["*a"] * 1000)}]',
}


@pytest.mark.parametrize("name", HUGE)
def test_repetition_by_aliases_is_bounded(tmp_path: Path, name: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HUGE[name])
    before = time.process_time()
    with pytest.raises(ConfigError, match=r"config.yaml: with its aliases .* at most 100,000"):
        load_config(path)
    assert time.process_time() - before < 30  # written out it would take hours


def test_plain_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = "base: &base {gamma: 0.9, n_steps: 64}\nagent:\n  <<: *base\n  gamma: 0.8\nl: [*base]"
    assert load_yaml(text)["agent"] == {"gamma": 0.8, "n_steps": 64}
    assert load_yaml(text)["l"] == [{"gamma": 0.9, "n_steps": 64}]
    assert load_yaml("x: [a, b]\ny: 1e-4") == {"x": ["a", "b"], "y": 1e-4}
    # thousands of tickers are no attack
    tickers = [f"T{i:05d}" for i in range(20_000)]
    assert load_yaml(f"tickers: [{', '.join(tickers)}]")["tickers"] == tickers


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [*a]", "stands for a part of itself"),
        ("a: " + "[" * 100_000, "nested too deeply"),
        ("a: " + "[" * 150 + "]" * 150, "nested more than 100 levels"),
        ("a: " + "9" * 5000, "a number of 5,000 characters"),
        ("a: " + "9" * 5000 + ".5", "a number of 5,002 characters"),
        ("a: 1" + ":00" * 5000, "a number of 15,001 characters"),
        ('a: "\\ud800"', "lone surrogate"),
        ("a: \0", "not valid YAML"),
        ("a: " + "x" * (1 << 20), "at most 1,048,576 are read"),
    ],
)
def test_what_no_config_holds_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_long_values_are_shown_by_their_beginning(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text in (
        f"seed: {'x' * 500_000}",
        f"{'k' * 100_000}: 1",
        f"agent: {{algorithm: {'y' * 500_000}}}",
        f"name: {'/' * 500_000}",
        f"data: {{tickers: [{', '.join(['1'] * 50_000)}]}}",
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert len(str(caught.value)) < 10_000, text[:30]
        assert str(path) in str(caught.value)
    path.write_text("\n".join(f"key_{i}: 1" for i in range(2000)))
    with pytest.raises(ConfigError, match="more") as caught:
        load_config(path)
    assert str(caught.value).count("unknown key") <= 100


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="it is a pipe"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(ConfigError, match="it is a pipe, a socket or a device"):
        load_config(Path("/dev/zero"))
