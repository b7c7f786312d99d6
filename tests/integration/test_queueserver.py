"""What only a queueserver can do to a trial: be used by others, die in parts, lose documents."""

import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from orchestrator.adapters.documents.recorder import Recorder
from orchestrator.adapters.queueserver import watch, worker
from orchestrator.adapters.queueserver.client import QueueserverClient
from orchestrator.adapters.queueserver.documents import decoded
from orchestrator.adapters.queueserver.intake import Intake
from orchestrator.adapters.queueserver.look import look
from orchestrator.domain.errors import DeviceUnavailable, PlanFailed
from tests.contract.executor_rigs import Rig, queueserver
from tests.queueserver.beamline import Beamline


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Beamline]:
    with Beamline(tmp_path / "queueserver") as lab:
        yield lab


@pytest.fixture
def rig(lab: Beamline, tmp_path: Path) -> Iterator[Rig]:
    with queueserver(tmp_path / "data", lab) as rig:
        rig.executor.connect()
        yield rig


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker counts as dead after less time, so that the tests are over sooner."""
    for module in (watch, worker):
        monkeypatch.setattr(module, "DEAD_S", 6.0)


class Attempt(threading.Thread):
    """One attempt that is under way."""

    def __init__(self, rig: Rig, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self._given = (rig, args, kwargs)
        self.evidence: Any = None
        self.error: PlanFailed | None = None
        self.start()

    def run(self) -> None:
        rig, args, kwargs = self._given
        try:
            self.evidence = rig.run(*args, **kwargs)
        except PlanFailed as error:
            self.error = error


# Others use it, too


def test_while_others_use_it_no_trial_starts(rig: Rig, lab: Beamline) -> None:
    item: dict[str, Any] = {"item_type": "plan", "name": "measure_at", "args": [3.0, 3.0]}
    item["kwargs"] = {"dwell": 60}
    item["meta"] = [{"sample": "theirs"}]  # a queueserver takes a list, too
    who = {"user": "Ada", "user_group": "primary"}
    lab.client.ask("queue_item_execute", item=item, **who)
    lab.await_status(lambda status: status["manager_state"] == "executing_queue")
    assert rig.executor.tripped() == "the queueserver is busy: executing_queue 'measure_at' for Ada"
    assert rig.executor.observe() is None  # nothing of ours
    with pytest.raises(PlanFailed) as failed:
        rig.run()
    assert failed.value.reason == "interrupted"
    rig.executor.quiet()
    assert lab.client.status()["manager_state"] == "executing_queue"  # theirs is left alone
    lab.abort()
    assert rig.executor.tripped() is None
    assert rig.run()


def test_another_labwright_with_an_instrument_of_that_name_is_left_alone(
    rig: Rig, lab: Beamline, tmp_path: Path
) -> None:
    with queueserver(tmp_path / "elsewhere", lab) as other:
        other.executor.connect()
        assert other.run()
        assert rig.run()  # else both would be at the first attempt of one trial
        attempt = Attempt(rig, args={"dwell": 2.0})
        lab.await_status(lambda status: status["manager_state"] == "executing_queue")
        assert other.executor.observe() is None
        other.executor.quiet()
        attempt.join()
    assert attempt.evidence is not None


def test_a_lock_of_others_is_told(rig: Rig, lab: Beamline) -> None:
    lock = {"environment": True, "queue": True, "lock_key": "k", "user": "Ada", "note": "aligning"}
    lab.client.ask("lock", **lock)
    assert rig.executor.tripped() == "the queueserver is locked by Ada: aligning"


def test_somebody_in_the_kernel_of_the_worker_is_told(
    rig: Rig, lab: Beamline, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = lab.client.status()
    busy = {**idle, "ip_kernel_state": "busy"}
    monkeypatch.setattr(QueueserverClient, "status", lambda _: busy)
    assert rig.executor.tripped() == "the queueserver is busy: somebody works in its IPython kernel"


def test_what_others_publish_is_not_taken_for_ours(
    rig: Rig, lab: Beamline, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start = {"uid": "theirs", "time": 0.0}
    stop = {"uid": "end", "run_start": "theirs", "exit_status": "fail", "time": 0.0}
    attempt = Attempt(rig, args={"dwell": 5.0})
    lab.await_command(2)
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.connect(f"tcp://{lab.inward}")
        while "no plain data" not in caplog.text:  # a publisher is not told when it is connected
            assert attempt.is_alive(), "nothing of it arrived"
            publisher.send(b" start " + pickle.dumps(start))
            publisher.send(b" stop " + pickle.dumps(stop))
            publisher.send(b"no message at all")
            publisher.send(b" event " + pickle.dumps(_Evil(tmp_path / "evil")))
            time.sleep(0.05)
    attempt.join()
    assert attempt.evidence is not None
    assert [name for name, _ in rig.documents()] == ["start", "descriptor", "event", "stop"]
    assert not (tmp_path / "evil").exists()


class _Evil:
    """Calls a program when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> Any:
        return (os.system, (f"touch {self._trace}",))


def test_a_pickle_that_calls_something_is_refused() -> None:
    with pytest.raises(ValueError, match="system is no plain data"):
        decoded(b" event " + pickle.dumps(_Evil(Path("evil"))))


