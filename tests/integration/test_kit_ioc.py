"""Slits, mirror pair, shutter, counter, pump and flyer over real Channel Access.

Run as a program, this file is the client: `python THIS_FILE SCENARIO` prints one JSON line.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.beamline.kit_ioc import DARK, HEIGHT, PEAK, WIDTH
from tests.channel_access import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------- server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.beamline.kit_ioc"]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.kill()


def client(scenario: str, port: int) -> Any:
    command = [sys.executable, __file__, scenario]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(port), text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# ------------------------------------------------------------------------- client


def connected(made: Any) -> Any:
    made.wait_for_connection(timeout=10)
    return made


def failed(status: Any) -> str:
    """What a status failed with."""
    try:
        status.wait(20)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it succeeded"


def refused(action: Any, *args: Any) -> str:
    try:
        action(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it was not refused"


def test_slits_are_driven_by_gap_and_centre(port):
    answer = client("slits", port)
    assert answer["start"] == [1.0, 0.5]
    assert answer["blades"] == [[-1.5, 2.5], [-0.5, 3.5]], "after a gap of 4, after a centre of 1.5"
    assert answer["read"] == {"slits_gap": 4.0, "slits_centre": 1.5}
    assert answer["units"] == "mm"
    assert answer["crossed"] == "LimitError: slits: a gap of -1 mm is none"
    assert answer["far"].startswith("LimitError")
    assert answer["stands"] == [4.0, 1.5], "neither refusal has moved anything"


def scenario_slits() -> Any:
    from devices import Slits

    slits = connected(Slits("K:SLIT", name="slits"))
    answer: dict[str, Any] = {"start": list(slits.position), "blades": []}
    for axis, value in ((slits.gap, 4.0), (slits.centre, 1.5)):
        axis.set(value).wait(20)
        answer["blades"].append([slits.lower.position, slits.upper.position])
    reading = slits.read()
    answer["read"] = {key: reading[key]["value"] for key in ("slits_gap", "slits_centre")}
    answer["units"] = slits.gap.describe()["slits_gap"]["units"]
    answer["crossed"] = refused(slits.gap.set, -1)
    answer["far"] = refused(slits.centre.set, 19)
    return answer | {"stands": list(slits.position)}


def test_a_mirror_pair_is_driven_by_pitch_and_difference(port):
    answer = client("mirror_pair", port)
    assert answer == {"mirrors": [[3.0, 3.0], [3.25, 2.75]], "position": [3.0, 0.5]}


def scenario_mirror_pair() -> Any:
    from devices import MirrorPair

    pair = connected(MirrorPair("K:PAIR", name="pair"))
    mirrors = []
    for axis, value in ((pair.pitch, 3.0), (pair.difference, 0.5)):
        axis.set(value).wait(20)
        mirrors.append([pair.first.position, pair.second.position])
    return {"mirrors": mirrors, "position": list(pair.position)}


def test_a_shutter_outlasts_a_plan_and_is_closed_by_a_plain_stop(port):
    answer = client("shutter", port)
    assert answer["opened"] == {"shutter": 1}
    assert answer["after_plan"] == 1
    assert answer["after_stop"] == 0
    assert answer["half"] == "LimitError: shutter: 0.5 is neither 1 (open) nor 0 (closed)"
    assert "ordered to 1, but the server has 0" in answer["changed"]


def scenario_shutter() -> Any:
    from devices import Shutter

    shutter = connected(Shutter("K:SHUT", name="shutter"))
    shutter.set(1).wait(10)
    answer = {"opened": {key: one["value"] for key, one in shutter.read().items()}}
    shutter.stop(success=True)
    answer["after_plan"] = shutter.position
    shutter.stop()
    deadline = time.monotonic() + 10
    while shutter.position and time.monotonic() < deadline:
        time.sleep(0.01)
    answer["after_stop"] = shutter.position
    answer["half"] = refused(shutter.set, 0.5)
    opening = shutter.set(1)
    while not shutter.command.get():
        time.sleep(0.001)
    shutter.command.put(0)
    answer["changed"] = failed(opening)
    shutter.set(0).wait(10)
    return answer


def test_a_counter_counts_as_long_as_it_is_told(port):
    answer = client("counter", port)
    rates = answer["rates"]
    assert [seconds for seconds, _ in rates] == [1.0, 4.0]
    for seconds, rate in rates:
        assert abs(rate - DARK) < 5 * (DARK / seconds) ** 0.5
    assert answer["whole"]
    assert answer["hints"] == ["counter_rate"]
    assert answer["units"] == "1/s"
    assert answer["configuration"] == {"counter_preset": 4.0}
    assert answer["alarms"] == [0, 3]  # EPICS' number for INVALID


def scenario_counter() -> Any:
    from ophyd import EpicsSignal

    from devices import CountingDetector

    counter = connected(CountingDetector("K:CNT", name="counter"))
    rates, whole = [], True
    for seconds in (1.0, 4.0):
        counter.preset.set(seconds).wait(10)
        counter.trigger().wait(10)
        reading = {key: one["value"] for key, one in counter.read().items()}
        rates.append([reading["counter_seconds"], reading["counter_rate"]])
        whole = whole and reading["counter_counts"].is_integer()
    alarms = [counter.read()["counter_rate"]["alarm_severity"]]
    fault = connected(EpicsSignal("LABWRIGHT:FAULT", name="fault"))
    fault.put('{"fault": "invalid", "pv": "K:CNT:COUNTS", "for_s": 1e6}', wait=True)
    counter.trigger().wait(10)
    alarms.append(counter.read()["counter_rate"]["alarm_severity"])
    fault.put("{}", wait=True)
    return {
        "alarms": alarms,
        "rates": rates,
        "whole": whole,
        "hints": counter.hints["fields"],
        "units": counter.describe()["counter_rate"]["units"],
        "configuration": {k: v["value"] for k, v in counter.read_configuration().items()},
    }


def test_a_pump_flows_on_after_a_plan_and_a_plain_stop_ends_it(port):
    answer = client("pump", port)
    assert answer["flow"] == pytest.approx(6.0, abs=0.02)
    assert answer["after_plan"] == pytest.approx(6.0, abs=0.02)
    assert answer["after_stop"] == 0.0
    assert answer["total"] > 0
    assert answer["units"] == ["mL/min", "mL"]
    assert answer["stopped"].startswith("Stopped: pump: stopped on the way to 9.0")


def scenario_pump() -> Any:
    from devices import FlowPump

    pump = connected(FlowPump("K:PUMP", name="pump", tolerance=0.02, timeout_s=20))
    pump.set(6.0).wait(20)
    answer: dict[str, Any] = {"flow": pump.position}
    pump.stop(success=True)
    answer["after_plan"] = pump.position
    on_the_way = pump.set(9.0)
    while pump.position < 6.5:
        time.sleep(0.001)
    pump.stop(success=True)
    answer["stopped"] = failed(on_the_way)
    pump.set(6.0).wait(20)
    pump.stop()
    deadline = time.monotonic() + 10
    while pump.position and time.monotonic() < deadline:
        time.sleep(0.01)
    answer["after_stop"] = pump.position
    keys = pump.describe()
    answer["units"] = [keys["pump"]["units"], keys["pump_total"]["units"]]
    return answer | {"total": pump.total.get()}


def test_a_flight_that_ends_elsewhere_has_failed(port):
    answer = client("flight", port)
    assert answer["outside"].startswith("LimitError")
    assert answer["twice"] == "DeviceError: flyer is flying already"
    assert answer["stopped"].startswith("MoveFailed: flyer: the flight to 6.0 ended on ")
    assert answer["idle"] == "DeviceError: flyer is not flying"
    assert answer["again"] == "it succeeded", "a failed flight leaves nothing behind"
    at = answer["at"]
    assert len(at) > 5
    assert at == sorted(at)


def scenario_flight() -> Any:
    from devices import Flyer

    flyer = connected(Flyer("K:X", name="flyer", signal="K:CNT:RATE", timeout_s=20))
    flyer.axis.move(-2.0, wait=True, timeout=20)
    usual = flyer.axis.velocity.get()
    flyer.axis.velocity.put(0.5, wait=True)  # slow enough to be stopped in flight
    flyer.stop_at.put(30.0)
    answer = {"outside": refused(flyer.kickoff), "idle": refused(flyer.complete)}
    flyer.stop_at.put(6.0)
    flyer.kickoff().wait(20)
    ended = flyer.complete()
    answer["twice"] = refused(flyer.kickoff)
    while flyer.axis.position < -1.0:
        time.sleep(0.001)
    flyer.stop()
    answer["stopped"] = failed(ended)
    flyer.kickoff().wait(20)
    flyer.stop()  # as after an abort: nobody asks how this flight ended
    give_up = time.monotonic() + 20
    while "flying already" in refused(flyer.kickoff) and time.monotonic() < give_up:
        time.sleep(0.01)
    answer["again"] = failed(flyer.complete())
    at = [event["data"]["flyer_axis"] for event in flyer.collect()]
    flyer.axis.velocity.put(usual, wait=True)
    return answer | {"at": at}


def page(name: str, containing: str) -> Any:
    """The YAML block of a reference page that has this text in it."""
    text = (ROOT / "docs/reference" / name).read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (found,) = (block for block in blocks if containing in block)
    return yaml.safe_load(found)


@pytest.mark.parametrize("plan", ["fly_scan", "scan_peak"])
def test_a_trial_scans_the_peak(port, plan):
    answer = client(f"trial_{plan}", port)
    for name, truth in {"centre": PEAK, "width": WIDTH, "height": HEIGHT}.items():
        mean, sem, unit = answer["outcomes"][name]
        # The error of the fit knows nothing of when a value and its readback were published.
        late = 0.02 if plan == "fly_scan" else 0.0
        assert mean == pytest.approx(truth, abs=5 * sem + late)
        assert unit == ("1/s" if name == "height" else "mm")
    assert answer["readings"] >= 21
    assert answer["velocity"] == 5.0, "the speed of the flight was taken back"


def scenario_trial(plan: str, **args: Any) -> Any:
    """A trial with the instrument and the campaign as the reference pages have them."""
    from orchestrator.adapters.documents.run_documents import read_runs
    from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
    from orchestrator.adapters.reduction.reducer import DocumentReducer
    from orchestrator.domain.envelope import envelope_of
    from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
    from orchestrator.ports import PlanRequest

    about = page("devices.md", "name: kit")
    about["devices"]["flyer"]["kwargs"]["speed"] = 0.5  # a server that waits still gives points
    instrument = InstrumentSpec.model_validate_json(json.dumps(about))
    spec = page("plans.md", "name: fly_scan")
    spec["plan"] = {
        "name": f"plans.{plan}.{plan}",
        "args": {key: spec["plan"]["args"][key] for key in ("start", "stop")} | args,
    }
    campaign = CampaignSpec.model_validate_json(json.dumps(spec))
    with tempfile.TemporaryDirectory() as folder:
        executor = BlueskyExecutor(instrument, envelope_of(instrument), Path(folder), time_scale=10)
        executor.connect()
        settings = {"shutter": 1, "slits.gap": 2.5}
        request = PlanRequest(campaign, settings, {}, {"trial_id": 1}, "runs/1.jsonl", 40)
        evidence = executor.run(request, lambda: None)
        reduction = DocumentReducer(Path(folder)).reduce(campaign, evidence.documents)
        (run,) = read_runs(Path(folder) / evidence.documents)
        devices = executor._connected().devices.all
        return {
            "outcomes": {n: [o.mean, o.sem, o.unit] for n, o in reduction.outcomes.items()},
            "readings": len(run["primary"]),
            "velocity": devices["flyer"].axis.velocity.get(use_monitor=False),
        }


def scenario_trial_fly_scan() -> Any:
    return scenario_trial("fly_scan", flyer="flyer")


def scenario_trial_scan_peak() -> Any:
    return scenario_trial("scan_peak", axis="flyer.axis", detector="counter")


if __name__ == "__main__":
    print(json.dumps(globals()[f"scenario_{sys.argv[1]}"]()), flush=True)
    os._exit(0)  # threads of Channel Access need not be waited for
