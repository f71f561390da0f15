"""The notebook is executed, from its first cell to its last."""

import base64
import io
import os
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image
from repository import REPOSITORY

pytestmark = pytest.mark.slow

NOTEBOOK = REPOSITORY / "experiments" / "quickstart.ipynb"
SAMPLES = '"search.num_samples=12"'
# as many trials, which the figures need, and an eighth of the steps
SHORTER = '"agent.n_envs=4", "agent.total_timesteps=4096", "evaluation.eval_freq=1024"'
FIGURES = (
    "trial_sharpes", "best_so_far", "learning_curves", "account_curves", "monthly_returns",
    "positions", "turnover_and_costs", "parallel_coordinates",
)  # fmt: skip


def test_it_runs_and_shows_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "the notebook is kept without outputs"
        cell.source = cell.source.replace('RUNS = "../runs"', f"RUNS = {str(tmp_path)!r}")
        cell.source = cell.source.replace(SAMPLES, f"{SAMPLES}, {SHORTER}")
    assert SHORTER in notebook.cells[1].source + notebook.cells[2].source
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    client.execute()
    for name in FIGURES:
        (cell,) = [c for c in notebook.cells if c.source.endswith(f"figures.{name}(search)")]
        assert _pictures(cell), name
        (shown,) = [o for o in cell.outputs if o.output_type == "execute_result"]
        assert shown.data["application/vnd.plotly.v1+json"]["data"]
    (live,) = [cell for cell in notebook.cells if "plot_live_metrics" in cell.source]
    assert _pictures(live)
    (folder,) = tmp_path.glob("quickstart_*")
    assert (folder / "report.html").is_file()
    assert (folder / "importance.svg").is_file()


def _pictures(cell: nbformat.NotebookNode) -> int:
    """Return how many pictures that are not blank a cell shows."""
    found = 0
    for output in cell.outputs:
        data = output.get("data", {}).get("image/png")
        if data:
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                found += int(np.asarray(image.convert("L")).std() > 5)
    return found
