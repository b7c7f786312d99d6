"""The flow-chemistry twin over real Channel Access: server and client are child processes.

Run as a program, this file is the client: `python THIS_FILE SCENARIO [JSON]` prints one JSON line.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.channel_access import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SERVE_DIRECTLY = """
import sys
from simulators import serve, twins
from simulators.flow_chemistry import instrument
serve.twin_module = lambda name: instrument
sys.exit(serve.main(sys.argv[1:]))
"""
PREFIXES = {"temperature": "FC:TEMP", "residence_time": "FC:TAU"}
PREFIXES |= {"equivalents": "FC:EQ", "concentration": "FC:CONC"}
TOLERANCES = {"temperature": 0.2, "residence_time": 0.01}
TOLERANCES |= {"equivalents": 0.01, "concentration": 0.002}
POINTS = [[77.7, 0.8, 3.3, 0.31], [40.0, 1.9, 1.1, 0.12], [40.0, 1.9, 1.1, 0.12]]


# ------------------------------------------------------------------------- server


def server_command(*arguments: str) -> list[str]:
    installed = any(p.name == "flow-chemistry" for p in entry_points(group="labwright.twins"))
    program = ["-m", "simulators.serve"] if installed else ["-c", SERVE_DIRECTLY]
    return [sys.executable, *program, "flow-chemistry", *arguments]


@contextmanager
def server(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        server_command(*arguments),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with server("--seed", "5") as (_, about):
        yield about["port"]


def client(scenario: str, port: int, argument: Any = None, on_line: Any = None) -> Any:
    with subprocess.Popen(
        [sys.executable, __file__, scenario, json.dumps(argument)],
        cwd=ROOT,
        env=environment(port),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        watchdog = time.monotonic() + 90
        if on_line is not None:
            assert process.stdout.readline() == "now\n"
            on_line()
        out, err = process.communicate(timeout=watchdog - time.monotonic())
    assert process.returncode == 0, err
    return json.loads(out)


def test_listens_on_loopback_only_and_ends_quietly():
    with server("--seed", "3", "--time-compression", "100") as (process, about):
        assert about["twin"] == "flow-chemistry"
        assert (about["seed"], about["time_compression"]) == (3, 100.0)
        assert about["pid"] == process.pid
        connections = psutil.Process(process.pid).net_connections("all")
        network = [c for c in connections if c.family in (socket.AF_INET, socket.AF_INET6)]
        assert {c.laddr.ip for c in network} == {"127.0.0.1"}
        assert about["port"] in {c.laddr.port for c in network}
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_second_server_on_the_port_is_refused(port):
    second = subprocess.run(
        server_command("--port", str(port)), cwd=ROOT, text=True, capture_output=True, timeout=60
    )
    assert second.returncode == 2
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert str(port) in second.stderr


def test_server_costs_nothing_while_nothing_moves(port):
    process = next(
        p
        for p in psutil.Process().children()
        if any(c.laddr.port == port for c in p.net_connections("tcp"))
    )
    process.cpu_percent()
    time.sleep(1.0)  # a measurement over time, not a wait for something
    assert process.cpu_percent() < 5


# ------------------------------------------------------------------------- client


def devices(**options: Any) -> Any:
    from devices.loader import load

    entries: dict[str, dict[str, Any]] = {
        name: {
            "class": "devices.SetpointReadback",
            "prefix": prefix,
            "tolerance": TOLERANCES[name],
            **options,
        }
        for name, prefix in PREFIXES.items()
    }
    entries["hplc"] = {"class": "devices.TriggeredDetector", "prefix": "FC:HPLC", **options}
    return load(entries, connect_timeout_s=10, time_scale=600)


def failure(status: Any, seconds: float = 10) -> str | None:
    try:
        status.wait(seconds)
    except Exception as error:  # its type is what the test is about
        return type(error).__name__
    return None


def test_identity_limits_units_and_channels(port):
    answer = client("identity", port)
    assert answer["seed"] == 5
    assert answer["compression"] == 600.0
    assert len(answer["instance"]) == 32
    assert answer["limits"] == [30.0, 120.0]
    assert answer["units"] == {
        "temperature": "degC",
        "temperature_setpoint": "degC",
        "hplc_ortho": "mol/L",
        "hplc_peak_area": "mAU*s",
    }
    assert answer["channels"] == ["substrate", "amine", "ortho", "para", "bis", "peak_area"]
    assert answer["pressure"] == 3.0
    assert answer["pressure_age"] < 2.5


def scenario_identity(_: Any) -> Any:
    from ophyd import EpicsSignalRO

    found = devices()
    extra = {}
    names = ["LABWRIGHT:INSTANCE", "LABWRIGHT:SEED", "LABWRIGHT:TIME_COMPRESSION", "FC:PRESSURE:RB"]
    for name in names:
        extra[name] = EpicsSignalRO(name, name=name)
        extra[name].wait_for_connection(timeout=5)
    keys = {**found["temperature"].describe(), **found["hplc"].describe()}
    wanted = ["temperature", "temperature_setpoint", "hplc_ortho", "hplc_peak_area"]
    pressure = extra["FC:PRESSURE:RB"].read()["FC:PRESSURE:RB"]
    return {
        "instance": extra["LABWRIGHT:INSTANCE"].get(),
        "seed": extra["LABWRIGHT:SEED"].get(),
        "compression": extra["LABWRIGHT:TIME_COMPRESSION"].get(),
        "limits": found["temperature"].ioc_limits,
        "units": {name: keys[name]["units"] for name in wanted},
        "channels": found["hplc"].channels,
        "pressure": pressure["value"],
        "pressure_age": time.time() - pressure["timestamp"],
    }


def test_what_reads_beyond_its_alarm_limits_is_in_alarm(port):
    answer = client("alarms", port)
    assert answer["limits"] == [None, 1.0, 6.0, 8.0]  # LOLO is NaN: there is none
    # Severity and status in EPICS' numbers: MAJOR and HIHI, MINOR and HIGH, MINOR and LOW.
    assert answer["alarms"] == [[0, 0], [2, 3], [0, 0], [1, 4], [0, 0], [1, 6], [0, 0]]


def scenario_alarms(_: Any) -> Any:
    import epics

    seen: list[list[int]] = []

    def hear(*, severity: int, status: int, **_: Any) -> None:
        if seen[-1:] != [[severity, status]]:
            seen.append([severity, status])

    pressure = epics.PV("FC:PRESSURE:RB", auto_monitor=True)
    assert pressure.wait_for_connection(10)
    pressure.add_callback(hear)
    until(lambda: seen)
    on_fault = {"fault": "trip", "pv": "FC:PRESSURE:FAULT", "for_s": 1e6}
    on_reading = {"fault": "spike", "pv": "FC:PRESSURE:RB", "for_s": 1e6}
    for fault in ({**on_fault, "to": 9}, {**on_fault, "to": 3.5}, {**on_reading, "by": -2.5}):
        for order in (fault, {}):
            news = len(seen)
            epics.caput("LABWRIGHT:FAULT", json.dumps(order), wait=True)
            until(lambda: len(seen) > news)  # noqa: B023
    control = pressure.get_ctrlvars()
    limits = ("lower_alarm", "lower_warning", "upper_warning", "upper_alarm")
    values = [control[f"{one}_limit"] for one in limits]
    return {"alarms": seen, "limits": [one if one == one else None for one in values]}


def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_a_set_is_done_only_in_position(port):
    answer = client("moves", port)
    assert answer["reached"] == [100.0, 100.0, 99.9, 30.0]
    assert answer["read"] == [[value, value] for value in answer["reached"]]
    assert answer["refused"] == "PutRefused"
    assert answer["after_refusal"] == [30.0, 30.0, 0]
    assert answer["limits"] == ["LimitError", "LimitError"]
    assert answer["superseded"] == ["Superseded", None, 60.0]
    assert answer["changed"] == "SetpointChanged"
    assert answer["stopped"] == "Stopped"
    assert answer["held"] == answer["held_setpoint"]
    assert 30 < answer["held"] < 120
    assert answer["settled_after"] >= 0.2
    assert answer["put_then_get"] < 0.03  # 0.045 where small packets wait for an acknowledgement


def scenario_moves(_: Any) -> Any:
    from ophyd import EpicsSignal

    temperature = devices()["temperature"]
    answer: dict[str, Any] = {"reached": [], "read": []}
    for value in (100.0, 100.0, 99.9, 30.0):
        temperature.set(value).wait(10)
        reading = temperature.read()
        answer["reached"].append(temperature.position)
        answer["read"].append([each["value"] for each in reading.values()])
    answer["limits"] = []
    for value in (20.0, float("nan")):
        try:
            temperature.set(value)
        except Exception as error:  # its type is what the test is about
            answer["limits"].append(type(error).__name__)
    wide = devices(limits=[0, 500])["temperature"]
    answer["refused"] = failure(wide.set(300.0))
    severity = int(wide.setpoint.alarm_severity)
    answer["after_refusal"] = [wide.setpoint.get(), wide.position, severity]
    first, second = temperature.set(90.0), temperature.set(60.0)
    answer["superseded"] = [failure(first), failure(second), temperature.position]
    someone_else = EpicsSignal("FC:TEMP:SP", name="someone_else")
    someone_else.wait_for_connection(timeout=5)
    status = temperature.set(120.0)
    while temperature.position < 62 or not getattr(temperature._move, "_taken", False):
        time.sleep(0.001)
    someone_else.put(40.0)
    answer["changed"] = failure(status)
    status = temperature.set(120.0)
    while temperature.position < 50:
        pass
    temperature.stop(success=True)
    answer["stopped"] = failure(status)
    answer["held"] = temperature.position
    answer["held_setpoint"] = temperature.setpoint.get()
    elapsed = []
    for _ in range(11):
        started = time.monotonic()
        temperature.set(temperature.position).wait(10)
        elapsed.append(time.monotonic() - started)
    answer["put_then_get"] = min(elapsed)  # others may have waited for a processor
    patient = devices(settle_s=0.2 * 600)["equivalents"]
    started = time.monotonic()
    patient.set(patient.position).wait(10)
    answer["settled_after"] = time.monotonic() - started
    return answer


def test_the_run_engine_stop_after_success_writes_nothing(port):
    answer = client("run_engine", port)
    assert answer["before"] == answer["after"]  # time stamps of setpoint and stop included
    assert answer["position"] == 55.0
    assert answer["exit_status"] == "success"
    assert answer["event"]["temperature"] == 55.0


def scenario_run_engine(_: Any) -> Any:
    import bluesky.plan_stubs as bps
    from bluesky import RunEngine
    from bluesky.plans import count

    found = devices()
    temperature, hplc = found["temperature"], found["hplc"]
    engine = RunEngine({}, context_managers=[], during_task=None)
    documents: list[Any] = []
    seen: dict[str, Any] = {}

    def state() -> Any:
        return [temperature.setpoint.read(), temperature.hold.read()]

    def plan() -> Any:
        yield from bps.mv(temperature, 55.0)
        seen["before"] = state()
        yield from count([hplc, temperature])

    engine(plan(), lambda name, document: documents.append((name, document)))
    return {
        "before": seen["before"],
        "after": state(),
        "position": temperature.position,
        "exit_status": documents[-1][1]["exit_status"],
        "event": next(doc["data"] for name, doc in documents if name == "event"),
    }


def test_same_proposals_give_the_same_data_whatever_the_timing_and_after_a_restart(port):
    hurried = client("measure", port, {"points": POINTS, "pause": 0.0})
    with server("--seed", "5", "--time-compression", "2000") as (_, about):
        dawdling = client("measure", about["port"], {"points": POINTS, "pause": 0.05})
    assert hurried == dawdling
    assert hurried[1] == hurried[2]  # set again to the same values: the count starts again
    assert hurried[0][0] != hurried[0][1]  # a second trigger under the same setpoints


def scenario_measure(argument: Any) -> Any:
    found = devices()
    results = []
    for point in argument["points"]:
        statuses = []
        for name, value in zip(PREFIXES, point, strict=True):
            statuses.append(found[name].set(value))
            time.sleep(argument["pause"])
        for status in statuses:
            status.wait(10)
        readings = []
        for _ in range(2):
            time.sleep(argument["pause"])
            found["hplc"].trigger().wait(10)
            readings.append([each["value"] for each in found["hplc"].read().values()])
        results.append(readings)
    return results


def test_hung_devices_time_out_and_can_be_stopped():
    with server("--time-compression", "1") as (_, about):
        answer = client("hang", about["port"])
    assert answer["trigger"] == "StatusTimeoutError"
    assert answer["set"] == "StatusTimeoutError"
    assert answer["moving"] == [True, False]
    assert answer["setpoint"] == answer["position"] < 120


def scenario_hang(_: Any) -> Any:
    found = devices(timeout_s=0.3)
    temperature, hplc = found["temperature"], found["hplc"]
    answer: dict[str, Any] = {"trigger": failure(hplc.trigger()), "set": None}
    answer["set"] = failure(temperature.set(120.0))
    answer["moving"] = [temperature.moving]
    temperature.stop(success=False)
    answer["moving"].append(temperature.moving)
    deadline = time.monotonic() + 5
    while temperature.setpoint.get() == 120.0 and time.monotonic() < deadline:
        pass
    return answer | {"setpoint": temperature.setpoint.get(), "position": temperature.position}


def test_a_server_that_dies_during_a_trigger_or_move_is_no_result():
    with server("--time-compression", "60") as (process, about):
        answer = client("dying", about["port"], on_line=process.kill)
    assert answer["trigger"] is not None
    assert answer["set"] is not None


def scenario_dying(_: Any) -> Any:
    found = devices(timeout_s=5.0)
    trigger, move = found["hplc"].trigger(), found["temperature"].set(120.0)
    while found["temperature"].position < 32 or found["hplc"].acquire.get() == 0:
        pass
    print("now", flush=True)
    return {"trigger": failure(trigger), "set": failure(move)}


def test_loader_names_every_device_that_is_missing(port):
    answer = client("loader", port)
    assert sorted(answer["reasons"]) == ["heater", "pump", "scale"]
    assert "NO:HEATER:RB" in answer["reasons"]["heater"]
    assert "NO:PUMP" in answer["reasons"]["pump"]
    assert "SetpointReadback" in answer["reasons"]["scale"]
    assert answer["seconds"] < 7.5, "one after another would take 8"
    assert answer["present"] == ["temperature"]
    assert list(answer["missing"]) == ["heater"]


def scenario_loader(_: Any) -> Any:
    from devices.errors import DevicesUnavailable
    from devices.loader import load

    kind = {"class": "devices.SetpointReadback", "tolerance": 0.2}
    good = {"temperature": {**kind, "prefix": "FC:TEMP"}}
    bad = {
        "heater": {**kind, "prefix": "NO:HEATER"},
        "pump": {"class": "devices.TriggeredDetector", "prefix": "NO:PUMP"},
        "scale": {"class": "devices.SetpointReadbac", "prefix": "FC:EQ"},
    }
    started = time.monotonic()
    answer: dict[str, Any] = {}
    try:
        load({**good, **bad}, connect_timeout_s=4.0)
    except DevicesUnavailable as error:
        answer = {"reasons": error.reasons, "seconds": time.monotonic() - started}
    optional = {"heater": {**bad["heater"], "optional": True}}
    found = load({**good, **optional}, connect_timeout_s=4.0)
    return answer | {"present": list(found), "missing": found.missing}


if __name__ == "__main__":
    print(json.dumps(globals()[f"scenario_{sys.argv[1]}"](json.loads(sys.argv[2]))), flush=True)
