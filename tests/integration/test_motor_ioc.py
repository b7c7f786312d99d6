"""Motor records of the twins over real Channel Access, driven by the real `ophyd.EpicsMotor`.

Run as a program, this file is the client: `python THIS_FILE SCENARIO` prints one JSON line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.channel_access import environment

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


# ------------------------------------------------------------------------- server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A twin with motors; five times slower than usual, so that there is time to act on the way."""
    yield from served("12")


@pytest.fixture
def fast_port() -> Iterator[int]:
    """Dark time and refill of a beam dump take half a second each."""
    yield from served("600")


def served(compression: str) -> Iterator[int]:
    command = [sys.executable, "-m", "simulators.serve", "kb-mirrors"]
    command += ["--seed", "5", "--time-compression", compression]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["port"]
        finally:
            process.kill()


def client(scenario: str, port: int) -> Any:
    command = [sys.executable, __file__, scenario]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(port), text=True, capture_output=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ------------------------------------------------------------------------- client


def motor(record: str = "KBV:PITCH", name: str = "pitch") -> Any:
    from ophyd import EpicsMotor

    made = EpicsMotor(record, name=name, timeout=20)
    made.wait_for_connection(all_signals=True, timeout=10)
    return made


def signal(pv: str, **options: Any) -> Any:
    from ophyd import EpicsSignal

    made = EpicsSignal(pv, name=pv, **options)
    made.wait_for_connection(timeout=10)
    return made


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)  # the client's own threads want to be heard


def unchecked(axis: Any) -> Any:
    """The same motor without ophyd's own look at the limits, as after a change of them."""
    axis.check_value = axis.user_setpoint.check_value = lambda *_, **__: None
    return axis


def fresh(axis: Any) -> dict[str, float]:
    names = ("user_setpoint", "user_readback", "motor_done_move", "motor_is_moving")
    return {name: getattr(axis, name).get(use_monitor=False) for name in names}


def test_what_a_motor_says_of_itself(port):
    answer = client("identity", port)
    assert answer["pitch"] == {
        "limits": [-10.0, 10.0],
        "egu": "urad",
        "precision": 4,
        "position": 0.0,
        "moving": False,
        "units": "urad",
        "choices": [["Pos", "Neg"], ["Use", "Set"], ["Variable", "Frozen"]],
    }
    assert answer["configuration"] == {
        "pitch_user_offset": 0.0,
        "pitch_user_offset_dir": 0,
        "pitch_velocity": 20.0,
        "pitch_acceleration": 0.1,
        "pitch_motor_egu": "urad",
    }
    assert answer["bare_name"] == 0.0
    assert answer["type"] == "motor"
    assert answer["spmg"] == ["Go", ["Stop", "Pause", "Move", "Go"]]
    assert answer["put"] == [
        "Pause",
        "Move",
        "Move",
        "Go",
    ]  # by text, by index, out of range, by text


def scenario_identity() -> Any:
    axis = motor()
    enums = (axis.user_offset_dir, axis.set_use_switch, axis.offset_freeze_switch)
    spmg = signal("KBV:PITCH.SPMG", string=True)
    was, put = spmg.get(), []
    for choice in ("Pause", 2, 7, "Go"):
        spmg.put(choice, wait=True)
        put.append(spmg.get(use_monitor=False))
    return {
        "put": put,
        "pitch": {
            "limits": axis.limits,
            "egu": axis.egu,
            "precision": axis.precision,
            "position": axis.position,
            "moving": axis.moving,
            "units": axis.describe()["pitch"]["units"],
            "choices": [each.enum_strs for each in enums],
        },
        "configuration": {n: v["value"] for n, v in axis.read_configuration().items()},
        "bare_name": signal("KBV:PITCH").get(),
        "type": signal("KBV:PITCH.RTYP").get(),
        "spmg": [was, spmg.enum_strs],
    }


