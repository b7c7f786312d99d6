"""A worker is killed in the midst of a trial: what is done at the instrument, and what is decided.

The witness in the beamline's EPICS server has every put, so the order of what happened is its own.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.channel_access import only_server
from tests.system.lab import answer, events, finish, process_of, results, start, wait_for, write

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]

INSTRUMENT = """
name: beamline
mode: twin
devices:
  motor:
    class: devices.SetpointReadback
    prefix: "B:M"
    unit: mm
    limits: [0, 100]
    tolerance: 0.05
    timeout_s: {patience}
  shutter:
    class: tests.beamline.devices.Shutter
    prefix: "B:SHUTTER"
    limits: [0, 1]
    timeout_s: 2
    takeover: {takeover}
  camera: {{class: tests.beamline.devices.Camera, prefix: "B:CAM", timeout_s: 2}}
quiet: {quiet}
"""
CAMPAIGN = """
name: exposures
instrument: instrument.yaml
plan: {{name: tests.beamline.plans.exposure, args: {{shutter: shutter, camera: camera}}}}
parameters:
  position: {{device: motor, range: [80, 90], unit: mm}}
objectives: {{counts: {{goal: maximize}}}}
budget: {{trials: 2}}
optimizer: {{method: sobol, lookahead: 0}}
policy: {{consumes_sample: {consumes}}}
"""
BEGINS = {
    "moving": ("B:M:SP", None),
    "open": ("B:SHUTTER", 1),
    "counting": ("B:CAM:TRIGGER", 1),
    "staged": ("B:CAM:GAIN", 5),
}
"""The put after which the worker is killed."""


SLOW = (
    "test_a_killed_worker_leaves_nothing_open_moving_or_changed[moving]",
    "test_what_keeps_moving_is_a_fault_that_staff_clear",
)
"""Tests in which the motor must still move when the next worker looks."""


@dataclass
class Beamline:
    """A lab on the beamline's own server."""

    folder: Path
    witness: Path
    port: int

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def more(self) -> dict[str, str]:
        """Environment of every verb here: this server, and nothing else."""
        # A death is proven by its pid: no test waits for a lease.
        return {**only_server(self.port), "LABWRIGHT_LEASE_S": "30"}

    def campaign(
        self,
        *,
        consumes: bool = False,
        quiet: str = "[]",
        takeover: str = "automatic",
        patience: int = 120,
    ) -> str:
        text = INSTRUMENT.format(quiet=quiet, takeover=takeover, patience=patience)
        write(self.folder, "instrument.yaml", text)
        text = CAMPAIGN.format(consumes=str(consumes).lower())
        return write(self.folder, "campaign.yaml", text)

    def run(self, campaign: str, *options: str) -> "subprocess.Popen[str]":
        where = ("--data-dir", str(self.data_dir), "--id", "c")
        return start("run", campaign, "--json", *where, *options, **self.more)

    def verb(self, *arguments: str, code: int = 0) -> Any:
        return answer(*arguments, "--data-dir", str(self.data_dir), code=code, **self.more)

    def puts(self, *, but: str = "") -> list[tuple[str, Any]]:
        """What was put, in order; left out what came through the circuit ``but``."""
        lines = [json.loads(line) for line in self.witness.read_text().splitlines()]
        return [(line["pv"], line["value"]) for line in lines if line["circuit"] != but]

    def kill_at(self, moment: str) -> str:
        """Kill the worker at this moment of its first trial; gives its circuit."""
        pv, value = BEGINS[moment]

        def begun() -> bool:
            return any(one[0] == pv and value in (None, one[1]) for one in self.puts())

        worker = wait_for(lambda: process_of("worker", self.data_dir), "the worker is there")
        wait_for(begun, f"the witness has seen {pv}")
        os.kill(worker, signal.SIGKILL)
        return json.loads(self.witness.read_text().splitlines()[0])["circuit"]

    def changes(self) -> list[tuple[str, str]]:
        """What happened to the instrument, and the starts of trials, in order."""
        told = []
        for event in events(self.data_dir, "c"):
            if event["type"] == "instrument_changed":
                told.append((event["data"]["state"], event["data"]["reason"]))
            elif event["type"] == "started":
                told.append(("started", ""))
        return told


@pytest.fixture
def beamline(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Beamline]:
    witness = tmp_path / "witness.jsonl"
    slow = ["slow"] if request.node.name in SLOW else []
    command = [sys.executable, "-m", "tests.beamline.ioc", str(witness), *slow]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield Beamline(tmp_path, witness, json.loads(process.stdout.readline())["port"])
        process.kill()


@pytest.mark.parametrize("moment", BEGINS)
def test_a_killed_worker_leaves_nothing_open_moving_or_changed(
    beamline: Beamline, moment: str
) -> None:
    running = beamline.run(beamline.campaign(quiet="[{stop: [shutter]}, {stop: [motor]}]"))
    killed = beamline.kill_at(moment)
    code, said, complaint = finish(running)
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 2
    rows = results(beamline.data_dir, "c")
    assert [row["attempts"] for row in rows] == ["2", "1"]

    states = [state for state, _ in beamline.changes()]
    assert states == ["started", "unknown", "recovering", "ready", "started", "started"]
    after = beamline.puts(but=killed)
    put_right = after[: after.index(("B:CAM:GAIN", 5))]  # then the next attempt stages
    assert ("B:CAM:GAIN", 1) in put_right, "what staging had changed was put back"
    if moment == "counting":
        assert put_right[0] == ("B:SHUTTER", 0), "quiet comes first"
    if moment == "moving":
        assert put_right[0] == ("B:M:STOP", 1)
        assert "motor stands at" in dict(beamline.changes())["ready"]
    allowed = {("B:SHUTTER", 0), ("B:M:STOP", 1), ("B:CAM:GAIN", 1)}
    assert set(put_right) <= allowed, "nothing is set anew before the next attempt"
    for row in rows:
        assert float(row["counts"]) == pytest.approx(5 * float(row["position"]), abs=0.3)


