"""What reaches devices, when plans and instruments are as they should not be."""

import logging
import threading
import time

import pytest

from orchestrator.adapters.execution import bluesky_executor
from orchestrator.adapters.guard.budgets import Budgets
from orchestrator.adapters.guard.ioc_limits import ioc_limits
from orchestrator.domain.errors import DeviceUnavailable, EnvelopeError, PlanFailed, Unusable
from tests.unit.adapters.envelope_lab import HERE, TOLD, told
from tests.unit.adapters.executor_lab import Lab

AXIS = {"class": f"{HERE}.Axis", "limits": [-5, 10], "tolerance": 1e-6, "unit": "mm"}
COUNTER = {"class": f"{HERE}.Counter"}


@pytest.fixture
def lab_with(tmp_path):
    labs = []

    def make(instrument=None, *, devices=None, **options):
        known = {"x": AXIS, "y": AXIS, "det": COUNTER, **(devices or {})}
        lab = Lab(tmp_path, {"devices": known, **(instrument or {})}, **options)
        lab.requests = sum(one.requests for one in labs)  # each attempt has its own documents
        labs.append(lab)
        TOLD.clear()
        return lab

    return make


def do(lab, *messages, settings=None, **options):
    args = {"detector": "det", "messages": [list(message) for message in messages]}
    return lab.run(f"{HERE}.does", args, settings or {}, **options)


def device(lab, name):
    return lab.executor._connected().devices.at(name)


# Pseudo axes, flights, staged and configured signals.

MIRROR = {"class": f"{HERE}.Mirror", "limits": [-10, 10], "axes": {"left": [-3, 3]}}


@pytest.mark.parametrize(
    "message",
    [
        ["set", "mirror", {"height": 2, "tilt": -4}],
        ["set", "mirror", [2, -4]],
        ["two", "mirror", [2, -4]],
        ["set", "mirror.height", 4],
        ["set", "mirror.left", 4],
        ["together", "mirror.tilt", -8],
    ],
)
def test_the_real_axes_of_a_pseudo_move_are_held_to_their_limits(lab_with, message):
    lab = lab_with(devices={"mirror": MIRROR})
    with pytest.raises(EnvelopeError, match=r"mirror\.left = 4(\.0)? is outside \[-3\.0, 3\.0\]"):
        do(lab, message)
    assert told("mirror_left", "mirror_right") == []


def test_pseudo_axes_move_within_the_limits(lab_with):
    lab = lab_with(devices={"mirror": MIRROR})
    do(lab, ["set", "mirror", {"height": 2, "tilt": 1}], ["set", "mirror.height", 3.4])
    assert told("mirror_left") == [1.5, pytest.approx(2.9)]
    with pytest.raises(EnvelopeError, match=r"mirror\.tilt = 12"):
        do(lab, ["set", "mirror", {"height": 2, "tilt": 12}])


def test_a_joint_limit_over_real_axes_holds_for_pseudo_moves(lab_with):
    lab = lab_with({"constraints": ["mirror.right - mirror.left <= 1"]}, devices={"mirror": MIRROR})
    do(lab, ["set", "mirror.tilt", 1])
    with pytest.raises(EnvelopeError, match=r"'mirror\.right - mirror\.left <= 1'"):
        do(lab, ["set", "mirror.tilt", 1.5])


def test_more_values_than_an_axis_has_are_refused(lab_with):
    with pytest.raises(EnvelopeError, match="one value is right"):
        do(lab_with(), ["two", "x", [1, 99]])
    assert told("x") == []


@pytest.mark.parametrize(
    "message",
    [
        ["configure", "det", {"gain": 9}],
        ["kickoff", "det", {"gain": 9}],
        ["set", "det.gain", 9],
    ],
)
def test_signals_with_limits_keep_them_however_they_are_written(lab_with, message):
    det = {**COUNTER, "axes": {"gain": [1, 5]}}
    lab = lab_with(devices={"det": det})
    with pytest.raises(EnvelopeError, match=r"det\.gain = 9 is outside \[1\.0, 5\.0\]"):
        do(lab, message)
    assert told("gain") == []


def test_a_staged_signal_keeps_its_limits(lab_with):
    det = {**COUNTER, "axes": {"gain": [1, 5]}, "kwargs": {"staged_gain": 9}}
    with pytest.raises(EnvelopeError, match=r"det\.gain = 9"):
        do(lab_with(devices={"det": det}), ["stage", "det"])
    assert told("gain") == []


