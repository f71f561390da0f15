"""Some cells of the kill table (`make kills` runs it whole): killed searches lose nothing."""

from pathlib import Path

import pytest
from kill_cells import Cell, run_baseline, run_group

pytestmark = [pytest.mark.slow, pytest.mark.long]

CELLS = [
    Cell(variant="sac", phase="update", target="worker"),
    Cell(variant="sac", phase="evaluation", target="worker"),
    Cell(variant="sac", phase="upload", target="worker"),
    Cell(variant="sac", phase="rollout", target="driver"),
    Cell(variant="sac", phase="persisted", target="driver"),
    Cell(variant="sac", phase="save", target="driver"),
]


def test_a_search_killed_six_times_equals_an_undisturbed_one(tmp_path: Path) -> None:
    gammas = [cell.gamma for cell in CELLS]
    baseline = run_baseline("sac", tmp_path / "undisturbed", gammas)
    verdicts = run_group(CELLS, baseline, tmp_path / "struck", gammas)
    assert [(v.cell.name, v.faults) for v in verdicts if not v.passed] == []
    assert verdicts[0].exit_codes == (-9, -9, -9, 0)
