"""The figures of docs/scaling.md are those that benchmarks/scale.py has measured."""

import json
import re
from typing import Any

from repository import REPOSITORY

PAGE = REPOSITORY / "docs" / "scaling.md"
RESULTS = sorted((REPOSITORY / "benchmarks" / "results").glob("*/scale.json"))


def measured() -> list[dict[str, Any]]:
    kept = [json.loads(path.read_text(encoding="utf-8"))["rows"] for path in RESULTS]
    return [row for rows in kept for row in rows if "trials" in row]


def test_the_cores_that_one_driver_serves_follow_from_its_time_per_result() -> None:
    slowest = max(row["mean_cpu_ms_per_result"] for row in measured())
    text = PAGE.read_text(encoding="utf-8")
    (per_second,) = map(int, re.findall(r"\*\*(\d+) results a second\*\*", text))
    # four fifths of a core, to the next lower ten
    assert per_second == int(800 / slowest) // 10 * 10
    rows = re.findall(r"^\| [^|]+ \| ([\d.]+) s \| ([\d,]+) \|$", text, flags=re.MULTILINE)
    assert len(rows) >= 3
    for seconds, cores in rows:
        assert int(cores.replace(",", "")) == round(per_second * float(seconds), -1)