@pytest.mark.parametrize("flight", [[0, 11], [-6, 1]])
def test_a_flight_begins_and_ends_within_the_limits(lab_with, flight):
    lab = lab_with(devices={"flyer": {**COUNTER, "limits": [-5, 10]}})
    with pytest.raises(EnvelopeError, match="flyer = "):
        do(lab, ["prepare", "flyer", flight])
    assert told("flyer") == []


# Joint constraints on the way.

JOINT = {"constraints": ["x + y <= 10"]}


def test_a_joint_limit_knows_what_the_plan_does_not_move(lab_with):
    lab = lab_with(JOINT, devices={"y": {**AXIS, "kwargs": {"starts": 8.0}}})
    with pytest.raises(EnvelopeError, match="does not hold at x = 3, y = 8"):
        do(lab, ["set", "x", 3])
    assert told("x") == []


def test_moves_that_would_cross_a_joint_limit_are_refused_with_the_order_that_passes(lab_with):
    start = {"y": {**AXIS, "kwargs": {"starts": 8.0}}}
    lab = lab_with({**JOINT, "move_order": ["x", "y"]}, devices=start)
    with pytest.raises(EnvelopeError, match=r"at x = 8, y = 8; .*'move_order: \[y, x\]'"):
        do(lab, settings={"x": 8, "y": 1})
    assert TOLD == []
    lab = lab_with({**JOINT, "move_order": ["y", "x"]}, devices=start)
    do(lab, settings={"x": 8, "y": 1})
    assert TOLD[:2] == [("y", 1), ("x", 8)]


def test_an_order_that_the_file_leaves_open_is_one_that_passes(lab_with):
    lab = lab_with(JOINT)
    for x, y in ((8, 1), (1, 8), (9, 1)):
        do(lab, settings={"x": x, "y": y})
    assert [one for one in TOLD if one[0] != "det"] == [
        *(("x", 8), ("y", 1)),
        *(("x", 1), ("y", 8)),
        *(("y", 1), ("x", 9)),
    ]


def test_axes_in_motion_together_may_be_anywhere(lab_with):
    lab = lab_with(JOINT, devices={"y": {**AXIS, "kwargs": {"starts": 8.0}}})
    with pytest.raises(EnvelopeError, match="if what is on its way were waited for first"):
        do(lab, ["together", "y", 1], ["together", "x", 8], ["wait"])
    assert told("x") == []
    do(lab, ["together", "y", 1], ["wait"], ["set", "x", 8])
    assert told("x") == [8]


def test_a_setpoint_that_is_written_directly_is_the_axis(lab_with):
    lab = lab_with(JOINT, devices={"y": {**AXIS, "kwargs": {"starts": 8.0}}})
    with pytest.raises(EnvelopeError, match="does not hold at x = 3, y = 8"):
        do(lab, ["set", "x.setpoint", 3])


def test_a_setpoint_that_is_written_directly_does_not_mean_that_the_axis_is_there(lab_with):
    lab = lab_with(JOINT, devices={"y": {**AXIS, "kwargs": {"starts": 8.0}}})
    with pytest.raises(EnvelopeError, match="on its way"):
        do(lab, ["set", "y.setpoint", 1], ["set", "x", 8])
    assert told("x") == []


# Steps and rates.


def test_a_far_move_goes_in_steps(lab_with):
    lab = lab_with(devices={"x": {**AXIS, "max_step": 2}})
    do(lab, ["set", "x", 7])
    assert told("x") == pytest.approx([1.75, 3.5, 5.25, 7])
    do(lab, ["set", "x", 5])
    assert told("x")[4:] == [5]


def test_steps_outside_the_limits_are_not_taken(lab_with):
    lab = lab_with(devices={"x": {**AXIS, "max_step": 2, "kwargs": {"starts": 20.0}}})
    with pytest.raises(EnvelopeError, match=r"x = 18"):
        do(lab, ["set", "x", 5])
    assert told("x") == []


def test_a_rate_spaces_the_steps_also_from_plan_to_plan(lab_with):
    lab = lab_with(devices={"x": {**AXIS, "max_rate": 0.05, "max_step": 2}}, time_scale=600)
    began = time.monotonic()
    do(lab, ["set", "x", 6])
    do(lab, ["set", "x", 8])
    took = time.monotonic() - began
    assert told("x") == pytest.approx([2, 4, 6, 8])
    assert took >= 3 * (2 / 0.05) / 600