def test_a_move_is_done_exactly_on_the_setpoint(port):
    answer = client("moves", port)
    for value, (read, success) in answer["reached"].items():
        assert read == [float(value), float(value), float(value)]
        assert success
    assert 0.05 < answer["seconds"] < 3
    assert answer["position_at_done"] == -7.654321
    assert answer["complete"] == [5.0, 1]


def scenario_moves() -> Any:
    axis = motor("KBV:BNDU", "bend")
    answer: dict[str, Any] = {"reached": {}}
    for value in (0.1, 0.1, -0.123456789, 0.5, 0.0):  # one stands still, some come from above
        status = axis.set(value)
        status.wait(20)
        read = [each["value"] for each in axis.read().values()]
        answer["reached"][str(value)] = [[*read, axis.position], status.success]
    pitch = motor()
    started = time.monotonic()
    status = pitch.set(-7.654321)
    done: list[float] = []
    status.add_callback(lambda _: done.append(pitch.user_readback.get()))
    status.wait(20)
    until(lambda: bool(done))
    answer["position_at_done"] = done[0]
    answer["seconds"] = time.monotonic() - started
    setpoint = signal("KBV:PITCH.VAL", put_complete=True)
    setpoint.set(5.0).wait(20)  # what a client without a motor class waits for
    readings = fresh(pitch)
    answer["complete"] = [readings["user_readback"], readings["motor_done_move"]]
    return answer


def test_a_stop_on_the_way_holds_and_is_over(port):
    answer = client("stop", port)
    assert 0.0 < answer["held"]["user_readback"] < 0.5
    assert answer["held"]["user_setpoint"] == answer["held"]["user_readback"]
    assert answer["held"]["motor_done_move"] == 1
    assert answer["stop_field"] == 0
    assert answer["at_rest"] == answer["held"]
    assert answer["next"] == 0.0  # a stop that is not cleared would hold this move, too


def scenario_stop() -> Any:
    axis = motor("KBV:BNDU", "bend")
    axis.set(0.0).wait(20)
    usual = axis.velocity.get()
    axis.velocity.put(0.02, wait=True)  # slow enough to be stopped on the way
    status = axis.set(0.5)
    until(lambda: axis.position > 0.05)
    axis.stop()
    until(lambda: status.done)
    until(lambda: not axis.moving)
    answer: dict[str, Any] = {"held": fresh(axis)}
    answer["stop_field"] = axis.motor_stop.get(use_monitor=False)
    axis.motor_stop.put(1, wait=True)
    answer["at_rest"] = fresh(axis)
    axis.velocity.put(usual, wait=True)
    axis.set(0.0).wait(20)
    return answer | {"next": axis.position}


def test_outside_the_limits_nothing_moves(port):
    answer = client("limits", port)
    assert answer["asked"] == ["LimitError", "LimitError"]
    assert answer["refused"] == {"done": True, "lvio": 1, "still": [2.0, 2.0]}
    assert answer["after"] == [3.0, 0]
    assert answer["narrowed"] == ["LimitError", [-10.0, 5.0]]
    assert answer["widened"] == [12.0, 12.0]
    assert answer["beyond_the_switch"] == 15.0


def scenario_limits() -> Any:
    axis, lvio = motor(), signal("KBV:PITCH.LVIO")
    axis.set(2.0).wait(20)
    answer: dict[str, Any] = {"asked": [raised(axis, 10.001), raised(axis, float("nan"))]}
    rude = unchecked(motor())
    status = rude.set(11.0)
    status.wait(20)  # EpicsMotor calls it a success, so whoever moves must look where it stands
    still = fresh(rude)
    answer["refused"] = {
        "done": status.done,
        "lvio": lvio.get(use_monitor=False),
        "still": [still["user_setpoint"], still["user_readback"]],
    }
    axis.set(3.0).wait(20)
    answer["after"] = [axis.position, lvio.get(use_monitor=False)]
    axis.set_lim(-10.0, 5.0)
    until(lambda: axis.limits == (-10.0, 5.0))
    answer["narrowed"] = [raised(axis, 6.0), axis.limits]
    axis.set_lim(-10.0, 15.0)
    until(lambda: axis.limits == (-10.0, 15.0))
    axis.set(12.0).wait(20)
    answer["widened"] = [axis.position, axis.user_setpoint.get()]
    axis.high_limit_travel.put(31.0)
    axis.set(0.0).wait(20)
    answer["beyond_the_switch"] = axis.high_limit_travel.get(use_monitor=False)
    axis.set_lim(-10.0, 10.0)
    until(lambda: axis.limits == (-10.0, 10.0))
    return answer


