"""A twin made from a table, over real Channel Access: server and client are child processes.

Run as a program, this file is the client: `python THIS_FILE` prints one JSON line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.channel_access import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
HEADER = "parameters: {a: {unit: mL}, b: {unit: mL}}\noutcomes: {total: {unit: g}, rest: {}}\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """What two amounts give that fill no more than 1 mL: half of the box is empty."""
    x = np.random.default_rng(0).uniform(size=(200, 2))
    x = x[x.sum(axis=1) <= 1.0]
    cells = np.column_stack([x, x.sum(axis=1), x[:, 0] - x[:, 1]])
    file = tmp_path / "mix.csv"
    np.savetxt(file, cells, delimiter=",", header="a,b,total,rest", comments="")
    (tmp_path / "mix.yaml").write_text(HEADER)
    return file


def test_a_table_is_an_instrument_like_any_other(table: Path) -> None:
    command = [sys.executable, "-m", "simulators.serve", "--table", str(table), "--seed", "4"]
    command += ["--header", str(table.with_suffix(".yaml")), "--time-compression", "6000"]
    pipes: dict[str, Any] = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as server:
        try:
            assert server.stdout is not None
            about = json.loads(server.stdout.readline())
            answer = client(about["port"])
        finally:
            server.kill()
            _, told = server.communicate()
    assert about["twin"] == "mix"
    assert "leave-one-out R2" in told
    assert answer["limits"] == pytest.approx([0.0, 1.0], abs=0.1)
    assert answer["units"] == ["mL", "mL", "g", ""]
    assert answer["near"] == pytest.approx([0.7, -0.1], abs=0.05)
    assert answer["far"].startswith("StaleReading: detector: the trigger brought nothing new in ")
    assert "detector_total, detector_rest: nearest data " in answer["far"]
    assert answer["acquiring"] is False
    assert answer["near_again"] == answer["near"]  # the same setpoints, the first trigger


def client(port: int) -> Any:
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=ROOT,
        env=environment(port),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def drive() -> Any:
    from devices.loader import load

    axis = {"class": "devices.SetpointReadback", "tolerance": 0.001}
    entries: dict[str, dict[str, Any]] = {
        "a": {**axis, "prefix": "MIX:A"},
        "b": {**axis, "prefix": "MIX:B"},
        "detector": {
            "class": "devices.TriggeredDetector",
            "prefix": "MIX:DETECTOR",
            "kwargs": {"message": "MESSAGE"},
        },
    }
    found = load(entries, connect_timeout_s=20, time_scale=1)
    a, b, detector = (found[name] for name in entries)

    def measured(to_a: float, to_b: float) -> Any:
        for status in (a.set(to_a), b.set(to_b)):
            status.wait(10)
        detector.trigger().wait(10)
        return [reading["value"] for reading in detector.read().values()]

    answer = {"limits": a.ioc_limits, "near": measured(0.3, 0.4)}
    answer["units"] = [a.unit, b.unit, *(key["units"] for key in detector.describe().values())]
    try:
        measured(0.8, 0.8)
    except Exception as error:  # its type and words are what the test is about
        answer["far"] = f"{type(error).__name__}: {error}"
    answer["acquiring"] = detector.acquiring
    return answer | {"near_again": measured(0.3, 0.4)}


if __name__ == "__main__":
    print(json.dumps(drive()), flush=True)
