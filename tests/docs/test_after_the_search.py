"""The script of the guide hands the orders of a real signal to a broker that a test plays."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from deployed_agents import TRAINED_ROWS, experiment, small_agent
from repository import REPOSITORY
from typer.testing import CliRunner

from finrl_ray.cli.main import app

PAGE = (REPOSITORY / "docs" / "after_the_search.md").read_text(encoding="utf-8")


class Broker(BaseHTTPRequestHandler):
    """Takes each order once, by its id."""

    taken: list[tuple[str, str, dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = [one["client_order_id"] for _, _, one in self.taken]
        again = body["client_order_id"] in known
        if not again:
            self.taken.append((self.path, self.headers["Authorization"], body))
        self.send_response(422 if again else 200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def broker() -> Iterator[tuple[str, list[Any]]]:
    taken: list[Any] = []
    handler = type("OwnBroker", (Broker,), {"taken": taken})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    thread.join()
    server.server_close()


def script() -> str:
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
        if block.startswith('"""send_orders.py')
    ]
    return str(code)


def test_the_orders_of_a_signal_reach_a_broker_once(broker, tmp_path: Path) -> None:
    url, taken = broker
    agent = small_agent(tmp_path, experiment(env={"action": "target_weights"}))
    days = agent.frame["date"].unique()
    prices = tmp_path / "prices.csv"
    agent.frame[agent.frame["date"] <= days[TRAINED_ROWS + 2]].to_csv(prices, index=False)
    positions = tmp_path / "positions.csv"
    positions.write_text("Symbol,Quantity\nAAA,900\nBBB,0\nCCC,700\nCash,1000\n", encoding="utf-8")
    orders = tmp_path / "orders.json"
    asked = ["signal", str(agent.folder), "--prices", str(prices), "--date"]
    asked += [str(days[TRAINED_ROWS + 2]), "--holdings", str(positions), "--json", str(orders)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    said = json.loads(orders.read_text(encoding="utf-8"))
    wanted = {o["ticker"]: (o["side"], o["shares"]) for o in said["orders"] if o["side"] != "hold"}
    assert {side for side, _ in wanted.values()} >= {"sell"}
    (tmp_path / "send_orders.py").write_text(script(), encoding="utf-8")
    for _ in range(2):
        subprocess.run(
            [sys.executable, "send_orders.py", str(orders)],
            cwd=tmp_path,
            env={**os.environ, "BROKER_URL": url, "BROKER_KEY": "secret", "no_proxy": "127.0.0.1"},
            check=True,
            capture_output=True,
        )
    assert {(path, key) for path, key, _ in taken} == {("/orders", "Bearer secret")}
    sent = {body["symbol"]: (body["side"], float(body["qty"])) for _, _, body in taken}
    assert sent == wanted
    sides = [body["side"] for _, _, body in taken]
    assert sides == sorted(sides, reverse=True)  # sells first


def test_the_script_is_short_and_needs_no_package_of_a_broker() -> None:
    code = script()
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 30
    imported = re.findall(r"^import (\w+)", code, flags=re.MULTILINE)
    assert imported == ["json", "os", "sys", "requests"]


def test_the_cron_lines_are_ones_that_cron_takes() -> None:
    times = r"^([\d*/,-]+) ([\d*/,-]+) ([\d*/,-]+) ([\d*/,-]+) ([\d*/,-]+)  (.*finrl-ray.*)$"
    found = re.findall(times, PAGE, re.MULTILINE)
    assert len(found) == 2
    asked = {}
    for *when, line in found:
        assert "%" not in line  # which cron reads as an end of line
        (name,) = re.findall(r"finrl-ray (\w+)", line)
        asked[name] = when[-1]
        options = re.findall(r"--[a-z-]+", line)
        told = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
        assert told.exit_code == 0, name
        assert [one for one in options if one not in told.output] == []
    # orders on each working day, and how it has done once a week
    assert asked == {"signal": "1-5", "forward": "6"}
