"""What a trial tells Ray."""

from pathlib import Path

from ray import tune

from finrl_ray.agent.resources import ResourceMonitor
from finrl_ray.search.journal import reported_metrics
from finrl_ray.trainable import report_to_tune


def test_what_the_process_uses_is_in_rays_results_and_not_in_the_journal(monkeypatch) -> None:
    reports = []
    monkeypatch.setattr(tune, "report", lambda metrics, checkpoint: reports.append(metrics))
    own = {"objective": 1.5, "timesteps": 100, "eval/sharpe_ratio": 1.5}
    report_to_tune(
        ResourceMonitor(None), own, lambda folder: (Path(folder) / "model.zip").write_text("")
    )
    assert {"sys/rss_gb", "sys/memory_fraction", "sys/cpu_percent"} <= reports[0].keys()
    assert reports[0]["sys/rss_gb"] > 0
    # tables of equal searches stay equal, whatever machine they ran on
    assert reported_metrics(reports[0]) == own
