"""Campaigns with devices, plans and a RunEngine that a lab has already, as they are."""

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

from orchestrator.domain.state import CampaignStatus
from simulators.loopback import free_port
from tests.channel_access import only_server
from tests.system.lab import (
    count,
    environment,
    finish,
    live_state,
    results,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
PROFILE = ROOT / "tests" / "beamline" / "profile" / "startup"

INSTRUMENT = """
name: p99
mode: twin
from:
  - {startup: {startup}, use: [stage, shutter, i0]}
devices:
  stage: {unit: mm, limits: [-5, 5], tolerance: 0.01, timeout_s: 20}
  shutter: {limits: [0, 1]}
md: {required: [proposal, sample]}
move_order: [stage.y, stage.x]
quiet: [{stop: [stage]}]
"""
CAMPAIGN = """
name: brightest
instrument: instrument.yaml
plan: {name: "startup:dark_and_light", args: {detector: i0}}
reduce: {call: tests.beamline.reducers.net_intensity}
parameters:
  x: {device: stage.x, range: [-3, 3], unit: mm}
  y: {device: stage.y, range: [-3, 3], unit: mm}
objectives: {intensity: {goal: maximize}}
budget: {trials: TRIALS}
optimizer: {method: sobol, lookahead: 0}
"""


@dataclass
class Beamline:
    folder: Path
    port: int
    process: "subprocess.Popen[str] | None" = None

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def more(self) -> dict[str, str]:
        # A death is proven by its pid: no test waits for a lease.
        return {**only_server(self.port), "LABWRIGHT_LEASE_S": "30"}

    def write(self, *, instrument: str, trials: int = 3, campaign: str = CAMPAIGN) -> str:
        write(self.folder, "instrument.yaml", instrument)
        return write(self.folder, "campaign.yaml", campaign.replace("TRIALS", str(trials)))

    def run(self, campaign: str) -> "subprocess.Popen[str]":
        where = ("--data-dir", str(self.data_dir), "--id", "c")
        return start("run", campaign, "--json", *where, **self.more)

    def documents(self, trial: int) -> list[tuple[str, dict[str, Any]]]:
        (file,) = sorted((self.data_dir / "runs" / "c").glob(f"{trial:05d}-*.jsonl"))[-1:]
        return [tuple(json.loads(line)) for line in file.read_text().splitlines()]

    def puts(self) -> list[tuple[str, Any]]:
        lines = (self.folder / "witness.jsonl").read_text().splitlines()
        return [(line["pv"], line["value"]) for line in map(json.loads, lines)]

    def put(self, pv: str, value: float) -> None:
        """As somebody else at the beamline does."""
        code = f"import epics; assert epics.caput({pv!r}, {value}, wait=True, timeout=10)"
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | self.more)


def served(folder: Path, *command: str) -> Iterator[Beamline]:
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Beamline(folder, json.loads(process.stdout.readline())["port"], process)
        process.kill()


@pytest.fixture
def beamline(tmp_path: Path) -> Iterator[Beamline]:
    yield from served(tmp_path, "tests.beamline.profile_ioc", str(tmp_path / "witness.jsonl"))


def instrument(startup: Path = PROFILE) -> str:
    return INSTRUMENT.replace("{startup}", str(startup))


def test_a_startup_profile_runs_a_campaign_unchanged(beamline: Beamline) -> None:
    code, said, complaint = finish(beamline.run(beamline.write(instrument=instrument())))
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 3
    for row in results(beamline.data_dir, "c"):
        x, y = float(row["x"]), float(row["y"])
        expected = 300 / (1 + (x - 1) ** 2 + (y + 2) ** 2)
        assert float(row["intensity"]) == pytest.approx(expected, rel=1e-3)
    documents = beamline.documents(1)
    starts = [document for name, document in documents if name == "start"]
    assert [one["kind"] for one in starts] == ["dark", "light"]
    assert {one["plan_name"] for one in starts} == {"count"}
    for one in starts:
        assert (one["proposal"], one["sample"]) == ("2026-3-117", {"name": "gold grid"})
        assert (one["trial_id"], one["campaign_id"]) == (1, "c")
    streams = [document["name"] for name, document in documents if name == "descriptor"]
    assert streams.count("baseline") == 2
    moves = [pv for pv, _ in beamline.puts() if pv in ("P:X", "P:Y", "P:X.VAL", "P:Y.VAL")]
    assert [pv.removesuffix(".VAL") for pv in moves[:2]] == ["P:Y", "P:X"]


OWN_SESSION = """
import sys
from pathlib import Path

for script in sorted(Path(sys.argv[1]).glob("*.py")):
    exec(compile(script.read_text(), script, "exec"), globals())

from orchestrator.session import Campaign

with Campaign("campaign.yaml", id="c", namespace=globals(), data_dir="data") as campaign:
    RE(campaign.plan())
assert RE.preprocessors == [sd]
assert RE.suspenders == (beam_dump,)
"""