def test_numbers_of_numpy_and_json_are_taken() -> None:
    import numpy as np

    array = np.arange(6.0).reshape(2, 3)
    name, document = decoded(b" event " + pickle.dumps({"a": array, "b": np.float32(1.5)}))
    assert (name, document["b"]) == ("event", 1.5)
    assert (document["a"] == array).all()
    assert decoded(b'lab stop {"uid": "u"}') == ("stop", {"uid": "u"})


# It fails


def test_a_plan_that_fails_is_not_put_back_into_the_queue(rig: Rig, lab: Beamline) -> None:
    with pytest.raises(PlanFailed, match="shutter"):
        rig.run("raises_in_the_run")
    queue = lab.client.ask("queue_get")
    assert (queue["items"], queue["running_item"]) == ([], {})


def test_a_plan_that_somebody_else_ends_was_interrupted(rig: Rig, lab: Beamline) -> None:
    attempt = Attempt(rig, args={"dwell": 60})
    lab.await_command(2)
    lab.abort()
    attempt.join()
    assert attempt.error is not None
    assert (attempt.error.reason, str(attempt.error)) == (
        "stopped_by_person",
        "somebody has ended the plan at the queueserver: aborted",
    )


def test_a_paused_plan_has_all_the_time(rig: Rig, lab: Beamline) -> None:
    attempt = Attempt(rig, args={"dwell": 4.0}, deadline_s=12.0)
    lab.await_command(2)
    lab.client.ask("re_pause", option="immediate")
    lab.await_status(lambda status: status["manager_state"] == "paused")
    time.sleep(12.5)
    lab.client.ask("re_resume")
    attempt.join()
    assert attempt.error is None


def test_a_manager_that_is_killed_costs_nothing(rig: Rig, lab: Beamline) -> None:
    """Its watchdog starts another one, and the plan goes on meanwhile."""
    attempt = Attempt(rig, args={"dwell": 8.0})
    lab.await_command(2)
    lab.kill("manager")
    attempt.join()
    assert attempt.error is None
    assert [command for command, _ in lab.commands()].count("set x") == 1
    assert rig.executor.is_connected


@pytest.mark.usefixtures("soon")
def test_a_dead_worker_is_found_out(rig: Rig, lab: Beamline) -> None:
    attempt = Attempt(rig, args={"dwell": 600.0}, deadline_s=600.0)
    lab.await_command(2)
    lab.kill("worker")
    attempt.join()
    assert isinstance(attempt.error, PlanFailed)
    assert attempt.error.reason == "device_disconnected"
    assert "worker" in str(attempt.error)
    assert lab.client.status()["manager_state"] == "executing_queue"  # the manager knows nothing
    assert not rig.executor.is_connected
    assert rig.executor.is_reusable  # it waits for people
    assert "qserver environment destroy" in str(rig.executor.observe())
    lab.client.ask("environment_destroy")
    lab.await_status(lambda status: not status["worker_environment_exists"])
    assert not rig.executor.is_connected
    lab.open_environment()
    assert rig.executor.is_connected
    assert rig.executor.observe() is None
    assert rig.run()
    assert [command for command, _ in lab.commands()].count("set x") == 2


@pytest.mark.usefixtures("soon")
def test_a_dead_worker_is_replaced_where_that_is_allowed(lab: Beamline, tmp_path: Path) -> None:
    with queueserver(tmp_path / "data", lab, restart_environment=True) as rig:
        rig.executor.connect()
        attempt = Attempt(rig, args={"dwell": 600.0}, deadline_s=600.0)
        lab.await_command(2)
        lab.kill("worker")
        attempt.join()
        assert not rig.executor.is_reusable
    with queueserver(tmp_path / "more data", lab, restart_environment=True) as rig:
        rig.executor.connect()
        assert rig.run()


def test_without_an_environment_nothing_connects(lab: Beamline, tmp_path: Path) -> None:
    lab.client.ask("environment_close")
    lab.await_status(lambda status: not status["worker_environment_exists"])
    with queueserver(tmp_path / "data", lab) as rig:
        with pytest.raises(DeviceUnavailable, match="qserver environment open"):
            rig.executor.connect()
    with queueserver(tmp_path / "data", lab, restart_environment=True) as rig:
        rig.executor.connect()
        assert rig.run()
        lab.client.ask("environment_close")
        lab.await_status(lambda status: not status["worker_environment_exists"])
        assert not rig.executor.is_connected
        assert not rig.executor.is_reusable  # the next worker opens one, as this one did


