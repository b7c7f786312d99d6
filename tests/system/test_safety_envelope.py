"""What reaches an EPICS server, by the server's own witness, which is on disk before a put acts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.channel_access import only_server
from tests.system.lab import events, finish, results, start, wait_for, write

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]

INSTRUMENT = """
name: dispenser
mode: twin
devices:
  x: {class: devices.SetpointReadback, prefix: "D:X", unit: mm, limits: [0, 10], tolerance: 0.05}
  y: {class: devices.SetpointReadback, prefix: "D:Y", unit: mm, limits: [0, 10], tolerance: 0.05}
  pump: {class: tests.dispenser.devices.Pump, prefix: "D:PUMP", unit: mL, limits: [0, 2],
         irreversible: true, readback: none, spends: {reagent: {per_unit: 1}}}
  shutter: {class: ophyd.EpicsSignal, prefix: "D:SHUTTER", limits: [0, 1]}
  camera: {class: devices.TriggeredDetector, prefix: "D:CAM", timeout_s: 5}
constraints: ["x + y <= 12"]
conditions:
  - signal: "D:BEAM:RB"
    suspend_below: 50
    unit: mA
    on_trip: [{set: {shutter: 0}}]
    on_resume: [{set: {shutter: 1}}]
budgets: {reagent: {limit: BUDGET, unit: mL}}
"""
DROPS = """
name: drops
instrument: instrument.yaml
plan: {name: tests.dispenser.plans.drop, args: {camera: camera}}
parameters: {volume: {device: pump, range: [1, 2], unit: mL}}
objectives: {counts: {goal: maximize}}
budget: {trials: 2}
optimizer: {method: sobol, lookahead: 0}
"""
WANDERING = """
name: wandering
instrument: instrument.yaml
plan: {name: tests.dispenser.plans.wander, args: {x: x, y: y, camera: camera}}
parameters: {seed: {arg: seed, range: [0, 100000], type: int}}
objectives: {counts: {goal: maximize}}
budget: {trials: 25}
optimizer: {method: sobol, lookahead: 0}
policy: {attempts: 1, stop_after: {failed_in_a_row: 0}}
"""


@dataclass
class Dispenser:
    """A lab on the dispenser's own server."""

    folder: Path
    witness: Path
    port: int

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def more(self) -> dict[str, str]:
        """Environment of every process here: this server, and nothing else."""
        # A death is proven by its pid: no test waits for a lease.
        return {**only_server(self.port), "LABWRIGHT_LEASE_S": "30"}

    def run(self, campaign: str, budget: float = 100) -> "subprocess.Popen[str]":
        text = INSTRUMENT.replace("BUDGET", str(budget))
        write(self.folder, "instrument.yaml", text)
        path = write(self.folder, "campaign.yaml", campaign)
        where = ("--data-dir", str(self.data_dir), "--id", "c")
        return start("run", path, "--json", *where, **self.more)

    def puts(self, *names: str) -> list[tuple[str, Any]]:
        """What was put to these, in order."""
        lines = [json.loads(line) for line in self.witness.read_text().splitlines()]
        return [(line["pv"], line["value"]) for line in lines if line["pv"] in names]

    def give_beam(self) -> None:
        """As the machine's own control would."""
        code = "from epics import caput; assert caput('D:BEAM:FAULT', 0, wait=True, timeout=5)"
        subprocess.run([sys.executable, "-c", code], env={**os.environ, **self.more}, check=True)


@pytest.fixture
def dispenser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Dispenser]:
    witness = tmp_path / "witness.jsonl"
    dump = ["dump"] if "beam_dump" in request.node.name else []
    command = [sys.executable, "-m", "tests.dispenser.ioc", str(witness), *dump]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield Dispenser(tmp_path, witness, json.loads(process.stdout.readline())["port"])
        process.kill()


def test_a_beam_dump_in_the_middle_of_a_dispense_dispenses_once(dispenser: Dispenser) -> None:
    running = dispenser.run(DROPS)
    wait_for(lambda: ("D:SHUTTER", 0) in dispenser.puts("D:SHUTTER"), "the shutter closes")
    assert not dispenser.puts("D:CAM:TRIGGER"), "the plan waits where it stands"
    dispenser.give_beam()
    code, said, complaint = finish(running)
    assert code == 0, complaint
    rows = results(dispenser.data_dir, "c")
    assert [(row["state"], row["attempts"]) for row in rows] == [("measured", "1")] * 2
    dispensed = [value for _, value in dispenser.puts("D:PUMP")]
    assert dispensed == [pytest.approx(float(row["volume"])) for row in rows], "each of them once"
    assert dispenser.puts("D:SHUTTER", "D:CAM:TRIGGER") == [
        ("D:SHUTTER", 1),
        ("D:SHUTTER", 0),
        ("D:SHUTTER", 1),
        ("D:CAM:TRIGGER", 1),
        ("D:CAM:TRIGGER", 1),
    ]
    starts = [
        json.loads(line)[1]
        for path in (dispenser.data_dir / "runs").rglob("*.jsonl")
        for line in path.read_text().splitlines()[:1]
    ]
    assert [start["not_verified"] for start in starts] == [["pump"]] * 2


def test_a_budget_that_is_spent_suspends_until_it_is_refilled(dispenser: Dispenser) -> None:
    running = dispenser.run(DROPS, budget=2.5)
    wait_for(
        lambda: any(one["type"] == "suspended" for one in _log(dispenser)), "the campaign waits"
    )
    (suspended,) = (one for one in _log(dispenser) if one["type"] == "suspended")
    assert "of 2.5 mL is left of budget reagent" in suspended["data"]["reason"]
    assert sum(value for _, value in dispenser.puts("D:PUMP")) <= 2.5
    running.send_signal(2)
    finish(running)


def test_no_wandering_plan_gets_past_the_envelope(dispenser: Dispenser) -> None:
    code, _, complaint = finish(dispenser.run(WANDERING))
    assert code in (0, 1), complaint
    at = {"D:X:SP": 0.0, "D:Y:SP": 0.0}
    puts = dispenser.puts(*at)
    for name, value in puts:
        at[name] = value
        assert 0 <= value <= 10
        assert sum(at.values()) <= 12
    assert len(puts) > 25
    assert any(
        one["data"].get("reason") == "outside_envelope" for one in events(dispenser.data_dir, "c")
    )


def _log(dispenser: Dispenser) -> list[dict[str, Any]]:
    from tests.system.lab import ledger_of

    with ledger_of(dispenser.data_dir) as ledger:
        names = ledger.campaigns() if ledger else []
        return [_plain(one) for one in ledger.events(names[0])] if ledger and names else []


def _plain(event: Any) -> dict[str, Any]:
    from orchestrator.domain.events import type_of

    return {"type": type_of(event), "data": {"reason": getattr(event, "reason", "")}}
