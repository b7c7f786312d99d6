"""What every executor keeps to, whether it runs plans itself or has a queueserver run them."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.errors import (
    EnvelopeError,
    LedgerUnavailable,
    PlanAborted,
    PlanFailed,
)
from tests.contract.executor_rigs import Rig, own_worker, queueserver
from tests.queueserver.beamline import Beamline

LONG_S = 600.0
"""A plan that waits so long has been ended when the test is over before."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    with Beamline(tmp_path_factory.mktemp("queueserver"), encrypted=True) as lab:
        yield lab


@pytest.fixture(params=["own worker", "queueserver"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    if request.param == "own worker":
        with own_worker(tmp_path) as rig:
            rig.executor.connect()
            yield rig
    else:
        with queueserver(tmp_path, request.getfixturevalue("lab")) as rig:
            rig.executor.connect()
            yield rig


def test_a_plan_leaves_its_documents_on_disk(rig: Rig) -> None:
    evidence = rig.run()
    content = (rig.data_dir / evidence.documents).read_bytes()
    assert hashlib.sha256(content).hexdigest() == evidence.sha256
    names = [name for name, _ in rig.documents()]
    assert names == ["start", "descriptor", "event", "stop"]
    start, event = rig.documents()[0][1], rig.documents()[2][1]
    assert evidence.run_uid == start["uid"]
    assert (start["campaign_id"], start["trial_id"], start["attempt"]) == ("c", 7, 1)
    assert start["beamline"] == "testing"  # of the lab's own RunEngine
    assert event["data"]["x"] == 1.0
    assert event["data"]["det"] == pytest.approx((1 - 1.2) ** 2 + (2 - 0.4) ** 2)
    assert rig.commands() == [("set x", 1.0), ("set y", 2.0)]


def test_parameters_may_be_arguments_of_the_plan(rig: Rig) -> None:
    rig.run("measure_at", arguments={"x_position": -1.5}, args={"y_position": 0.5})
    assert rig.commands() == [("set x", -1.5), ("set y", 0.5)]


def test_settings_are_empty_when_no_parameter_is_bound_to_a_device(rig: Rig) -> None:
    assert rig.run("measure", arguments={"dwell": 0.0})
    assert rig.commands() == []


def test_several_runs_come_in_their_order(rig: Rig) -> None:
    rig.run("three_runs")
    documents = rig.documents()
    assert [name for name, _ in documents].count("start") == 3
    numbers = [document["scan_id"] for name, document in documents if name == "start"]
    assert numbers == sorted(numbers)


def test_nothing_moves_outside_the_envelope(rig: Rig) -> None:
    with pytest.raises(EnvelopeError, match="x = 5.1"):
        rig.run(settings={"x": 5.1, "y": 0.0})
    assert rig.commands() == []


@pytest.mark.parametrize(
    ("plan", "args", "what"),
    [("measure", {"dwel": 1}, "dwel"), ("measur", {}, "measur")],
)
def test_a_plan_that_does_not_fit_fails_before_anything_moves(
    rig: Rig, plan: str, args: dict[str, Any], what: str
) -> None:
    with pytest.raises(PlanFailed, match=what):
        rig.run(plan, args=args)
    assert rig.commands() == []
    assert rig.run()


def test_a_plan_that_raises_fails_the_attempt_alone(rig: Rig) -> None:
    with pytest.raises(PlanFailed, match="the shutter is stuck") as failed:
        rig.run("raises_in_the_run")
    assert "startup.py:" in str(failed.value)
    assert failed.value.reason == "plan_failed"
    assert rig.executor.is_reusable
    assert rig.executor.is_connected
    assert rig.run()


def test_a_plan_without_a_run_is_no_measurement(rig: Rig) -> None:
    with pytest.raises(PlanFailed, match="without a run"):
        rig.run("moves_only")


@pytest.mark.parametrize("order", ["aborting", "halting"])
def test_an_order_ends_the_plan(rig: Rig, order: str) -> None:
    threading.Thread(target=_once_it_moves, args=(rig, order)).start()
    with pytest.raises(PlanAborted):
        rig.run(args={"dwell": LONG_S}, deadline_s=LONG_S)
    assert rig.executor.is_reusable
    rig.order = None
    assert rig.executor.observe() is None
    assert rig.run()


def _once_it_moves(rig: Rig, order: str) -> None:
    while len(rig.commands()) < 2:
        time.sleep(0.02)
    rig.order = order


def test_a_plan_that_takes_too_long_is_ended(rig: Rig) -> None:
    with pytest.raises(PlanFailed, match="took longer") as failed:
        rig.run(args={"dwell": LONG_S}, deadline_s=1.0)
    assert failed.value.reason == "deadline"
    assert rig.executor.is_reusable
    assert rig.run()


def test_a_plan_that_cannot_be_ended_spoils_the_executor(rig: Rig) -> None:
    """The control of the two before. The plan blocks for a while where no order reaches it."""
    with pytest.raises(PlanFailed, match="took longer"):
        rig.run("blocks", deadline_s=0.5)
    assert not rig.executor.is_reusable
    give_up = time.monotonic() + 60
    while rig.executor.observe() is not None:
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_plan_goes_on_while_no_orders_can_be_heard(rig: Rig) -> None:
    def order() -> str | None:
        raise LedgerUnavailable("the server is away")

    assert rig.executor.run(rig.request(args={"dwell": 0.3}), order)


def test_documents_that_cannot_be_saved_fail_the_attempt(rig: Rig) -> None:
    (rig.data_dir / "runs").write_text("a file where a folder should be")
    with pytest.raises(PlanFailed) as failed:
        rig.run()
    assert failed.value.reason == "documents_not_saved"
    assert rig.commands() == []


def test_traces_tell_of_the_last_attempt(rig: Rig) -> None:
    rig.run()
    traces = rig.executor.traces()
    assert traces is not None
    assert (traces.campaign_id, traces.trial_id, traces.attempt) == ("c", 7, 1)
    assert traces.commands
    assert rig.executor.is_whole(traces)
    assert rig.executor.restore(traces) == []
    with pytest.raises(PlanFailed):
        rig.run("raises_in_the_run")
    traces = rig.executor.traces()
    assert traces is not None
    assert traces.attempt == 2
    assert not rig.executor.is_whole(traces)


def test_an_executor_at_rest_has_nothing_to_tell(rig: Rig) -> None:
    rig.executor.quiet()
    rig.executor.park()
    assert rig.executor.observe() is None
    assert rig.executor.tripped() is None
    assert rig.executor.is_connected
    assert rig.executor.deadline_s(rig.request(deadline_s=50)) <= 50