# Budgets.

REAGENT = {"budgets": {"reagent": {"limit": 5, "unit": "mL"}}}
PUMP = {"pump": {**AXIS, "spends": {"reagent": {"per_unit": 1}}}}


def test_a_budget_is_not_overspent_and_outlives_the_worker(lab_with):
    lab = lab_with(REAGENT, devices=PUMP)
    do(lab, ["set", "pump", 3])
    assert lab.executor.tripped() is None
    for _ in range(2):  # the second is another worker
        with pytest.raises(PlanFailed, match="set of pump takes 2.5 mL, but 2 of 5 mL is left of"):
            do(lab, ["set", "pump", -2.5])
        assert "2 of 5 mL is left of budget reagent; once it is refilled" in lab.executor.tripped()
        lab = lab_with(REAGENT, devices=PUMP)
    do(lab, ["set", "pump", 2])
    assert told("pump") == [2]
    assert "0 of 5 mL is left" in lab.executor.tripped()


def test_a_refill_is_written_to_the_count_and_heard_at_once(lab_with):
    lab = lab_with(REAGENT, devices=PUMP)
    do(lab, ["set", "pump", 5])
    assert lab.executor.tripped() is not None
    with pytest.raises(Unusable, match="no budget 'regent'; did you mean 'reagent'"):
        Budgets(lab.data_dir, lab.instrument).refill("regent", "Ada")
    said = Budgets(lab.data_dir, lab.instrument).refill("reagent", "Ada")
    assert said == "budget reagent is refilled; 0 of 5 mL was left"
    assert lab.executor.tripped() is None
    do(lab, ["set", "pump", 4])
    assert lab_with(REAGENT, devices=PUMP).executor._connected().budgets.left("reagent") == 1


def test_triggers_spend_and_a_reserve_keeps_a_trial_from_starting(lab_with):
    dose = {"budgets": {"dose": {"limit": 1, "unit": "MGy", "reserve": 0.5}}}
    lab = lab_with(dose, devices={"det": {**COUNTER, "spends": {"dose": {"trigger": 0.3}}}})
    do(lab)
    assert lab.executor.tripped() is None
    do(lab)
    assert "0.4 of 1 MGy is left of budget dose" in lab.executor.tripped()


def test_half_a_line_in_the_count_costs_nothing(lab_with):
    lab = lab_with(REAGENT, devices=PUMP)
    do(lab, ["set", "pump", 3])
    (path,) = (lab.data_dir / "budgets").iterdir()
    with path.open("ab") as file:
        file.write(b'{"at": 1')
    do(lab_with(REAGENT, devices=PUMP), ["set", "pump", 1])
    assert lab_with(REAGENT, devices=PUMP).executor._connected().budgets.left("reagent") == 1


# Conditions.

BEAM = {
    "devices": {
        "x": AXIS,
        "shutter": {**AXIS, "limits": [0, 1]},
        "det": COUNTER,
        "beam": {"class": "ophyd.Signal", "kwargs": {"value": 100.0}},
    },
    "conditions": [
        {
            "signal": "beam",
            "suspend_below": 50,
            "fail_after_s": 20,
            "on_trip": [{"set": {"shutter": 0}}],
            "on_resume": [{"set": {"shutter": 1}}],
        }
    ],
}
CONSUMES = {"policy": {"consumes_sample": True}}


@pytest.fixture
def beam_lab(tmp_path):
    TOLD.clear()
    return Lab(tmp_path, BEAM)


def dump(lab, seconds=0.0):
    """Take the beam away, and give it back after so many seconds; 0 never."""
    beam = device(lab, "beam")
    beam.put(0.0)
    if seconds:
        threading.Timer(seconds, beam.put, [100.0]).start()


def test_a_plan_that_consumes_waits_where_it_stands_and_sends_nothing_twice(beam_lab):
    device(beam_lab, "x").setpoint.subscribe(lambda **_: dump(beam_lab, 0.4), run=False)
    do(beam_lab, ["set", "x", 1], ["trigger", "det"], **CONSUMES)
    assert TOLD == [
        ("shutter", 1.0),
        ("x", 1),
        ("shutter", 0.0),
        ("shutter", 1.0),
        ("det", "trigger"),
        ("det", "trigger"),
    ]
    assert beam_lab.stop_document()["exit_status"] == "success"


