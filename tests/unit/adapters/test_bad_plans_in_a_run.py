"""The bad plans of the dry run, run all the same: a clear failure, and the executor goes on."""

import pytest
from pydantic import ValidationError

from orchestrator.domain.errors import DeviceUnavailable, EnvelopeError, PlanFailed
from tests.unit.adapters.executor_lab import BENCH, Lab
from tests.unit.dry_run import bad_plans
from tests.unit.dry_run.test_bad_plans import line_with


class Written:
    """What is told of an EPICS signal without a server."""

    def __init__(self, prefix, name):
        self.setpoint_pvname = prefix
        self.name = name
        self.parent = None


class WrittenToo(Written):
    """Another class, with the same PV."""


HERE = "tests.unit.dry_run.bad_plans"


@pytest.mark.parametrize(
    ("name", "kind", "says", "at"),
    [
        ("yields_forever", PlanFailed, "took longer than", None),
        ("leaves_a_run_open", PlanFailed, "the plan leaves a run open", "def"),
        ("raises", PlanFailed, "ValueError: the plan is wrong", "raise ValueError"),
        ("moves_a_stranger", EnvelopeError, "stranger is no device", "bps.mv"),
        ("returns_nothing", PlanFailed, "gives None and no messages", "def"),
        ("yields_no_message", PlanFailed, "yields 3, which is no message", "yield 3"),
        ("measures_nothing", PlanFailed, "without a run", "def"),
        ("leaves_the_limits", EnvelopeError, "bench.x = 15.5 is outside", "bps.mv"),
    ],
)
def test_a_bad_plan_is_a_failed_attempt_at_its_line(tmp_path, name, kind, says, at):
    lab = Lab(tmp_path, {"quiet": [{"stop": ["bench.x"]}]})
    request = lab.request(f"{HERE}.{name}", settings={"bench.x": 1.5}, deadline_s=0.6)
    with pytest.raises(kind) as caught:
        lab.executor.run(request, lambda: None)
    assert says in str(caught.value)
    if at is not None:
        assert line_with(name, at) in str(caught.value)
    lab.executor.quiet()
    assert lab.executor.is_reusable
    lab.run(f"{HERE}.good", settings={"bench.x": 1.0})


def test_a_misspelt_device_is_told_with_the_one_that_may_be_meant(tmp_path):
    lab = Lab(tmp_path, {})
    with pytest.raises(PlanFailed) as caught:
        lab.run(f"{HERE}.good", {"detector": "bnech.det"}, settings={"bench.x": 1.0})
    assert "AttributeError: 'str' object" in str(caught.value)
    assert "'bnech.det' names no device" in str(caught.value)
    assert "did you mean 'bench.det'?" in str(caught.value)


def test_a_plan_that_blocks_is_told_by_its_line_and_its_process_is_given_up(tmp_path):
    lab = Lab(tmp_path, {}, abort_grace_s=0.2)
    with pytest.raises(PlanFailed) as caught:
        lab.run(f"{HERE}.blocks", deadline_s=0.3)
    assert line_with("blocks", "wait") in str(caught.value)
    assert caught.value.reason == "deadline"
    assert not lab.executor.is_reusable
    bad_plans.BLOCKED.set()


def test_two_devices_with_one_pv_are_not_connected(tmp_path):
    here = "tests.unit.adapters.test_bad_plans_in_a_run"
    one = {"class": f"{here}.Written", "limits": [0, 1], "prefix": "A:B"}
    devices = {"bench": BENCH, "one": one, "two": {**one, "class": f"{here}.WrittenToo"}}
    with pytest.raises(DeviceUnavailable, match="'two' sets the PV 'A:B', and so does 'one'"):
        Lab(tmp_path, {"devices": devices})


def test_one_device_under_two_names_is_refused_when_its_file_is_read(tmp_path):
    one = {"class": "ophyd.EpicsMotor", "limits": [0, 1], "prefix": "A:M1"}
    with pytest.raises(ValidationError, match="'A:M1' is device 'one' already"):
        Lab(tmp_path, {"devices": {"one": one, "two": one}})
