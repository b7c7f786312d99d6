import hashlib
import json
import subprocess
import sys
import time

import pytest

from orchestrator.adapters.documents import run_documents
from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.domain.envelope import Envelope, Limit
from orchestrator.domain.errors import (
    DeviceUnavailable,
    EnvelopeError,
    LedgerUnavailable,
    PlanAborted,
    PlanFailed,
)
from tests.unit.adapters.executor_lab import ANSWERS, BENCH, HERE, HOOKS, PLAN_CALLS, Lab

SLEEP = {"args": {"detector": "bench.det", "seconds": 60}}


@pytest.fixture
def lab_with(tmp_path):
    labs = []

    def make(instrument=None, **options):
        labs.append(Lab(tmp_path, instrument or {}, **options))
        return labs[-1]

    yield make
    for lab in labs:
        lab.bench.gate.set()


@pytest.fixture
def lab(lab_with):
    return lab_with()


def faulty(**faults):
    return {"devices": {"bench": {**BENCH, "kwargs": {"timeout_s": None, "faults": faults}}}}


def hook(function):
    HOOKS.append(function)
    return len(HOOKS) - 1


def test_constructor_imports_neither_bluesky_nor_ophyd():
    code = (
        "import sys, orchestrator.adapters.execution.bluesky_executor as e;"
        "sys.exit(any(name in sys.modules for name in ('bluesky', 'ophyd', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_evidence_is_the_saved_documents(lab, tmp_path):
    evidence = lab.run()
    content = (tmp_path / evidence.documents).read_bytes()
    assert hashlib.sha256(content).hexdigest() == evidence.sha256
    (run,) = read_runs(tmp_path / evidence.documents)
    assert run.start["uid"] == evidence.run_uid
    assert run["primary"]["bench_x"].tolist() == [1.0]
    assert lab.executor.is_reusable


def test_run_start_carries_the_metadata_whatever_the_plan(lab):
    lab.run("bluesky.plans.count", {"detectors": ["bench.det"], "num": 2})
    start = lab.documents()[0][1]
    assert start["campaign_id"] == "test-1"
    assert start["trial_id"] == 7
    assert start["plan_name"] == "count"
    assert len([name for name, _ in lab.documents() if name == "event"]) == 2


def test_plan_without_settings_runs_after_the_moves(lab):
    lab.run("bluesky.plans.count", {"detectors": ["bench.det"]})
    assert lab.bench.told[:2] == [("x", 1.0), ("y", 2.0)]


def test_variable_arguments_of_a_plan_are_spread(lab):
    args = {"detectors": ["bench.det"], "args": ["bench.x", 0, 2], "num": 3}
    lab.run("bluesky.plans.scan", args, settings={})
    assert [value for name, value in lab.bench.told if name == "x"] == [0.0, 1.0, 2.0]


def test_plan_receives_devices_settings_arguments_and_metadata(lab_with):
    lab = lab_with({"move_order": ["bench.y"]})
    lab.run(f"{HERE}.takes_all", arguments={"label": "bench.x"})
    call = PLAN_CALLS[-1]
    assert call["detector"] is lab.bench.det
    assert list(call["settings"].items()) == [(lab.bench.y, 2.0), (lab.bench.x, 1.0)]
    assert call["label"] == "bench.x"  # a parameter's value is never taken for a device
    assert call["md"]["trial_id"] == 7


def test_arguments_that_do_not_fit_fail_before_anything_moves(lab):
    with pytest.raises(PlanFailed, match="no argument 'wrong'"):
        lab.run(args={"detector": "bench.det", "wrong": 1})
    with pytest.raises(PlanFailed, match="no device 'bench.detx'; near: det"):
        lab.run(args={"detector": "bench.detx"})
    assert lab.bench.told == []


def test_setting_outside_the_envelope_moves_nothing(lab):
    with pytest.raises(EnvelopeError, match=r"bench\.x = 99\.0 is outside"):
        lab.run(settings={"bench.y": 1.0, "bench.x": 99.0})
    assert lab.bench.told == []


def test_plan_that_leaves_the_envelope_is_refused_even_if_it_hides_it(lab):
    args = {"detector": "bench.det", "device": "bench.y", "value": 15.5}
    with pytest.raises(EnvelopeError, match=r"bench\.y = 15\.5"):
        lab.run(f"{HERE}.goes_astray", args)
    assert ("y", 15.5) not in lab.bench.told
    assert lab.executor.is_reusable


def test_joint_constraint_is_checked_at_each_set(lab_with):
    lab = lab_with({"constraints": ["bench.x + bench.y <= 10"]})
    args = {"detector": "bench.det", "device": "bench.y", "value": 9.5}
    with pytest.raises(EnvelopeError, match="does not hold"):
        lab.run(f"{HERE}.goes_astray", args)


def test_device_that_is_not_the_instruments_is_refused(lab):
    with pytest.raises(EnvelopeError, match="stranger is no device"):
        lab.run(f"{HERE}.moves_foreign", {"detector": "bench.det", "value": 1})


def test_readback_off_the_setpoint_fails(lab):
    lab.bench.offset = 0.5
    with pytest.raises(PlanFailed, match=r"bench\.x was set to 1\.0 but reads 1\.5") as caught:
        lab.run()
    assert caught.value.reason == "not_in_position"
    assert lab.stop_document()["exit_status"] == "fail"


def test_readback_that_is_late_counts_as_there(lab):
    lab.bench.offset = 0.5
    axis_set = lab.bench.y.set

    def arrive(value):
        lab.bench.offset = 0.0
        return axis_set(value)

    lab.bench.y.set = arrive
    lab.run(settings={"bench.y": 1.0})


def test_move_by_someone_else_during_the_run_is_detected(lab):
    number = hook(lambda: lab.bench.x.post(3.0))
    with pytest.raises(PlanFailed, match=r"but reads 3\.0") as caught:
        lab.run(f"{HERE}.calls", {"detector": "bench.det", "number": number})
    assert caught.value.reason == "not_in_position"


def test_readback_is_not_verified_without_tolerance(lab_with):
    bench = {key: value for key, value in BENCH.items() if key != "tolerance"}
    for entry in (bench, {**BENCH, "readback": "none"}):
        lab = lab_with({"devices": {"bench": entry}})
        lab.bench.offset = 0.5
        lab.run()
        (lab.data_dir / "runs/test-1/7-1.jsonl").unlink()


def test_twin_sleeps_in_lab_time(lab_with):
    lab = lab_with(time_scale=600)
    began = time.monotonic()
    lab.run(f"{HERE}.sleeps", SLEEP["args"])
    assert time.monotonic() - began < 5


def test_real_instrument_ignores_the_time_scale(lab_with):
    lab = lab_with({"mode": "real"}, time_scale=600)
    with pytest.raises(PlanFailed, match="took longer") as caught:
        lab.run(f"{HERE}.sleeps", SLEEP["args"], deadline_s=0.3)
    assert caught.value.reason == "deadline"


# What goes wrong in a RunEngine, one test for each trap.


def test_hung_status_ends_at_the_deadline_and_leaves_a_reusable_engine(lab_with, tmp_path):
    faults = tmp_path / "faults.json"
    faults.write_text('{"y": "hang"}')
    kwargs = {"timeout_s": None, "fault_file": str(faults)}
    lab = lab_with({"devices": {"bench": {**BENCH, "kwargs": kwargs}}})
    with pytest.raises(PlanFailed) as caught:
        lab.run(deadline_s=0.4)
    assert caught.value.reason == "deadline"
    assert lab.stop_document()["exit_status"] == "abort"  # RE.stop would have said success
    assert lab.executor.is_reusable
    faults.write_text("")
    assert lab.run().documents.endswith("7-2.jsonl")


def test_hung_device_with_a_timeout_is_a_device_timeout(lab_with):
    lab = lab_with(faulty(x="hang"))
    lab.instrument.devices["bench"].__dict__["timeout_s"] = 0.2
    with pytest.raises(PlanFailed) as caught:
        lab.run()
    assert caught.value.reason == "device_timeout"


def test_status_timeout_is_unwrapped(lab_with):
    kwargs = {"timeout_s": 0.2, "faults": {"x": "hang"}}
    lab = lab_with({"devices": {"bench": {**BENCH, "kwargs": kwargs}}})
    with pytest.raises(PlanFailed, match="StatusTimeoutError") as caught:
        lab.run()
    assert caught.value.reason == "device_timeout"


def test_failed_status_tells_its_cause(lab_with):
    lab = lab_with(faulty(det="fail"))
    with pytest.raises(PlanFailed, match=r"SimulatedFault: bench\.det was told to fail") as caught:
        lab.run()
    assert caught.value.reason == "plan_failed"
    assert lab.executor.is_reusable


def test_nan_is_a_bad_reading(lab_with):
    lab = lab_with(faulty(det="nan"))
    with pytest.raises(PlanFailed, match="bench_det reads nan in event 1") as caught:
        lab.run()
    assert caught.value.reason == "bad_reading"
    event = next(document for name, document in lab.documents() if name == "event")
    assert event["data"]["bench_det"] == "NaN"  # strict JSON, and still there for people


def test_reading_of_another_shape_is_bad(lab):
    lab.bench.det.read = lambda: {"bench_det": {"value": [1.0, 2.0], "timestamp": 0.0}}
    with pytest.raises(PlanFailed, match=r"bench_det reads \[1.0, 2.0\]") as caught:
        lab.run()
    assert caught.value.reason == "bad_reading"


ALARMS = [(3, True), (2, False), (None, False)]
"""A severity, and whether it makes a reading mean nothing: INVALID does, MAJOR does not."""


@pytest.mark.parametrize(("severity", "is_bad"), [*ALARMS, (-1, True)])
def test_a_reading_that_tells_its_invalid_alarm_is_bad(lab, severity, is_bad):
    read = lab.bench.det.read
    lab.bench.det.read = lambda: {
        key: {**one, "alarm_severity": severity} for key, one in read().items()
    }
    measures(lab, not is_bad)


@pytest.mark.parametrize(("severity", "is_bad"), ALARMS)
def test_a_reading_of_a_signal_in_invalid_alarm_is_bad(lab, severity, is_bad, monkeypatch):
    monkeypatch.setattr(type(lab.bench.det), "alarm_severity", severity, raising=False)
    measures(lab, not is_bad)


def measures(lab, is_good):
    if is_good:
        lab.run()
        return
    with pytest.raises(PlanFailed, match="bench_det in invalid alarm") as caught:
        lab.run()
    assert caught.value.reason == "bad_reading"
    assert lab.stop_document()["exit_status"] == "fail"  # whoever finds it later does not count it
    assert lab.executor.is_reusable


def test_set_that_blocks_makes_the_process_unusable(lab_with):
    lab = lab_with(abort_grace_s=0.3)
    lab.bench.gate.clear()
    with pytest.raises(PlanFailed) as caught:
        lab.run(deadline_s=0.3)
    assert caught.value.reason == "deadline"
    assert not lab.executor.is_reusable
    with pytest.raises(PlanFailed, match="not free"):  # no second plan in the RunEngine
        lab.run()
    lab.bench.gate.set()
    assert not lab.executor.is_reusable  # not even when it has come back to life


def test_raising_publisher_costs_nothing(lab_with, caplog):
    def publisher(name, document):
        raise RuntimeError("nobody listens")

    lab_with(publisher=publisher).run()
    assert "publisher raised" in caplog.text


def test_publisher_sees_every_document(lab_with):
    seen = []
    lab = lab_with(publisher=lambda name, document: seen.append(name))
    lab.run()
    assert seen == ["start", "descriptor", "event", "stop"]


def test_raising_subscriber_of_the_plan_costs_nothing(lab, caplog):
    lab.run(f"{HERE}.is_followed")
    assert "the run goes on" in caplog.text


def test_documents_that_cannot_be_saved_are_no_evidence(lab, monkeypatch):
    to_json = run_documents.to_json

    def full(data):
        if data[0] == "event":
            raise OSError(28, "No space left on device")
        return to_json(data)

    monkeypatch.setattr(run_documents, "to_json", full)
    with pytest.raises(PlanFailed, match="No space left") as caught:
        lab.run()
    assert caught.value.reason == "documents_not_saved"
    monkeypatch.undo()
    lab.run()


def test_documents_are_never_overwritten(lab, tmp_path):
    path = tmp_path / "runs/test-1/7-1.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("evidence")
    with pytest.raises(PlanFailed, match="exists") as caught:
        lab.run()
    assert caught.value.reason == "documents_not_saved"
    assert path.read_text() == "evidence"
    assert lab.bench.told == []


def test_stop_after_success_does_no_harm(lab):
    lab.run()
    assert ("x stopped", None) in lab.bench.told  # the RunEngine stops what has moved
    assert lab.bench.x.position == 1.0


def test_plan_that_raises(lab):
    with pytest.raises(PlanFailed, match="ValueError: the plan is wrong") as caught:
        lab.run(f"{HERE}.raises")
    assert caught.value.reason == "plan_failed"
    assert lab.executor.is_reusable


def test_plan_without_a_run_is_no_measurement(lab):
    with pytest.raises(PlanFailed, match="without a run"):
        lab.run(f"{HERE}.measures_nothing")


def test_plan_that_asks_for_a_person_fails(lab):
    with pytest.raises(PlanFailed, match="nobody attends"):
        lab.run(f"{HERE}.asks")
    assert lab.executor.is_reusable


def test_a_plan_gets_its_answers_from_a_person(lab):
    asked = []

    def ask(number, text):
        asked.append((number, text))
        return {3: "B7", 5: ""}.get(len(asked))

    ANSWERS.clear()
    lab.ask = ask
    lab.run(f"{HERE}.wants_to_know")
    assert ANSWERS == ["B7", ""]
    assert asked == [(1, "which sample is loaded?")] * 3 + [(2, "door closed?")] * 2


def test_the_time_of_a_person_is_not_the_plans(lab):
    begun = time.monotonic()

    def ask(number, text):
        return "yes" if time.monotonic() - begun > 1.5 else None

    lab.ask = ask
    lab.run(f"{HERE}.wants_to_know", deadline_s=1.0)


def test_without_anybody_to_ask_the_plan_fails_even_if_it_goes_on(lab):
    with pytest.raises(PlanFailed, match="nobody attends"):
        lab.run(f"{HERE}.insists")


def test_when_nobody_answers_the_plan_ends(lab):
    def ask(number, text):
        raise PlanFailed("nobody answered", "unanswered")

    lab.ask = ask
    with pytest.raises(PlanFailed, match="nobody answered") as failed:
        lab.run(f"{HERE}.wants_to_know")
    assert failed.value.reason == "unanswered"
    assert lab.executor.is_reusable


def test_a_plan_that_waits_for_a_person_can_be_aborted(lab):
    def ask(number, text):
        lab.order = "aborting"

    lab.ask = ask
    with pytest.raises(PlanAborted):
        lab.run(f"{HERE}.wants_to_know")
    assert lab.executor.is_reusable


def test_unknown_plan_fails(lab):
    with pytest.raises(PlanFailed, match="no registered plan"):
        lab.run("nonsense")


@pytest.mark.parametrize(("order", "cleaned"), [("aborting", True), ("halting", False)])
def test_order_ends_the_plan(lab, order, cleaned):
    marks = []
    marker = hook(lambda: marks.append("cleaned"))
    lab.order = order
    with pytest.raises(PlanAborted):
        lab.run(f"{HERE}.cleans_up", {"detector": "bench.det", "marker": marker})
    assert bool(marks) is cleaned
    assert lab.stop_document()["exit_status"] == "abort"
    assert lab.executor.is_reusable


def test_running_plan_is_finished_while_the_ledger_is_out_of_reach(lab):
    def order():
        raise LedgerUnavailable("gone")

    request = lab.request(f"{HERE}.sleeps", {"detector": "bench.det", "seconds": 0.5})
    lab.executor.run(request, order)


def test_error_of_whoever_gives_orders_aborts_the_plan(lab):
    def order():
        raise KeyboardInterrupt

    request = lab.request(f"{HERE}.sleeps", SLEEP["args"])
    with pytest.raises(KeyboardInterrupt):
        lab.executor.run(request, order)
    assert lab.executor.is_reusable


def test_lost_connection_ends_the_plan(lab):
    def disconnect():
        lab.bench.connected = False
        return None

    request = lab.request(f"{HERE}.sleeps", SLEEP["args"])
    with pytest.raises(PlanFailed, match="lost connection to bench") as caught:
        lab.executor.run(request, disconnect)
    assert caught.value.reason == "device_disconnected"
    assert lab.executor.observe() == "bench is not connected"


# Conditions.

PRESSURE = {
    "devices": {
        "bench": BENCH,
        "pressure": {"class": "ophyd.Signal", "kwargs": {"value": 3.0}},
    },
    "conditions": [
        {"signal": "pressure", "suspend_above": 8, "resume_below": 6, "wait_s": 60, "unit": "bar"}
    ],
}


@pytest.fixture
def pressure_lab(lab_with):
    return lab_with(PRESSURE, time_scale=600)


def pressure(lab):
    return lab.executor._connected().devices.all["pressure"]


def test_condition_trips_and_clears_with_hysteresis(pressure_lab):
    lab = pressure_lab
    assert lab.executor.tripped() is None
    pressure(lab).put(9)
    assert lab.executor.tripped() == "pressure is 9 bar, above 8"
    pressure(lab).put(7)
    assert "not yet below 6" in lab.executor.tripped()
    pressure(lab).put(5)
    assert "not yet for 60 s" in lab.executor.tripped()
    deadline = time.monotonic() + 5
    while lab.executor.tripped() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lab.executor.tripped() is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "text"])