def raised(axis: Any, value: float) -> str | None:
    try:
        axis.set(value)
    except Exception as error:  # its type is what the test is about
        return type(error).__name__
    return None


def test_home_and_the_offset(port):
    answer = client("offset", port)
    assert answer["redefined"] == [1.0, 1.0, [-12.0, 8.0]]
    assert answer["moved"] == [2.0, 4.0]
    assert answer["home"] == [-2.0, 0.0, True]
    assert answer["back"] == [0.0, [-10.0, 10.0]]


def scenario_offset() -> Any:
    axis, dial = motor("KBH:PITCH"), signal("KBH:PITCH.DRBV", write_pv="KBH:PITCH.OFF")
    axis.set(3.0).wait(20)
    axis.set_current_position(1.0)
    until(lambda: axis.limits == (-12.0, 8.0))
    answer: dict[str, Any] = {"redefined": [axis.position, axis.user_setpoint.get(), axis.limits]}
    axis.set(2.0).wait(20)
    answer["moved"] = [axis.position, dial.get(use_monitor=False)]
    status = axis.home("forward", wait=True, timeout=20)
    answer["home"] = [axis.position, dial.get(use_monitor=False), status.success]
    axis.user_offset.put(0.0, wait=True)
    until(lambda: axis.limits == (-10.0, 10.0))
    return answer | {"back": [axis.position, axis.limits]}


def test_the_run_engine_stop_after_success_changes_nothing(port):
    answer = client("run_engine", port)
    assert answer["exit_status"] == "success"
    assert answer["event"] == 1.25
    assert answer["setpoint_before"] == answer["setpoint_after"]
    assert answer["first"] == answer["again"]
    assert answer["first"] != answer["second"]  # the stop did not start the count anew


def scenario_run_engine() -> Any:
    import bluesky.plan_stubs as bps
    from bluesky import RunEngine
    from bluesky.plans import count

    from devices import TriggeredDetector

    axis, spot = motor(), TriggeredDetector("KB:SPOT", name="spot", timeout_s=20)
    spot.wait_for_connection(timeout=10)
    engine = RunEngine({}, context_managers=[], during_task=None)
    documents: list[Any] = []
    engine.subscribe(lambda name, document: documents.append((name, document)))

    def events() -> list[Any]:
        return [document["data"] for name, document in documents if name == "event"]

    def stops() -> list[Any]:
        return [document["exit_status"] for name, document in documents if name == "stop"]

    def measured() -> Any:
        engine(count([spot, axis]))
        return {k: v for k, v in events()[-1].items() if k.startswith("spot")}

    engine(bps.mv(axis, 1.25))
    before = axis.user_setpoint.read()
    first = measured()
    after = axis.user_setpoint.read()
    second = measured()
    engine(bps.mv(axis, 0.0))
    engine(bps.mv(axis, 1.25))
    return {
        "first": first,
        "second": second,
        "again": measured(),
        "setpoint_before": before,
        "setpoint_after": after,
        "event": events()[0]["pitch"],
        "exit_status": stops()[0],
    }


def test_a_dumped_beam_leaves_no_light_and_comes_back(port):
    answer = client("dump", port)
    assert answer["before"] == 200.0
    assert answer["dumped"] == 0.0
    assert answer["flux"] == 0.0
    assert answer["rising"]


