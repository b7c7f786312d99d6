"""The optimizer's child process: deadlines, deaths, and that it leaves nothing behind.

That it answers as Ax does in this process is tested in ``tests/contract/test_optimizers.py``.
"""

import os
import pickle
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

from orchestrator.adapters.disk.code_digest import code_digest
from orchestrator.adapters.optimizers import optimizer_process
from orchestrator.adapters.optimizers.optimizer_identity import optimizer_files
from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess, space_filling
from orchestrator.domain.errors import OptimizerError, SuggestionLate
from orchestrator.domain.proposal import Knowledge, Observation, Suggestion
from orchestrator.domain.spec import BudgetSpec, CampaignSpec

pytestmark = pytest.mark.integration

LAB = """
import os, time
from orchestrator.domain.proposal import Suggestion

class Lab:
    '''Notes each question, computes for as many milliseconds as the seed says.'''
    def suggest(self, known):
        with open(os.environ["LAB_NOTES"], "a") as notes:
            notes.write(f"{known.trial_id} {os.getpid()}\\n")
        time.sleep(known.seed / 1000)
        return Suggestion({"x": known.trial_id / 1000}, "model", {"pid": os.getpid()})

class Deadly(Lab):
    def suggest(self, known):
        super().suggest(known)
        os._exit(9)

class Failing(Lab):
    def suggest(self, known):
        raise ZeroDivisionError("no way")

class Unfinished:
    def __init__(self):
        raise RuntimeError("not written yet")
"""
NAMES = ("Lab", "Deadly", "Failing", "Unfinished")
SPEC = CampaignSpec.model_validate(
    {
        "name": "c",
        "instrument": "soft",
        "plan": {"name": "p"},
        "parameters": {"x": {"device": "x", "range": [0.0, 1.0]}},
        "objectives": {"o": {"goal": "maximize"}},
        "budget": {"trials": 10},
        "optimizer": {"initial_trials": 5},
    },
    strict=False,
)
PATIENCE_S = 60.0


def children() -> list[psutil.Process]:
    """The children of this process, without the server that other tests share."""
    return [one for one in psutil.Process().children() if one.name() != "valkey-server"]