def test_condition_that_is_no_number_counts_as_tripped(pressure_lab, value):
    pressure(pressure_lab).put(value)
    assert pressure_lab.executor.tripped() is not None


def test_trip_that_is_over_by_the_end_still_interrupts(pressure_lab):
    lab = pressure_lab

    def flicker():
        pressure(lab).put(9)
        pressure(lab).put(3)

    with pytest.raises(PlanFailed, match="above 8") as caught:
        lab.run(f"{HERE}.calls", {"detector": "bench.det", "number": hook(flicker)})
    assert caught.value.reason == "interrupted"


def test_trip_ends_a_long_plan_at_once(pressure_lab):
    lab = pressure_lab

    def order():
        pressure(lab).put(9)

    request = lab.request(f"{HERE}.sleeps", {"detector": "bench.det", "seconds": 36000})
    with pytest.raises(PlanFailed) as caught:
        lab.executor.run(request, order)
    assert caught.value.reason == "interrupted"


def test_trip_of_an_earlier_trial_does_not_count(pressure_lab):
    lab = pressure_lab
    pressure(lab).put(9)
    pressure(lab).put(3)
    deadline = time.monotonic() + 5
    while lab.executor.tripped() and time.monotonic() < deadline:
        time.sleep(0.01)
    lab.run()


