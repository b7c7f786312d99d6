"""A lab's reducers in their child process: whatever they do, the one who asked gets an answer.

What is made of the outcomes themselves is tested in ``tests/unit/adapters/test_reducer.py``.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.domain.errors import ReductionError
from orchestrator.domain.spec import CampaignSpec
from orchestrator.ports import Reduction
from tests.unit.adapters.test_run_documents import DESCRIPTOR, START, STOP, event, written

pytestmark = pytest.mark.integration

LAB = """
import ctypes, multiprocessing, os, signal, sys, time

NOTES = os.environ["LAB_NOTES"]

def noted():
    with open(NOTES, "a") as notes:
        notes.write(f"{os.getpid()}\\n")
    with open(NOTES) as notes:
        return len(notes.readlines())

def good(runs):
    noted()
    return {"y": (float(runs[0]["primary"]["det"].sum()), None, "mm"), "pid": os.getpid()}

def raising(runs):
    raise ValueError("no peak" + "!" * 9999)

def not_finite(runs):
    return {"y": float("nan")}

def of_its_own_type(runs):
    class Unit: pass
    return {"y": (1.0, None, Unit())}

def talking(runs):
    print("I think it is a peak")
    return good(runs)

def holding(runs):
    noted()
    ctypes.PyDLL(None).usleep(600_000_000)

def leaving(runs):
    noted()
    sys.exit(3)

def exiting(runs):
    noted()
    os._exit(7)

def crashing(runs):
    noted()
    os.kill(os.getpid(), signal.SIGSEGV)

def killed(runs):
    noted()
    os.kill(os.getpid(), signal.SIGKILL)

def half_an_answer(runs):
    noted()
    for descriptor in range(3, 64):  # as code does that writes to a descriptor which is not its own
        try:
            os.write(descriptor, b"half of something")
        except OSError:
            pass
    time.sleep(600)

def slow_at_first(runs):
    if noted() == 1:
        time.sleep(600)
    return {"y": 1.0}

def forking(runs):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
    for child in multiprocessing.active_children():
        with open(NOTES, "a") as notes:
            notes.write(f"{child.pid}\\n")
    os._exit(7)
"""
PATIENCE_S = 60.0


def spec(reducer: str, timeout_s: float = PATIENCE_S) -> CampaignSpec:
    data = {
        "name": "c",
        "instrument": "soft",
        "plan": {"name": "steady_state_sample"},
        "reduce": {"call": f"lab_reducers.{reducer}", "timeout_s": timeout_s},
        "parameters": {"x": {"device": "x", "range": [0.0, 1.0]}},
        "objectives": {"y": {"goal": "maximize"}},
        "budget": {"trials": 10},
    }
    return CampaignSpec.from_data(data)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a lab with its reducers and the documents of one trial."""
    written(tmp_path / "1.jsonl", START, DESCRIPTOR, event(det=1.0), event(2, det=2.0), STOP)
    (tmp_path / "lab_reducers.py").write_text(LAB)
    (tmp_path / "notes").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LAB_NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # a file mended within a second is read
    return tmp_path


@pytest.fixture
def reducer(lab: Path) -> Iterator[ReducerProcess]:
    process = ReducerProcess(lab)
    yield process
    process.close()


def reduced(reducer: ReducerProcess, name: str, timeout_s: float = PATIENCE_S) -> Reduction:
    return reducer.reduce(spec(name, timeout_s), "1.jsonl")


def why_not(reducer: ReducerProcess, name: str, timeout_s: float = PATIENCE_S) -> str:
    with pytest.raises(ReductionError) as caught:
        reduced(reducer, name, timeout_s)
    return str(caught.value)


def noted(lab: Path) -> list[int]:
    """Pids of the processes that began to reduce, oldest first."""
    return [int(line) for line in (lab / "notes").read_text().splitlines()]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_of(reduction: Reduction) -> int:
    return int(reduction.outcomes["pid"].mean)


def test_one_child_reduces_trial_after_trial(reducer: ReducerProcess) -> None:
    reducer.warm_up()
    first, second = reduced(reducer, "good"), reduced(reducer, "good")
    assert (first.outcomes["y"].mean, first.outcomes["y"].unit, first.invalid) == (3.0, "mm", None)
    assert first == second
    child = psutil.Process(pid_of(first))
    assert child.ppid() == os.getpid()
    assert child.nice() == psutil.Process().nice(), "the instrument may have to wait for it"
    assert os.getsid(child.pid) != os.getsid(0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raising", "raising raised ValueError: no peak!"),
        ("not_finite", "outcome 'y' is nan, not finite"),
        ("of_its_own_type", "unit of 'y' is <lab_reducers"),
        ("absent", "lab_reducers has no 'absent'"),
        ("leaving", "the reducer's process ended with exit code 3"),
        ("exiting", "the reducer's process ended with exit code 7"),
        ("crashing", "the reducer's process was killed by SIGSEGV"),
    ],
)
def test_what_goes_wrong_is_said_and_the_next_trial_is_reduced(
    reducer: ReducerProcess, lab: Path, name: str, says: str
) -> None:
    message = why_not(reducer, name)
    assert message.startswith(says)
    assert len(message) <= 2000
    assert len(noted(lab)) <= 1, "it was asked once"
    assert reduced(reducer, "good").outcomes["y"].mean == 3.0