def question(trial_id: int, milliseconds: int = 0) -> Knowledge:
    return Knowledge(SPEC, (), trial_id, milliseconds, "0")


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Installs a lab's own package of optimizers; gives what they noted: trial and pid."""
    (tmp_path / "lab_optimizers.py").write_text(LAB)
    about = tmp_path / "lab-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    entries = [f"{name.lower()} = lab_optimizers:{name}" for name in NAMES]
    (about / "entry_points.txt").write_text("\n".join(["[labwright.optimizers]", *entries, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LAB_NOTES", str(tmp_path / "notes"))
    (tmp_path / "notes").touch()
    return lambda: [line.split() for line in (tmp_path / "notes").read_text().splitlines()]


@pytest.fixture
def optimizer(notes: Any) -> Iterator[OptimizerProcess]:
    process = OptimizerProcess("lab")
    yield process
    process.close()


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


def pid_of(suggestion: Suggestion) -> int:
    assert isinstance(suggestion.details["pid"], int)
    return suggestion.details["pid"]


def test_space_filling_proposals_need_no_child(optimizer: OptimizerProcess, notes: Any) -> None:
    assert optimizer.suggest(question(5)) == space_filling(question(5))
    sobol = OptimizerProcess("sobol")
    sobol.warm_up(SPEC)
    assert sobol.suggest(question(9)) == space_filling(question(9))
    sobol.close()
    assert (children(), notes()) == ([], [])


def test_each_proposal_names_the_code_that_made_it(
    optimizer: OptimizerProcess, tmp_path: Path
) -> None:
    initial, by_model = optimizer.suggest(question(5)), optimizer.suggest(question(9))
    assert initial.details["code"] == code_digest(optimizer_files("sobol"))
    assert by_model.details["code"] == code_digest([tmp_path / "lab_optimizers.py"])


def test_no_child_waits_when_the_budget_ends_before_the_model_is_asked(
    optimizer: OptimizerProcess,
) -> None:
    def is_starting() -> bool:
        return "optimizer" in {thread.name for thread in threading.enumerate()}

    optimizer.warm_up(SPEC.model_copy(update={"budget": BudgetSpec(trials=5)}))
    assert not is_starting()
    optimizer.warm_up(SPEC)
    assert is_starting()


def test_one_child_answers_and_gives_way_to_others(optimizer: OptimizerProcess) -> None:
    optimizer.warm_up(SPEC)
    answers = [optimizer.suggest(question(number), PATIENCE_S) for number in (6, 7)]
    assert [answer.parameters for answer in answers] == [{"x": 0.006}, {"x": 0.007}]
    (child,) = children()
    assert {pid_of(answer) for answer in answers} == {child.pid}
    assert child.nice() == psutil.Process().nice() + 5
    assert os.getsid(child.pid) != os.getsid(0)


def test_a_late_answer_serves_the_same_question_later(
    optimizer: OptimizerProcess, notes: Any
) -> None:
    slow = question(6, 500)
    with pytest.raises(SuggestionLate, match="no proposal for trial 6 within 0.0 s"):
        optimizer.suggest(slow, 0.0)
    again = Knowledge(SPEC, (), 6, 500, "basis moved on")
    assert optimizer.suggest(again, PATIENCE_S).parameters == {"x": 0.006}
    assert optimizer.suggest(again, 0.0).parameters == {"x": 0.006}
    assert len(notes()) == 1


def test_a_thought_that_takes_too_long_is_given_up_and_the_next_one_finds_a_new_child(
    notes: Any,
) -> None:
    optimizer = OptimizerProcess("lab", deadline_s=15.0)
    try:
        hung = question(6, 3_600_000)
        with pytest.raises(SuggestionLate):
            optimizer.suggest(hung, 0.0)
        until(lambda: len(notes()) == 1)
        with pytest.raises(OptimizerError, match=r"trial 6 took longer than 15\.0 s"):
            optimizer.suggest(hung, PATIENCE_S)
        ((_, pid),) = notes()
        until(lambda: is_gone(int(pid)))
        answer = optimizer.suggest(question(7), PATIENCE_S)
        assert answer.parameters == {"x": 0.007}
        assert pid_of(answer) != int(pid)
    finally:
        optimizer.close()
    assert children() == []


def test_a_thought_that_hangs_is_given_up_once_it_is_known_how_long_they_take(
    optimizer: OptimizerProcess, notes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer_process, "LEAST_DEADLINE_S", 5.0)
    patient = OptimizerProcess("lab", deadline_s=600.0)
    patient.suggest(question(6), PATIENCE_S)
    with pytest.raises(OptimizerError, match=r"trial 7 took longer than \d\d?\.\d"):
        patient.suggest(question(7, 600_000), PATIENCE_S)
    assert patient.suggest(question(8), PATIENCE_S).parameters == {"x": 0.008}
    patient.close()


def test_of_the_waiting_questions_only_the_latest_is_worked_on(
    optimizer: OptimizerProcess, notes: Any
) -> None:
    with pytest.raises(SuggestionLate):
        optimizer.suggest(question(6, 700), 0.0)
    until(notes)
    for number in (7, 8, 9):
        with pytest.raises(SuggestionLate):
            optimizer.suggest(question(number), 0.0)
    assert optimizer.suggest(question(9), PATIENCE_S).parameters == {"x": 0.009}
    assert [trial for trial, _ in notes()] == ["6", "9"]


def test_a_killed_child_is_replaced_and_asked_again(
    optimizer: OptimizerProcess, notes: Any
) -> None:
    with pytest.raises(SuggestionLate):
        optimizer.suggest(question(6, 600), 0.0)
    until(notes)
    os.kill(int(notes()[0][1]), signal.SIGKILL)
    answer = optimizer.suggest(question(6, 600), PATIENCE_S)
    assert [trial for trial, _ in notes()] == ["6", "6"]
    os.kill(pid_of(answer), signal.SIGKILL)
    assert pid_of(optimizer.suggest(question(7), PATIENCE_S)) != pid_of(answer)


def test_three_deaths_are_enough(notes: Any) -> None:
    optimizer = OptimizerProcess("deadly")
    with pytest.raises(OptimizerError, match="died 3 times over trial 6"):
        optimizer.suggest(question(6), PATIENCE_S)
    assert len(notes()) == 3
    optimizer.close()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("failing", r"lab_optimizers:Failing failed: ZeroDivisionError: no way"),
        ("unfinished", r"lab_optimizers:Unfinished cannot be used: RuntimeError: not written yet"),
    ],
)
def test_errors_arrive_in_words(notes: Any, name: str, message: str) -> None:
    optimizer = OptimizerProcess(name)
    for _ in range(2):
        with pytest.raises(OptimizerError, match=message):
            optimizer.suggest(question(6), PATIENCE_S)
    optimizer.close()


def test_unknown_names_are_refused_with_near_ones(notes: Any) -> None:
    with pytest.raises(OptimizerError, match="no optimizer is called 'failling'.*'failing'"):
        OptimizerProcess("failling")
    with pytest.raises(OptimizerError, match=r"'auto', 'ax', .*'sobol'"):
        OptimizerProcess("?")


def test_closing_does_not_wait_for_a_fit(optimizer: OptimizerProcess, notes: Any) -> None:
    with pytest.raises(SuggestionLate):
        optimizer.suggest(question(6, 600_000), 0.0)
    until(notes)
    begun = time.monotonic()
    optimizer.close()
    assert time.monotonic() - begun < 5
    assert children() == []
    with pytest.raises(OptimizerError, match="closed"):
        optimizer.suggest(question(6), PATIENCE_S)


def test_a_child_that_stands_still_delays_nobody(optimizer: OptimizerProcess) -> None:
    pid = pid_of(optimizer.suggest(question(6), PATIENCE_S))
    os.kill(pid, signal.SIGINT)  # a Ctrl-C in the terminal is none of its business
    os.kill(pid, signal.SIGSTOP)
    many = tuple(Observation(i, {"x": i / 9999}, None, pending=True) for i in range(9999))
    with pytest.raises(SuggestionLate):
        optimizer.suggest(Knowledge(SPEC, many, 10_000, 0, "0"), 0.2)
    os.kill(pid, signal.SIGCONT)
    assert pid_of(optimizer.suggest(question(7), PATIENCE_S)) == pid


@pytest.mark.parametrize("seconds", [0, 600])
def test_the_child_ends_with_its_parent_even_in_a_fit(notes: Any, seconds: int) -> None:
    code = (
        "import pickle, sys\n"
        "from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess\n"
        "optimizer = OptimizerProcess('lab')\n"
        "optimizer.suggest(pickle.load(sys.stdin.buffer))\n"
        "sys.stdin.buffer.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment)
    with parent:
        assert parent.stdin is not None
        parent.stdin.write(pickle.dumps(question(6, 1000 * seconds)))
        parent.stdin.flush()
        until(notes)
        parent.kill()
    child = int(notes()[0][1])
    until(lambda: is_gone(child))