def test_without_quiet_the_shutter_stays_open(beamline: Beamline) -> None:
    """The control: it is the instrument file that closes it, nothing else."""
    running = beamline.run(beamline.campaign(quiet="[]"))
    killed = beamline.kill_at("counting")
    assert finish(running)[0] == 0
    after = beamline.puts(but=killed)
    assert ("B:SHUTTER", 0) not in after[: after.index(("B:CAM:GAIN", 5))]


def test_a_consumed_sample_waits_for_a_person_who_gives_it_up(beamline: Beamline) -> None:
    running = beamline.run(beamline.campaign(consumes=True, quiet="[{stop: [shutter]}]"))
    beamline.kill_at("counting")
    code, said, _ = finish(running)
    assert (code, json.loads(said)["status"]) == (3, "needs_person")
    status = beamline.verb("status", code=3)
    assert "was the sample of trial 1 consumed?" in status["sentence"]
    assert "the last was 'trigger camera'; its documents are not complete" in status["sentence"]

    refused = beamline.verb("resolve", "1", "--as", "measured", "--reason", "?", code=2)
    assert "cannot count as measured" in refused["error"]
    beamline.verb("resolve", "1", "--as", "abandon", "--reason", "the beam was on it")
    resumed = start(
        "run", "--resume", "c", "--json", "--data-dir", str(beamline.data_dir), **beamline.more
    )
    assert finish(resumed)[0] == 0
    rows = results(beamline.data_dir, "c")
    assert [row["state"] for row in rows] == ["abandoned", "measured"]


def test_complete_documents_count_when_a_person_says_so(beamline: Beamline) -> None:
    """The worker dies after the last document, and before its result was handed in."""
    blocked = beamline.data_dir / "outbox" / "c"
    blocked.parent.mkdir(parents=True)
    campaign = beamline.campaign(consumes=True)
    submitted = beamline.verb("submit", campaign, "--id", "c")
    assert submitted["campaign_id"] == "c"
    blocked.write_text("no folder can be made here")
    where = ("--json", "--data-dir", str(beamline.data_dir))
    code, said, complaint = finish(start("run", "--resume", "c", *where, **beamline.more))
    assert (code, json.loads(said)["status"]) == (3, "needs_person"), complaint
    assert "its documents are complete" in beamline.verb("status", code=3)["sentence"]

    blocked.unlink()
    said = beamline.verb("resolve", "1", "--as", "measured", "--reason", "the film is black")
    assert said["text"] == "trial 1 is measured"
    assert finish(start("run", "--resume", "c", *where, **beamline.more))[0] == 0
    rows = results(beamline.data_dir, "c")
    assert [(row["state"], row["attempts"]) for row in rows] == [("measured", "1")] * 2
    assert beamline.puts().count(("B:CAM:TRIGGER", 1)) == 2, "each was exposed once"


def test_somebody_must_look_where_the_instrument_file_says_so(beamline: Beamline) -> None:
    running = beamline.run(beamline.campaign(takeover="person"))
    beamline.kill_at("open")
    code, said, _ = finish(running)
    assert (code, json.loads(said)["status"]) == (3, "needs_person")
    assert "look at shutter after the crash" in beamline.verb("status", code=3)["sentence"]
    before = len(beamline.puts())
    beamline.verb("resume", "--reason", "closed it by hand")
    resumed = start(
        "run", "--resume", "c", "--json", "--data-dir", str(beamline.data_dir), **beamline.more
    )
    assert finish(resumed)[0] == 0
    assert len(beamline.puts()) > before
    assert json.loads(said)["trials"]["measured"] == 0


def test_what_keeps_moving_is_a_fault_that_staff_clear(beamline: Beamline) -> None:
    running = beamline.run(beamline.campaign(patience=2))  # nothing stops the motor
    beamline.kill_at("moving")
    code, said, _ = finish(running)
    assert (code, json.loads(said)["status"]) == (3, "needs_person")
    status = beamline.verb("status", code=3)
    assert status["alarm"]
    assert "in fault" in status["sentence"]
    assert "does not come to rest within 2 s: motor is moving" in status["sentence"]

    by_hand = "from epics import caput; assert caput('B:M:STOP', 1, wait=True, timeout=5)"
    kept = {**os.environ, **beamline.more}
    subprocess.run([sys.executable, "-c", by_hand], env=kept, check=True)
    beamline.verb("clear-fault", "beamline", "--reason", "a loose screw")
    again = beamline.verb("clear-fault", "beamline", "--reason", "twice", code=2)
    assert "is in no fault: it is unknown" in again["error"]
    where = ("--json", "--data-dir", str(beamline.data_dir))
    assert finish(start("run", "--resume", "c", *where, **beamline.more))[0] == 0
    told = beamline.changes()
    assert [state for state, _ in told] == [
        *("started", "unknown", "recovering", "fault"),
        *("unknown", "recovering", "ready", "started", "started"),
    ]
    assert told[4][1].endswith(": a loose screw")