# Quiet, park, observe, connect.


def test_quiet_stops_what_is_listed_and_goes_on_after_an_error(lab_with, caplog):
    lab = lab_with({"quiet": [{"stop": ["bench.z", "bench.y"]}]})
    lab.executor.quiet()
    assert lab.bench.told == [("y stopped", None)]
    assert "bench.z could not be stopped" in caplog.text


def test_park_moves_in_order(lab_with):
    lab = lab_with({"park": [{"set": {"bench.y": 3.0}}, {"set": {"bench.x": 0.5}}]})
    lab.executor.park()
    assert lab.bench.told[:2] == [("y", 3.0), ("x", 0.5)]
    assert lab.executor.is_reusable


def test_park_outside_the_envelope_is_refused(lab_with):
    lab = lab_with({"park": [{"set": {"bench.x": 9.0}}]})
    lab.executor._envelope = Envelope("bench", {"bench": Limit(-5, 5, "")}, ())
    with pytest.raises(EnvelopeError):
        lab.executor.park()
    assert lab.bench.told == []


def test_observe_tells_what_moves(lab):
    assert lab.executor.observe() is None
    lab.bench.moving = True
    assert lab.executor.observe() == "bench is moving (bench)"


def test_devices_that_fail_are_all_listed(tmp_path):
    devices = {"a": {"class": "devices.Nonsense"}, "b": {"class": "nowhere.Device"}}
    with pytest.raises(DeviceUnavailable) as caught:
        Lab(tmp_path, {"devices": devices})
    assert "a: " in str(caught.value)
    assert "b: " in str(caught.value)


def test_documents_hold_strict_json(lab, tmp_path):
    evidence = lab.run()

    def refuse(text):
        raise AssertionError(text)

    for line in (tmp_path / evidence.documents).read_text().splitlines():
        json.loads(line, parse_constant=refuse)
