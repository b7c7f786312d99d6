"""Attempts on a RunEngine that somebody else has called, as in a lab's own session."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bluesky import RunEngine
from bluesky.suspenders import SuspendFloor
from bluesky.utils import Msg, RunEngineInterrupted
from ophyd import Signal
from ophyd.sim import SynAxis

from orchestrator.adapters.documents.run_documents import read_runs
from orchestrator.adapters.engines.hosted_engine import HostedEngine
from orchestrator.adapters.engines.left_over import LeftOver
from orchestrator.domain.errors import (
    DeviceUnavailable,
    EnvelopeError,
    LabError,
    PlanAborted,
    PlanFailed,
    Unusable,
)
from tests.unit.adapters import adoption_lab
from tests.unit.adapters.executor_lab import HERE, HOOKS, Lab, ObservedBench

CALLS = (f"{HERE}.calls", {"detector": "bench.det", "number": 0})
HANGS = (f"{HERE}.hangs_after_call", {"detector": "bench.det", "number": 0})
SLEEPS = (f"{HERE}.sleeps", {"detector": "bench.det", "seconds": 60})
RAISES = (f"{HERE}.raises", {"detector": "bench.det"})
SPENDS = {"consumes_sample": True}


class Session:
    """A RunEngine of the lab, and an executor that has it."""

    def __init__(
        self,
        data_dir: Path,
        engine: RunEngine,
        instrument: dict[str, Any] | None = None,
        grace_s: float = 10.0,
        **names: Any,
    ) -> None:
        self.engine = engine
        engine.pause_msg = ""
        self.hosted = HostedEngine(engine, names)
        self.hosted.guard()
        more = {"session": self.hosted, "abort_grace_s": grace_s}
        self.lab = Lab(data_dir, instrument or {}, **more)

    def plan(self, *attempts: Callable[[], Any]) -> Any:
        """A plan for these attempts, and what came of each of them."""
        found: list[Any] = []

        def work() -> None:
            for attempt in attempts:
                try:
                    found.append(attempt())
                except LabError as error:
                    found.append(error)

        return self.hosted.serve(work), found

    def run(self, *attempts: Callable[[], Any]) -> list[Any]:
        plan, found = self.plan(*attempts)
        self.engine(plan)
        return found

    def attempt(self, plan: str, args: dict[str, Any], **more: Any) -> Callable[[], Any]:
        return lambda: self.lab.run(plan, args, **more)

    def beside(self, order: Callable[[], Any]) -> None:
        """Have an order given from a thread, once the plan of ``CALLS`` is in its midst."""
        HOOKS[:] = [threading.Thread(target=order, daemon=True).start]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    HOOKS.clear()
    return Session(tmp_path, RunEngine({"proposal": "2026-1"}, context_managers=[]))


def test_each_attempt_has_documents_of_its_own(session: Session) -> None:
    seen: list[str] = []
    session.engine.subscribe(lambda name, _: seen.append(name))
    first, second = session.run(session.lab.run, session.lab.run)
    assert first.run_uid != second.run_uid
    (start, *_, stop) = session.lab.documents()
    assert start[0] == "start"
    assert (start[1]["proposal"], start[1]["attempt"]) == ("2026-1", 2)
    assert start[1]["plan_name"] == "steady_state_sample"
    assert stop[1]["exit_status"] == "success"
    assert seen.count("start") == seen.count("stop") == 2, "the lab's own subscribers hear of all"


def test_the_runengine_is_left_as_it_was(session: Session) -> None:
    beam = Signal(name="beam", value=100.0)
    session.engine.install_suspender(SuspendFloor(beam, 10))
    before = session.engine.suspenders
    session.lab.executor.connect()
    assert "request_suspend" in vars(session.engine)
    session.run(session.lab.run)
    session.hosted.unguard()
    assert "request_suspend" not in vars(session.engine)
    assert session.engine.suspenders == before
    assert session.engine.preprocessors == []


def test_after_a_plan_that_raises_the_next_attempt_goes_well(session: Session) -> None:
    failed, done = session.run(session.attempt(*RAISES), session.lab.run)
    assert isinstance(failed, PlanFailed)
    assert "the plan is wrong" in str(failed)
    assert done.run_uid
    session.lab.requests = 1
    assert session.lab.stop_document()["exit_status"] == "fail"


def test_what_the_labs_preprocessors_add_is_checked(tmp_path: Path) -> None:
    session = Session(tmp_path, adoption_lab.make_wild_engine())
    (refused,) = session.run(session.lab.run)
    assert isinstance(refused, EnvelopeError)
    assert ("x", 99.0) not in session.lab.bench.told


def test_nothing_moves_without_the_guard(session: Session) -> None:
    session.hosted.unguard()
    (refused,) = session.run(session.lab.run)
    assert isinstance(refused, Unusable)
    assert session.lab.bench.told == []


def test_nothing_moves_with_the_guard_further_inside(session: Session) -> None:
    session.engine.preprocessors.append(lambda plan: plan)
    (refused,) = session.run(session.lab.run)
    assert isinstance(refused, Unusable)
    assert session.lab.bench.told == []
    session.hosted.guard()
    session.lab.executor.connect()
    assert session.run(session.lab.run)[0].run_uid, "the next plan has it outermost again"


def test_it_serves_inside_a_larger_plan(session: Session) -> None:
    plan, found = session.plan(session.lab.run)

    def night() -> Any:
        yield Msg("null")
        yield from plan
        yield Msg("null")

    session.engine(night())
    assert found[0].run_uid


def test_a_deadline_ends_one_attempt_only(session: Session) -> None:
    late, done = session.run(session.attempt(*SLEEPS, deadline_s=0.2), session.lab.run)
    assert isinstance(late, PlanFailed)
    assert late.reason == "deadline"
    assert done.run_uid
    assert session.lab.executor.is_reusable


def test_a_device_that_blocks_makes_the_executor_unusable(tmp_path: Path) -> None:
    """The RunEngine hears of nothing meanwhile; once it does, the attempt is ended."""
    bench = ObservedBench(name="bench", timeout_s=None)
    session = Session(tmp_path, RunEngine({}, context_managers=[]), bench=bench, grace_s=0.2)
    bench.gate.clear()

    def let_go() -> bool:
        usable = session.lab.executor.is_reusable
        bench.gate.set()
        return usable

    late, usable = session.run(lambda: session.lab.run(deadline_s=0.2), let_go)
    assert isinstance(late, PlanFailed)
    assert late.reason == "deadline"
    assert not usable
    assert session.engine.state == "idle"


def test_an_order_to_abort_ends_the_attempt(session: Session) -> None:
    session.lab.order = "aborting"
    (ended,) = session.run(session.attempt(*SLEEPS))
    assert isinstance(ended, PlanAborted)
    assert session.engine.state == "idle"


@pytest.mark.parametrize("how", ["abort", "stop", "halt"])
def test_a_person_ends_the_runengines_call(session: Session, how: str) -> None:
    session.beside(getattr(session.engine, how))
    plan, found = session.plan(session.attempt(*HANGS), session.lab.run)
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    ended, refused = _both(found)
    assert isinstance(ended, PlanAborted)
    assert isinstance(refused, PlanFailed), "no other attempt is begun"
    assert session.engine.state == "idle"
    assert session.lab.executor.is_reusable is (how != "halt")
    session.lab.executor.connect()
    assert session.run(session.lab.run)[0].run_uid, "the next call is a new beginning"


def _both(found: list[Any]) -> list[Any]:
    """What came of two attempts; a halt does not wait until the second is refused."""
    give_up = time.monotonic() + 10
    while len(found) < 2 and time.monotonic() < give_up:
        time.sleep(0.01)
    return found


def test_a_pause_costs_no_time_and_the_attempt_goes_on(session: Session) -> None:
    session.beside(session.engine.request_pause)
    plan, found = session.plan(session.attempt(*CALLS, deadline_s=1.0))
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    assert session.engine.state == "paused"
    over = time.monotonic() + 1.5
    while time.monotonic() < over:
        time.sleep(0.05)
    assert found == [], "its deadline has not passed"
    HOOKS[:] = [lambda: None]
    left: list[str] = []
    session.hosted.afterwards(lambda: left.append("the instrument"))
    assert left == [], "the plan may go on"
    session.engine.resume()
    assert found[0].run_uid
    assert left == ["the instrument"]


def test_between_two_attempts_a_pause_is_obeyed(session: Session) -> None:
    def ask_for_pause() -> Any:
        session.engine.request_pause(defer=True)
        return session.lab.run()

    plan, found = session.plan(ask_for_pause)
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    assert session.lab.bench.told == []
    session.engine.abort()
    assert found[0].reason == "interrupted", "it did not begin, and is not cancelled"


def test_an_event_that_is_repeated_after_a_pause_counts_once(session: Session) -> None:
    session.beside(session.engine.request_pause)
    plan, found = session.plan(session.attempt(f"{HERE}.calls_after_event", CALLS[1]))
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    session.engine.resume()
    assert found[0].run_uid
    names = [name for name, _ in session.lab.documents()]
    assert names.count("event") == 2
    (run,) = read_runs(session.lab.data_dir / found[0].documents)
    assert len(run["primary"]) == 1


def test_a_paused_call_may_be_aborted(session: Session) -> None:
    session.beside(session.engine.request_pause)
    plan, found = session.plan(session.attempt(*HANGS))
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    session.engine.abort()
    assert isinstance(found[0], PlanAborted)
    assert session.lab.executor.is_reusable


def test_a_suspender_that_trips_ends_the_attempt(tmp_path: Path) -> None:
    adoption_lab.BEAM.put(100.0)
    adoption_lab.DONE.clear()
    engine = RunEngine({}, context_managers=[])
    instrument = {"suspenders": "tests.unit.adapters.adoption_lab:all_suspenders"}
    session = Session(tmp_path, engine, instrument)
    HOOKS[:] = [lambda: adoption_lab.BEAM.put(1.0)]
    (ended, why) = session.run(session.attempt(*HANGS), lambda: session.lab.executor.tripped())
    assert isinstance(ended, PlanFailed)
    assert ended.reason == "interrupted"
    assert "beam is 1.0" in why
    assert adoption_lab.DONE == ["before"], "it was done on the RunEngine of the session"
    assert engine.suspenders == ()
    adoption_lab.BEAM.put(100.0)


def test_an_attempt_that_consumes_is_not_repeated_after_a_pause(session: Session) -> None:
    session.beside(session.engine.request_pause)
    plan, found = session.plan(session.attempt(*HANGS, policy=SPENDS))
    with pytest.raises(RunEngineInterrupted):
        session.engine(plan)
    assert session.engine.state == "idle"
    assert isinstance(found[0], PlanAborted)


def test_what_the_thread_raises_ends_the_plan(session: Session) -> None:
    def work() -> None:
        raise Unusable("no more")

    with pytest.raises(Unusable, match="no more"):
        session.engine(session.hosted.serve(work))


def test_devices_of_the_session_are_used(tmp_path: Path) -> None:
    bench = ObservedBench(name="bench", timeout_s=None)
    session = Session(tmp_path, RunEngine({}, context_managers=[]), bench=bench)
    session.run(session.lab.run)
    assert ("x", 1.0) in bench.told
    with pytest.raises(DeviceUnavailable, match="'bench' of the session is a SynAxis, no tests"):
        Session(tmp_path, session.engine, bench=SynAxis(name="bench"))


def test_what_a_plan_has_left_is_put_away() -> None:
    class Stage:
        stopped = False

        def stop(self) -> None: ...

    stage, camera = Stage(), object()
    left = LeftOver()
    for message in (
        Msg("open_run", None, run="a"),
        Msg("stage", camera),
        Msg("set", stage, 1.0, group="moves"),
        Msg("monitor", camera, run="a"),
        Msg("open_run", None, run="b"),
        Msg("close_run", None, run="b"),
    ):
        left.note(message)

    def away(error: Exception | None) -> list[tuple[Any, ...]]:
        return [(one.command, one.obj, one.run) for one in left.put_away(error)]

    put_away = [
        ("unmonitor", camera, "a"),
        ("close_run", None, "a"),
        ("unstage", camera, None),
        ("wait", None, None),
    ]
    assert away(None) == put_away, "what has arrived may stand where it is"
    assert away(ValueError("it raised")) == [("stop", stage, None), ("wait", None, None), *put_away]