def test_an_exposure_without_beam_is_no_measurement_but_the_plan_ends(beam_lab):
    device(beam_lab, "det").hook = lambda: dump(beam_lab, 0.1)
    with pytest.raises(PlanFailed, match="beam is 0, below 50") as caught:
        do(beam_lab, **CONSUMES)
    assert caught.value.reason == "interrupted"
    assert beam_lab.stop_document()["exit_status"] == "success"
    assert told("shutter")[-1] == 0, "what the condition lists for a trip was done"


def test_a_trip_between_exposures_spoils_nothing(beam_lab):
    device(beam_lab, "x").setpoint.subscribe(lambda **_: dump(beam_lab, 0.05), run=False)
    do(beam_lab, ["set", "x", 1], ["sleep", 0.3], **CONSUMES)
    assert told("shutter") == [1.0]


def test_beam_that_stays_away_fails_the_attempt(tmp_path):
    TOLD.clear()
    condition = {**BEAM["conditions"][0], "fail_after_s": 0.2}
    lab = Lab(tmp_path, {**BEAM, "conditions": [condition]})
    device(lab, "x").setpoint.subscribe(lambda **_: dump(lab), run=False)
    with pytest.raises(PlanFailed, match=r"beam is 0, below 50; waited 0\.2 s") as caught:
        do(lab, ["set", "x", 1], **CONSUMES)
    assert caught.value.reason == "interrupted"
    assert told("det") == []


def test_an_irreversible_device_is_held_too(tmp_path):
    TOLD.clear()
    devices = {**BEAM["devices"], "x": {**AXIS, "irreversible": True}}
    lab = Lab(tmp_path, {**BEAM, "devices": devices})
    device(lab, "x").setpoint.subscribe(lambda **_: dump(lab, 0.3), run=False)
    do(lab, ["set", "x", 1])
    assert told("x") == [1]


def test_a_plan_that_may_be_repeated_ends_and_its_actions_are_undone_before_the_next(beam_lab):
    args = {"detector": "det", "messages": [["sleep", 30]]}
    request = beam_lab.request(f"{HERE}.does", args, {})
    with pytest.raises(PlanFailed) as caught:
        beam_lab.executor.run(request, lambda: dump(beam_lab))
    assert caught.value.reason == "interrupted"
    assert told("shutter") == [1.0, 0.0]
    device(beam_lab, "beam").put(100.0)
    do(beam_lab)
    do(beam_lab)
    assert told("shutter") == [1.0, 0.0, 1.0], "once for each suspension"


def test_a_trip_just_before_the_plan_begins_moves_nothing(beam_lab):
    dump(beam_lab)
    with pytest.raises(PlanFailed, match="beam is 0"):
        do(beam_lab, ["set", "x", 1])
    assert TOLD == []


def test_a_value_that_is_too_old_counts_as_tripped(tmp_path):
    condition = {"signal": "beam", "suspend_below": 50, "stale_after_s": 60}
    lab = Lab(tmp_path, {**BEAM, "conditions": [condition]})
    assert lab.executor.tripped() is None
    device(lab, "beam").put(100.0, timestamp=time.time() - 100)
    assert "beam is 100 s old, more than 60" in lab.executor.tripped()


def test_a_value_that_grows_old_interrupts(tmp_path):
    condition = {"signal": "beam", "suspend_below": 50, "stale_after_s": 0.3}
    lab = Lab(tmp_path, {**BEAM, "conditions": [condition]})
    device(lab, "beam").put(100.0)
    with pytest.raises(PlanFailed, match="old, more than 0.3"):
        do(lab, ["sleep", 30])


def test_an_invalid_alarm_counts_as_tripped(beam_lab):
    beam = device(beam_lab, "beam")
    type(beam).alarm_severity = 3
    try:
        assert beam_lab.executor.tripped() == "beam is in invalid alarm"
    finally:
        del type(beam).alarm_severity


def in_invalid_alarm(found):
    """The device, whose readings carry an INVALID alarm from now on."""
    read = found.read
    found.read = lambda: {key: {**one, "alarm_severity": 3} for key, one in read().items()}
    return found


