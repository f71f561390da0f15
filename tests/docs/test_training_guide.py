"""The training guide runs from top to bottom as one program, and its names are the package's."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from repository import REPOSITORY

import finrl_ray

GUIDE = (REPOSITORY / "docs" / "training_guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)


def shortened(code: str) -> str:
    """Return code in which every number of thousands is a hundredth of itself."""
    return re.sub(r"\b(\d+)_000\b", lambda match: str(int(match[1]) * 10), code)


def test_every_exported_name_is_in_the_guide_or_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    pages = [REPOSITORY / "docs" / name for name in ("agent.md", "callbacks.md")]
    text = GUIDE + readme + "".join(page.read_text("utf-8") for page in pages)
    assert [name for name in finrl_ray.__all__ if name not in text] == []


def test_every_exported_name_can_be_imported() -> None:
    for name in finrl_ray.__all__:
        assert getattr(finrl_ray, name) is not None


@pytest.mark.slow
def test_the_guide_runs_as_one_program(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(shortened(block), f"training_guide.md, block {number}", "exec"), names)
    run = names["run"]
    folder = Path(run.experiment_dir)
    assert folder.parent == tmp_path / "experiments"
    for name in ("tensorboard", "checkpoints", "best_model", "eval_logs", "final_model"):
        assert (folder / name).exists(), name
    assert set(run.metrics["validation"]) == {"final_model", "best_model", "buy_and_hold"}
    assert set(run.metrics["test"]) == {"best_model", "buy_and_hold"}
    assert names["newest"].timesteps >= 200
    assert isinstance(names["figure"], Figure)
    assert list((tmp_path / "plots").glob("training_progress_step_*.png"))
    assert (tmp_path / "incremental_models" / "chunk_1_model.zip").is_file()
    assert len(names["evaluation"].sharpe_history) > 1