@pytest.mark.parametrize("name", ["holding", "half_an_answer"])
def test_one_that_hangs_is_stopped_at_its_deadline(
    reducer: ReducerProcess, lab: Path, name: str
) -> None:
    """Even when it holds the interpreter lock, or has begun what looks like an answer."""
    reduced(reducer, "good")
    begun = time.monotonic()
    message = why_not(reducer, name, 0.5)
    assert message == "the reducer took longer than 0.5 s (reduce.timeout_s): killed"
    assert time.monotonic() - begun < 10
    assert all(is_gone(pid) for pid in noted(lab))
    assert reduced(reducer, "good").outcomes["y"].mean == 3.0
    assert reducer.deadline_s(spec("good", 10.0)) >= 10.0


def test_a_child_that_does_not_get_ready_is_given_up(
    reducer: ReducerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.adapters.reduction.reducer_process.START_S", 0.001)
    assert why_not(reducer, "good") == "the reducer's process was not ready within 0.001 s"


def test_a_kill_from_outside_says_nothing_against_the_reducer(
    reducer: ReducerProcess, lab: Path
) -> None:
    def kill() -> None:
        until(lambda: noted(lab))
        os.kill(noted(lab)[0], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    assert reduced(reducer, "slow_at_first").outcomes["y"].mean == 1.0
    killing.join()
    assert len(noted(lab)) == 2


def test_a_reducer_that_is_always_killed_is_given_up(reducer: ReducerProcess, lab: Path) -> None:
    """As the kernel does when it takes more memory than there is."""
    assert why_not(reducer, "killed") == "the reducer's process was killed by SIGKILL"
    assert len(set(noted(lab))) == 3
    assert reduced(reducer, "good").outcomes["y"].mean == 3.0


def test_a_child_killed_between_trials_is_not_missed(reducer: ReducerProcess) -> None:
    pid = pid_of(reduced(reducer, "good"))
    os.kill(pid, signal.SIGINT)  # a Ctrl-C in the terminal is none of its business
    assert pid_of(reduced(reducer, "good")) == pid
    os.kill(pid, signal.SIGKILL)
    assert pid_of(reduced(reducer, "good")) != pid


def test_a_mended_reducer_is_used_at_once(reducer: ReducerProcess, lab: Path) -> None:
    why_not(reducer, "raising")
    (lab / "lab_reducers.py").write_text(LAB + "raising = good\n")
    assert reduced(reducer, "raising").outcomes["y"].mean == 3.0


def test_what_a_reducer_prints_is_no_answer(
    reducer: ReducerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    assert reduced(reducer, "talking").outcomes["y"].mean == 3.0
    reducer.close()
    said, complained = capfd.readouterr()
    assert "peak" not in said, "standard output belongs to the verb's own answer"
    assert "I think it is a peak" in complained


def test_a_death_is_noticed_at_once_and_leaves_no_process(
    reducer: ReducerProcess, lab: Path
) -> None:
    """A process that the reducer forked still has all that was open in the dead one."""
    begun = time.monotonic()
    assert why_not(reducer, "forking") == "the reducer's process ended with exit code 7"
    assert time.monotonic() - begun < PATIENCE_S / 2
    (forked,) = noted(lab)
    until(lambda: is_gone(forked))


def test_closing_leaves_nothing(reducer: ReducerProcess) -> None:
    pid = pid_of(reduced(reducer, "good"))
    reducer.close()
    assert is_gone(pid)


@pytest.mark.parametrize("name", ["good", "holding"])
def test_the_child_ends_with_its_parent_even_while_it_reduces(lab: Path, name: str) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.integration.test_reducer_process import ReducerProcess, spec\n"
        "ReducerProcess(Path(sys.argv[1])).reduce(spec(sys.argv[2]), '1.jsonl')\n"
        "sys.stdin.buffer.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(lab), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as parent:
        until(lambda: noted(lab))
        parent.kill()
    (child,) = noted(lab)
    until(lambda: is_gone(child))
