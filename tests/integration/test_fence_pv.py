"""The gate at the device, over real Channel Access: two clients, one instrument."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.channel_access import environment

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]

DRIVER = """
import json, sys
from ophyd import EpicsSignal
from devices import SetpointReadback
from orchestrator.adapters.gates.gate_fence_pv import FencePv, FencePvGate
from orchestrator.domain.errors import LabError

device = SetpointReadback("FC:TEMP", name="temperature", tolerance=0.2, timeout_s=5)
device.wait_for_connection(timeout=10)
stop = EpicsSignal("FC:TEMP:STOP", name="stop")
stop.wait_for_connection(timeout=10)
gate = FencePvGate(FencePv())

def answer(order, value):
    match order:
        case "claim": return gate.claim(value)
        case "confirm": return gate.confirm(value)
        case "floor": return gate.floor
        case "set": return device.set(value).wait(timeout=8)
        case "stop": return stop.put(1, wait=True)
        case "read": return device.readback.get(use_monitor=False)

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    order, value = json.loads(line)
    try:
        said = ["ok", answer(order, value)]
    except Exception as error:
        said = ["error", f"{type(error).__name__}: {error}"]
    print(json.dumps(said), flush=True)
import os
os._exit(0)
"""


class Driver:
    """A process that drives the twin's temperature, told line by line what to do."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def __call__(self, order: str, value: Any = None) -> Any:
        self.process.stdin.write(json.dumps([order, value]) + "\n")
        self.process.stdin.flush()
        how, said = json.loads(self.process.stdout.readline())
        return said if how == "error" or said is not None else how


@contextmanager
def served(*options: str, port: int = 0) -> Iterator[int]:
    """A twin; gives its port."""
    command = [sys.executable, "-m", "simulators.serve", "flow-chemistry"]
    command += ["--time-compression", "6000", *options]
    command += ["--port", str(port)] if port else []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield json.loads(process.stdout.readline())["port"]
        process.kill()


@contextmanager
def drivers(port: int, count: int = 2) -> Iterator[list[Driver]]:
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", DRIVER],
                    cwd=ROOT,
                    env=environment(port),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(count)
        ]
        for process in started:
            assert json.loads(process.stdout.readline()) == "ready"
        yield [Driver(process) for process in started]
        for process in started:
            process.kill()


def witnessed(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_newest_claim_drives_and_the_older_is_refused(tmp_path: Path) -> None:
    witness, fence = tmp_path / "witness.jsonl", tmp_path / "fence"
    options = ("--fence-file", str(fence), "--witness", str(witness))
    with served(*options) as port, drivers(port) as (first, second):
        assert "error" not in first("claim", 5)
        assert first("set", 60.0) == "ok"
        assert second("floor") == 5
        assert "LeaseLost" in second("claim", 4)
        assert second("claim", 6) == "ok"
        assert second("set", 70.0) == "ok"
        assert first("set", 90.0) != "ok"
        assert second("read") == 70.0, "the refused put moved nothing"
        assert "LeaseLost" in first("confirm", 5)
        assert second("confirm", 6) == "ok"
        assert first("stop") == "ok", "anyone may stop"
        pids = [first.process.pid, second.process.pid]
    lines = witnessed(witness)
    moves = [(one["pid"], one["fence"], one["value"], one["accepted"]) for one in lines]
    assert (pids[0], 5, 60.0, True) in moves
    assert (pids[1], 6, 70.0, True) in moves
    assert (pids[0], 5, 90.0, False) in moves
    assert [one["accepted"] for one in lines if one["exempt"]] == [True]
    assert fence.read_text() == "6\n"


def test_without_the_gate_the_older_one_moves_it(tmp_path: Path) -> None:
    """The control: what the gate is there for."""
    witness = tmp_path / "witness.jsonl"
    with served("--witness", str(witness)) as port, drivers(port) as (first, second):
        first("claim", 5)
        second("claim", 6)
        assert first("set", 90.0) == "ok"
        assert second("read") == 90.0
    stale = [one for one in witnessed(witness) if one["value"] == 90.0]
    assert [(one["fence"], one["accepted"]) for one in stale] == [(5, True)]


def test_a_server_that_comes_back_wants_a_higher_claim(tmp_path: Path) -> None:
    options = ("--fence-file", str(tmp_path / "fence"))
    with served(*options) as port, drivers(port, 1) as (driver,):
        assert driver("claim", 5) == "ok"
    with served(*options) as port, drivers(port, 1) as (driver,):
        assert driver("floor") == 5
        assert driver("set", 50.0) != "ok", "nobody drives before a claim"
        assert "LeaseLost" in driver("claim", 5)
        assert driver("claim", 6) == "ok"
        assert driver("set", 50.0) == "ok"