def scenario_dump() -> Any:
    from devices import TriggeredDetector

    current, dump = signal("SR:CURRENT", write_pv="SR:DUMP"), signal("SR:DUMP")
    spot = TriggeredDetector("KB:SPOT", name="spot", timeout_s=20)
    spot.wait_for_connection(timeout=10)
    answer: dict[str, Any] = {"before": current.get(use_monitor=False)}
    dump.put(1, wait=True)
    answer["dumped"] = current.get(use_monitor=False)
    spot.trigger().wait(20)
    answer["flux"] = spot.read()["spot_flux"]["value"]
    return answer | {"rising": current.get(use_monitor=False) < 200.0}


def test_a_dump_by_a_fault_lasts_as_long_after_a_twin_has_stood_still(fast_port):
    seen = client("late_dump", fast_port)
    assert seen[0] == 200.0
    assert 0.0 in seen
    assert any(0.0 < current < 200.0 for current in seen), "the ring is filled bit by bit"


def scenario_late_dump() -> Any:
    current, fault = signal("SR:CURRENT", auto_monitor=True), signal("LABWRIGHT:FAULT")
    seen: list[float] = []
    current.subscribe(lambda *, value, **_: seen.append(value))
    time.sleep(1.5)  # 900 s of lab time stand still, more than a dump lasts
    fault.put('{"fault": "trip", "pv": "SR:DUMP", "to": 1, "for_s": 1}', wait=True)
    until(lambda: 0.0 in seen and seen[-1] == 200.0)
    return seen


def test_a_trip_moves_a_motor_of_a_twin_that_stands_still(port):
    assert client("tripped_axis", port) == {"tripped": True, "back": True}


def scenario_tripped_axis() -> Any:
    axis, fault = motor("SMP:Z", "z"), signal("LABWRIGHT:FAULT")
    axis.set(0.0).wait(20)
    fault.put('{"fault": "trip", "pv": "SMP:Z.VAL", "to": 1.0, "for_s": 1}', wait=True)
    until(lambda: abs(axis.position - 1.0) < 1e-3)
    answer = {"tripped": True}
    until(lambda: abs(axis.position) < 1e-3)
    return answer | {"back": True}


def test_a_motor_at_its_limit_switch_is_in_alarm(port):
    answer = client("alarm", port)
    assert answer["inside"] == [0, 0, "NO_ALARM"]
    assert answer["at_the_switch"] == [2, 4, "MAJOR"]  # MAJOR and HIGH, in EPICS' numbers
    assert answer["move"] is False  # ophyd fails a move that ends in alarm
    assert answer["back"] == [0, 0, "NO_ALARM"]


def scenario_alarm() -> Any:
    axis, severity = motor("SMP:Z", "z"), signal("SMP:Z.SEVR", string=True)

    def alarm() -> list[Any]:
        return [*alarm_of(axis.user_readback), severity.get(use_monitor=False)]

    answer: dict[str, Any] = {"inside": alarm()}
    axis.set_lim(-2.0, 2.5)
    until(lambda: axis.limits == (-2.0, 2.5))
    status = axis.set(2.5)
    until(lambda: status.done)
    answer |= {"move": status.success, "at_the_switch": alarm()}
    axis.set_lim(-2.0, 2.0)
    axis.set(0.0).wait(20)
    return answer | {"back": alarm()}


def test_a_limit_by_a_fault_is_a_limit_of_the_record(port):
    answer = client("limit_fault", port)
    assert answer["beyond"] == {"success": True, "lvio": 1, "still": [2.0, 2.0], "heard": [0, 1]}
    assert answer["told"] == answer["limits"]  # nobody is told, else ophyd would not put at all
    assert answer["labwright"] == ["not_in_position", "pitch was set to 9.0 but reads 2.0 urad"]
    assert answer["afterwards"] == {"success": True, "lvio": 0, "still": [9.0, 9.0]}