def test_an_axis_in_invalid_alarm_has_not_arrived(lab_with):
    lab = lab_with()
    in_invalid_alarm(device(lab, "x"))
    with pytest.raises(PlanFailed, match="x in invalid alarm") as caught:
        do(lab, ["set", "x", 1])
    assert caught.value.reason == "bad_reading"


def test_a_reading_in_invalid_alarm_does_not_keep_a_plan_from_cleaning_up(lab_with):
    lab = lab_with()
    in_invalid_alarm(device(lab, "det"))
    with pytest.raises(PlanFailed, match="det_counts in invalid alarm"):
        lab.run(f"{HERE}.cleans_up", {"detector": "det", "axis": "x"}, {})
    assert told("x") == [1]


def test_time_to_wait_is_part_of_the_deadline(beam_lab):
    request = beam_lab.request(f"{HERE}.does", {"detector": "det", "messages": []}, **CONSUMES)
    assert beam_lab.executor.deadline_s(request) == request.deadline_s + 20
    plain = beam_lab.request(f"{HERE}.does", {"detector": "det", "messages": []})
    assert beam_lab.executor.deadline_s(plain) == plain.deadline_s
    assert bluesky_executor.HOLD_S == 3600


# What is not compared, and what the server allows.


@pytest.mark.parametrize("entry", [{"readback": "none"}, {"tolerance": None}])
def test_what_is_not_compared_is_reported_as_not_verified(lab_with, entry):
    axis = {key: value for key, value in {**AXIS, **entry}.items() if value is not None}
    lab = lab_with(devices={"y": axis})
    do(lab, settings={"x": 1, "y": 2})
    assert lab.documents()[0][1]["not_verified"] == ["y"]


def test_what_is_compared_is_not_reported(lab_with):
    lab = lab_with()
    do(lab, settings={"x": 1})
    assert "not_verified" not in lab.documents()[0][1]


def limited(*edges):
    return {
        "class": "tests.unit.adapters.test_safety_envelope.Limited",
        "limits": [0, 10],
        "unit": "mm",
        "kwargs": {"edges": list(edges)},
    }


class Limited:
    """A device whose server has limits of its own."""

    parent = None

    def __init__(self, *, name, edges):
        self.name = name
        self.ioc_limits = tuple(edges) or None


def test_the_servers_limits_are_compared_at_the_start(lab_with, caplog):
    caplog.set_level(logging.WARNING)
    devices = {
        "same": limited(0, 10),
        "narrow": limited(2, 8),
        "wide": limited(-100, 100),
        "none": limited(),
        "equal": limited(0, 0),
    }
    lab_with({"mode": "real"}, devices=devices)
    told = [record.message for record in caplog.records if "server" in record.message]
    assert [message.split(":")[0] for message in told if message[0] not in "xy"] == [
        "narrow",
        "wide",
        "none",
        "equal",
    ]
    text = "narrow: its server allows [2, 8], the envelope [0, 10] mm: settings between will be"
    assert any(message.startswith(text) for message in told)


@pytest.mark.parametrize(("edges", "told"), [((-100, 100), r"\[-100, 100\]"), ((), "no limits")])
def test_a_server_that_must_agree_keeps_the_worker_from_starting(lab_with, edges, told):
    with pytest.raises(DeviceUnavailable, match=told):
        lab_with(devices={"strict": {**limited(*edges), "ioc_must_agree": True}})
    lab_with(devices={"strict": {**limited(2, 8), "ioc_must_agree": True}})


class Edges:
    """Something with one attribute, such as a signal with limits or a value."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def _value(value):
    return Edges(get=lambda: value)


@pytest.mark.parametrize(
    ("device", "found"),
    [
        (Edges(limits=(0, 5)), (0, 5)),
        (Edges(user_setpoint=Edges(limits=(1, 2)), limits=(0, 5)), (1, 2)),
        (
            Edges(low_limit_travel=_value(-3.0), high_limit_travel=_value(3.0), limits=(0, 5)),
            (-3, 3),
        ),
        (Edges(low_limit_travel=_value(0.0), high_limit_travel=_value(0.0)), None),
        (Edges(limits=(None, None)), None),
        (Edges(limits=(0, float("inf"))), None),
        (Edges(), None),
    ],
)
def test_where_classes_keep_the_servers_limits(device, found):
    assert ioc_limits(device) == found