def test_the_profile_runs_it_in_a_session_of_its_own(beamline: Beamline) -> None:
    """With its plan, devices, baseline, suspender and live table, as at the beamline's prompt."""
    beamline.write(instrument=instrument())
    done = subprocess.run(
        [sys.executable, "-c", OWN_SESSION, str(PROFILE)],
        cwd=beamline.folder,
        env=environment(**beamline.more),
        text=True,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "End-of-run baseline readings" in done.stdout, "its own callback shows each run"
    rows = results(beamline.data_dir, "c")
    assert [row["state"] for row in rows] == ["measured"] * 3
    documents = beamline.documents(3)
    starts = [document for name, document in documents if name == "start"]
    assert [one["kind"] for one in starts] == ["dark", "light"]
    assert {(one["plan_name"], one["proposal"], one["trial_id"]) for one in starts} == {
        ("count", "2026-3-117", 3)
    }
    streams = [document["name"] for name, document in documents if name == "descriptor"]
    assert streams.count("baseline") == 2


@pytest.mark.slow
def test_a_suspender_of_the_lab_suspends_the_campaign(beamline: Beamline) -> None:
    """Tripped before the first start, and again between trials, with its plans around it."""
    beamline.put("P:RING", 50)
    running = beamline.run(beamline.write(instrument=instrument(), trials=12))
    data_dir = beamline.data_dir
    suspended = wait_for(
        lambda: (state := live_state(data_dir)).status is CampaignStatus.SUSPENDED and state,
        "the campaign is suspended",
    )
    assert "SuspendFloor: ring_current is 50.0 (beam dump)" in suspended.waiting_for
    assert count(data_dir, "queued") > 0
    assert count(data_dir, "running", "measured", "acquired") == 0
    beamline.put("P:RING", 200)  # above the threshold, below that for going on
    beamline.put("P:RING", 300)
    wait_for(lambda: count(data_dir, "measured") >= 2, "trials are measured")
    seen = len(beamline.puts())
    beamline.put("P:RING", 50)
    wait_for(lambda: live_state(data_dir).status is CampaignStatus.SUSPENDED, "it is suspended")
    beamline.put("P:RING", 300)
    code, said, complaint = finish(running)
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 12
    interrupted = [row for row in results(data_dir, "c") if row["attempts"] != "1"]
    if interrupted:  # it tripped in the midst of an attempt
        puts = [put for put in beamline.puts()[seen:] if put[0] in ("P:RING", "P:SHUTTER")]
        after = puts[puts.index(("P:RING", 50)) :]
        assert ("P:SHUTTER", 0) in after[: after.index(("P:RING", 300))]


def test_a_startup_that_raises_is_told_with_its_line(beamline: Beamline) -> None:
    profile = beamline.folder / "startup.py"
    profile.write_text("import ophyd\n\nraise OSError('no network')\n")
    text = instrument(Path("startup.py"))
    code, _, complaint = finish(beamline.run(beamline.write(instrument=text)))
    assert code == 2
    place = f"{beamline.folder / 'instrument.yaml'}:5: from.0.startup: "
    assert f"{place}{profile}:3: OSError: no network" in complaint
    assert beamline.puts() == []


def test_a_name_that_the_startup_lacks_is_told_with_near_ones(beamline: Beamline) -> None:
    text = (
        instrument().replace("use: [stage", "use: [stagee").replace("stage: {unit", "stagee: {unit")
    )
    text = text.replace("stage.y, stage.x", "").replace("stop: [stage]", "stop: []")
    campaign = CAMPAIGN.replace("stage.", "stagee.")
    code, _, complaint = finish(beamline.run(beamline.write(instrument=text, campaign=campaign)))
    assert code == 2
    place = f"{beamline.folder / 'instrument.yaml'}:5: from.0.use.0: "
    assert f"{place}no device 'stagee' in the startup; did you mean 'stage'?" in complaint
    assert beamline.puts() == []


@pytest.mark.slow
def test_a_device_that_drops_suspends_the_campaign(beamline: Beamline) -> None:
    running = beamline.run(beamline.write(instrument=instrument(), trials=8))
    data_dir = beamline.data_dir
    wait_for(lambda: count(data_dir, "measured") >= 1, "a trial is measured")
    os.kill(beamline.process.pid, signal.SIGKILL)
    suspended = wait_for(
        lambda: (state := live_state(data_dir)).status is CampaignStatus.SUSPENDED and state,
        "the campaign is suspended",
    )
    # The server takes the suspender's signal along: either is seen first.
    why = suspended.waiting_for
    assert why.startswith("a device is lost: ") or why.startswith("ring_current does not answer")
    witness = str(beamline.folder / "witness.jsonl")
    again = served(beamline.folder, "tests.beamline.profile_ioc", witness, str(beamline.port))
    next(again)
    code, said, complaint = finish(running)
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 8
    attempts = sorted(int(row["attempts"]) for row in results(data_dir, "c"))
    assert attempts[:-1] == [1] * 7, "at most the trial that ran was tried again"
    assert attempts[-1] <= 2
    next(again, None)


ASYNC = """
name: async
mode: twin
from: [{factory: tests.beamline.async_devices:make_all, use: [stage, det]}]
devices:
  stage: {unit: mm, limits: [-1, 1], tolerance: 0.001, timeout_s: 20}
baseline: [stage]
quiet: [{stop: [stage.x, stage.y]}]
"""
ASYNC_CAMPAIGN = """
name: pattern
instrument: instrument.yaml
plan: {name: bluesky.plans.count, args: {detectors: [det, stage]}}
reduce: {call: tests.beamline.reducers.channel_value}
parameters:
  x: {device: stage.x, range: [-0.2, 0.2], unit: mm}
  y: {device: stage.y, range: [-0.2, 0.2], unit: mm}
objectives: {counts: {goal: maximize}}
budget: {trials: 3}
optimizer: {method: sobol, lookahead: 0}
"""


@pytest.mark.slow
def test_devices_of_ophyd_async(tmp_path: Path) -> None:
    pytest.importorskip("ophyd_async")
    lab = Beamline(tmp_path, 0)
    campaign = lab.write(instrument=ASYNC, campaign=ASYNC_CAMPAIGN)
    code, said, complaint = finish(lab.run(campaign))
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 3
    (row, *_) = results(lab.data_dir, "c")
    (event,) = [
        document["data"]
        for name, document in lab.documents(1)
        if name == "event" and "det-channel-1-value" in document["data"]
    ]
    assert event["stage-x"] == pytest.approx(float(row["x"]))
    assert float(row["counts"]) == event["det-channel-1-value"] > 0


MINI = """
name: mini
mode: twin
devices:
  mtr:
    class: ophyd.EpicsSignal
    prefix: "mini:ph:mtr"
    kwargs: {put_complete: true}
    limits: [-1, 1]
    tolerance: 0.01
    timeout_s: 10
  det: {class: ophyd.EpicsSignalRO, prefix: "mini:ph:det", kwargs: {kind: hinted}}
  current: {class: ophyd.EpicsSignalRO, prefix: "mini:current", optional: false}
  spare: {class: ophyd.EpicsMotor, prefix: "mini:nothing", optional: true}
baseline: [current, spare]
"""
MINI_CAMPAIGN = """
name: pinhole
instrument: instrument.yaml
plan: {name: bluesky.plans.count, args: {detectors: [det], num: 2, delay: 0.6}}
reduce: {call: tests.beamline.reducers.mean_det}
parameters: {position: {device: mtr, range: [-0.5, 0.5]}}
objectives: {counts: {goal: maximize}}
budget: {trials: 2}
optimizer: {method: sobol, lookahead: 0}
"""


@pytest.mark.slow
def test_third_party_classes_on_a_third_party_server(tmp_path: Path) -> None:
    """ophyd's own classes, a plan of bluesky.plans, and the example beamline of caproto."""
    port = free_port(None)
    beamline = Beamline(tmp_path, port)
    command = [sys.executable, "-m", "caproto.ioc_examples.mini_beamline"]
    command += ["--interfaces", "127.0.0.1"]
    ports = {"EPICS_CAS_SERVER_PORT": str(port), "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1"}
    environment = os.environ | beamline.more | ports
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            campaign = beamline.write(instrument=MINI, campaign=MINI_CAMPAIGN)
            code, said, complaint = finish(beamline.run(campaign))
        finally:
            server.kill()
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 2
    assert all(float(row["counts"]) > 0 for row in results(beamline.data_dir, "c"))
    streams = {doc["name"]: doc for name, doc in beamline.documents(1) if name == "descriptor"}
    assert set(streams) == {"primary", "baseline"}
    assert set(streams["baseline"]["data_keys"]) == {"current"}, "what is absent is left out"


def test_two_devices_that_set_one_pv_are_refused(beamline: Beamline) -> None:
    more = "  other: {class: ophyd.EpicsMotor, prefix: 'P:X', limits: [-100, 100]}\nmd:"
    text = instrument().replace("md:", more)
    code, _, complaint = finish(beamline.run(beamline.write(instrument=text)))
    assert code == 2
    assert "'other' sets the PV 'P:X" in complaint
    assert "and so does 'stage'" in complaint
    assert beamline.puts() == []


def test_required_metadata_must_be_there(beamline: Beamline) -> None:
    text = instrument().replace("[proposal, sample]", "[proposal, cycle]")
    code, _, complaint = finish(beamline.run(beamline.write(instrument=text)))
    assert code == 2
    assert ": md.required: RE.md has no 'cycle'; it has beamline_id, proposal, sample" in complaint