def test_the_next_worker_ends_what_a_killed_one_has_left(
    rig: Rig, lab: Beamline, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.contract.executor_rigs import queueserver\n"
        "from tests.queueserver.beamline import Beamline\n"
        "from orchestrator.domain.spec import QueueserverSpec\n"
        "lab = Beamline.at(Path(sys.argv[1]), QueueserverSpec.model_validate_json(sys.argv[2]))\n"
        "with queueserver(Path(sys.argv[3]), lab) as rig:\n"
        "    rig.executor.connect()\n"
        "    rig.run(args={'dwell': 600.0}, deadline_s=600.0)\n"
    )
    given = [str(lab.folder), lab.spec.model_dump_json(), str(tmp_path / "data")]
    with subprocess.Popen([sys.executable, "-c", code, *given]) as process:
        lab.await_command(2)
        process.kill()
    assert rig.executor.observe() == "the queueserver runs 'measure' of trial 7 still"
    rig.executor.quiet()
    assert rig.executor.observe() is None
    traces = rig.executor.traces()
    assert traces is not None
    assert not rig.executor.is_whole(traces)
    assert lab.client.ask("queue_get")["items"] == []


# Documents get lost


class _Source:
    def __init__(self) -> None:
        self.waiting: list[tuple[str, dict[str, Any]]] = []

    def take(self) -> Iterator[tuple[str, dict[str, Any]]]:
        while self.waiting:
            yield self.waiting.pop(0)


RUN = [
    ("start", {"uid": "r", "time": 0.0, "trial_id": 7}),
    ("descriptor", {"uid": "d", "run_start": "r", "name": "primary", "data_keys": {}}),
    ("event", {"uid": "e1", "descriptor": "d", "seq_num": 1, "data": {}}),
    ("event", {"uid": "e2", "descriptor": "d", "seq_num": 2, "data": {}}),
    (
        "stop",
        {"uid": "s", "run_start": "r", "exit_status": "success", "num_events": {"primary": 2}},
    ),
]


@pytest.mark.parametrize("lost", range(5))
def test_a_document_that_is_lost_on_its_way_is_missed(tmp_path: Path, lost: int) -> None:
    source = _Source()
    recorder = Recorder(tmp_path, "runs/c/1.jsonl", None)
    intake = Intake(source, recorder, {"trial_id": 7})
    source.waiting = [document for place, document in enumerate(RUN) if place != lost]
    intake.take()
    assert intake.lack(["r"]) is not None
    recorder.close()


def test_nothing_is_missed_when_all_came(tmp_path: Path) -> None:
    source = _Source()
    source.waiting = [("start", {"uid": "old", "trial_id": 7})]  # before the attempt began
    recorder = Recorder(tmp_path, "runs/c/1.jsonl", None)
    intake = Intake(source, recorder, {"trial_id": 7})
    source.waiting = [("event", {"descriptor": []}), *RUN]  # the first is of others
    assert intake.take()
    assert intake.lack(["r"]) is None
    recorder.close()


def test_a_startup_that_publishes_nothing_is_told(lab: Beamline, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with queueserver(tmp_path, lab, documents=address) as rig:
            rig.executor.connect()
            with pytest.raises(PlanFailed, match=f"did not arrive from {address}") as failed:
                rig.run()
            assert failed.value.reason == "documents_not_received"
            silent.close()
            assert not rig.executor.is_connected
            assert "nothing publishes documents" in str(rig.executor.observe())


def test_where_nobody_publishes_nothing_is_measured(lab: Beamline, tmp_path: Path) -> None:
    with queueserver(tmp_path, lab, documents="tcp://127.0.0.1:9") as rig:
        with pytest.raises(DeviceUnavailable, match="nothing publishes documents at"):
            rig.executor.connect()
    assert lab.commands() == []


def test_a_message_that_is_thrown_away_is_told(rig: Rig, lab: Beamline) -> None:
    with pytest.raises(PlanFailed, match="thrown away: .*datetime is no plain data"):
        rig.run("dated")


# The look before the start


def test_a_look_finds_nothing_wrong(rig: Rig, lab: Beamline) -> None:
    assert look(rig.request().campaign, lab.spec) == ([], [])


def test_a_look_tells_what_would_not_run(rig: Rig, lab: Beamline) -> None:
    def wrong(*args: Any, **kwargs: Any) -> list[str]:
        problems, _ = look(rig.request(*args, **kwargs).campaign, lab.spec)
        return [f"{one.place}: {one.message}" for one in problems]

    (text,) = wrong("mesure")
    assert text.startswith("plan.name: the queueserver allows no plan 'mesure'; did you mean 'mea")
    (text,) = wrong(args={"dwel": 1})
    assert text.startswith("plan.args.dwel: the plan has no argument 'dwel'")
    texts = wrong("measure_at", arguments={"x_position": 1})
    assert texts == ["plan.args: the plan needs the argument 'y_position'"]
    (text,) = wrong("count", args={"detectors": ["det"]})
    assert "no argument 'settings'" in text
    deaf = lab.spec.model_copy(update={"documents": "tcp://127.0.0.1:9"})
    problems, _ = look(rig.request().campaign, deaf)
    assert [one.place for one in problems] == ["queueserver.documents"]


def test_a_look_warns_of_others(rig: Rig, lab: Beamline) -> None:
    item = {"item_type": "plan", "name": "measure_at", "args": [3.0, 3.0]}
    lab.client.ask("queue_item_add", item=item, user="Ada", user_group="primary")
    problems, warnings = look(rig.request().campaign, lab.spec)
    assert problems == []
    assert [one.message for one in warnings] == [
        "1 items of others are in the queue, which waits for trials"
    ]