def scenario_limit_fault() -> Any:
    axis, fault = motor(), signal("LABWRIGHT:FAULT")
    lvio = signal("KBV:PITCH.LVIO")

    def moved(target: float) -> dict[str, Any]:
        status = axis.set(target)
        status.wait(20)
        still = fresh(axis)
        return {
            "success": status.success,
            "lvio": lvio.get(use_monitor=False),
            "still": [still["user_setpoint"], still["user_readback"]],
        }

    moved(2.0)
    limits = fresh_limits(axis)
    order = {"fault": "limit", "pv": "KBV:PITCH.VAL", "limits": [0, 5], "for_s": 1e6}
    fault.put(json.dumps(order), wait=True)
    until(lambda: fault.get(as_string=True) == "limit KBV:PITCH.VAL")
    heard: list[int] = []
    axis.motor_done_move.subscribe(lambda *, value, **_: heard.append(int(value)), run=False)
    axis.motor_is_moving.subscribe(lambda *, value, **_: heard.append(10 + int(value)), run=False)
    heard.clear()
    beyond = moved(9.0)
    until(lambda: heard[-1:] == [1])
    answer: dict[str, Any] = {"beyond": beyond | {"heard": heard[:]}}
    answer |= {"limits": limits, "told": fresh_limits(axis)}
    answer["labwright"] = trial("pitch", 9.0)
    fault.put("{}", wait=True)
    until(lambda: not fault.get(as_string=True))
    answer["afterwards"] = moved(9.0)
    moved(0.0)
    return answer


def fresh_limits(axis: Any) -> list[float]:
    fields = (axis.low_limit_travel, axis.high_limit_travel)
    return [*axis.limits, *(field.get(use_monitor=False) for field in fields)]


def trial(name: str, target: float) -> list[str]:
    """Why Labwright's attempt failed that had to set the axis there."""
    from orchestrator.domain.errors import PlanFailed
    from tests.unit.adapters.executor_lab import Lab

    axis = {"class": "ophyd.EpicsMotor", "prefix": "KBV:PITCH", "unit": "urad"}
    axis |= {"limits": [-10, 10], "tolerance": 0.01, "timeout_s": 20}
    current = {"class": "ophyd.EpicsSignalRO", "prefix": "SR:CURRENT"}
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), {"devices": {name: axis, "current": current}})
        try:
            lab.run("bluesky.plans.count", {"detectors": ["current"]}, {name: target})
        except PlanFailed as error:
            return [error.reason, str(error).partition(" (")[0]]
    return ["", ""]


def test_any_kind_of_value_can_be_in_invalid_alarm(port):
    answer = client("invalid", port)
    for pv, seen in answer.items():
        assert seen == {"before": [0, 0], "meanwhile": [3, 1], "after": [0, 0]}, pv  # INVALID, READ


def scenario_invalid() -> Any:
    fault = signal("LABWRIGHT:FAULT")
    kinds = ("KBV:PITCH.RBV", "KBV:PITCH.DMOV", "FE:SHUTTER", "KB:SPOT:CHANNELS", "KBV:PITCH.DESC")
    return {pv: alarms_meanwhile(fault, signal(pv)) for pv in kinds}


def alarms_meanwhile(fault: Any, one: Any) -> dict[str, list[int]]:
    seen = {"before": alarm_of(one)}
    fault.put(json.dumps({"fault": "invalid", "pv": one.pvname, "for_s": 1e6}), wait=True)
    until(lambda: alarm_of(one) != [0, 0])
    seen["meanwhile"] = alarm_of(one)
    fault.put("{}", wait=True)
    until(lambda: alarm_of(one) == [0, 0])
    return seen | {"after": alarm_of(one)}


def alarm_of(one: Any) -> list[int]:
    one.get(use_monitor=False)
    return [int(one.alarm_severity), int(one.alarm_status)]


if __name__ == "__main__":
    print(json.dumps(globals()[f"scenario_{sys.argv[1]}"](), default=float), flush=True)
    os._exit(0)
