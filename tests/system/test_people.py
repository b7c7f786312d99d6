"""People in the loop, as they meet it: they answer a plan, and approve the first trials."""

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system.lab import (
    LABWRIGHT,
    answer,
    environment,
    finish,
    labwright,
    live_state,
    process_of,
    start,
    wait_for,
    with_code_of,
    write,
)

pytestmark = pytest.mark.system

PLANS = '''
"""Plans of the lab's own."""

import bluesky.plan_stubs as bps
from bluesky.plans import count


def with_a_sample(detector, settings, md=None):
    for device, value in settings.items():
        yield from bps.mv(device, value)
    told = yield from bps.input_plan("which sample is loaded?")
    yield from count([detector], md={**(md or {}), "sample": told})
'''
CAMPAIGN = """
name: asking
instrument: soft
plan: {name: lab_plans.with_a_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 1}
optimizer: {method: sobol}
policy: {answer_within_s: 60}
"""


def lab_of(folder: Path) -> dict[str, str]:
    write(folder, "lab_plans.py", PLANS)
    return with_code_of(folder)


def question(data_dir: Path) -> dict[str, Any] | None:
    done = labwright("status", "--json", "--data-dir", str(data_dir), code=None)
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (3 if told.get("question") else 0)
    return told.get("question")


def test_a_plan_asks_and_a_person_answers(data_dir: Path, tmp_path: Path) -> None:
    lab, where = lab_of(tmp_path), ("--data-dir", str(data_dir))
    running = start(
        "run", write(tmp_path, "a.yaml", CAMPAIGN), "--id", "a", "--json", *where, **lab
    )
    wait_for(lambda: data_dir.joinpath("lab.json").exists(), "the lab is up")
    asked = wait_for(lambda: question(data_dir), "the plan asks")
    assert asked["text"] == "which sample is loaded?"
    said = labwright("status", *where, code=3).stdout
    assert "labwright answer a '...'" in said
    labwright("answer", "a", "B7", "--question", "1-9-9", *where, code=2)
    assert "goes on with 'B7'" in labwright("answer", "a", "B7", *where).stdout
    code, told, complaints = finish(running)
    assert code == 0, complaints
    assert "trial 1 asks" in complaints
    outcome = json.loads(told)
    assert outcome["trials"]["measured"] == 1
    assert outcome["needs_person_s"] > 0
    assert '"sample":"B7"' in next((data_dir / "runs" / "a").iterdir()).read_text().replace(" ", "")
    kinds = [one["event"] for one in answer("why", "1", "--campaign", "a", *where)["history"]]
    assert kinds[3:6] == ["asked", "answered", "acquired"]


def test_a_question_that_nobody_answers_ends_with_code_3(data_dir: Path, tmp_path: Path) -> None:
    file = write(tmp_path, "a.yaml", CAMPAIGN.replace("within_s: 60", "within_s: 0.5"))
    where = ("--data-dir", str(data_dir))
    outcome = answer("run", file, "--id", "a", *where, code=3, **lab_of(tmp_path))
    assert outcome["status"] == "needs_person"
    why = answer("why", "1", "--campaign", "a", *where)
    assert [one["reason"] for one in why["history"] if one["event"] == "failed"] == ["unanswered"]


def test_the_first_trials_start_when_a_person_has_approved_them(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    running = start("run", "soft", "--step", "2", "--trials", "3", "--id", "a", "--json", *where)
    approves(1, data_dir)
    approves(2, data_dir)
    code, told, complaints = finish(running)
    assert code == 0, told + complaints
    assert json.loads(told)["trials"]["measured"] == 3
    history = answer("why", "2", "--campaign", "a", *where)["history"]
    (approved,) = [one for one in history if one["event"] == "approved"]
    assert approved["by"]
    labwright("approve", "a", *where, code=2)


def approves(number: int, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    wait_for(lambda: waits_for(number, data_dir), f"trial {number} waits for approval")
    said = labwright("status", *where, code=3).stdout
    assert f"trial {number} is to be approved: x" in said
    assert "labwright approve a" in said
    labwright("approve", "a", "--trial", str(3 - number), *where, code=2)
    said = labwright("approve", "a", *where).stdout
    assert said.startswith(f"trial {number} may start at x")


def waits_for(number: int, data_dir: Path) -> bool:
    state = live_state(data_dir)
    trial = state.to_approve
    return state.awaits_approval and trial is not None and trial.trial_id == number


def test_a_run_that_nobody_approves_ends_with_code_3_and_can_be_resumed(
    data_dir: Path, tmp_path: Path
) -> None:
    hurried = CAMPAIGN.replace("within_s: 60", "within_s: 0.5").replace(
        "lab_plans.with_a_sample", "steady_state_sample"
    )
    where = ("--data-dir", str(data_dir))
    file = write(tmp_path, "a.yaml", hurried)
    outcome = answer("run", file, "--step", "1", "--id", "a", *where, code=3)
    assert (outcome["status"], outcome["trials"]["queued"]) == ("needs_person", 1)
    labwright("approve", "a", *where)
    assert answer("run", "--resume", "a", *where)["trials"]["measured"] == 1


def test_who_sits_at_the_keyboard_is_asked_there(data_dir: Path) -> None:
    keyboard, terminal = pty.openpty()
    command = [LABWRIGHT, "run", "soft", "--step", "5", "--trials", "5", "--json"]
    with subprocess.Popen(
        [*command, "--data-dir", str(data_dir)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as running:
        os.write(keyboard, b"y\nyes\nno\n")
        told, complaints = running.communicate(timeout=90)
    os.close(keyboard)
    os.close(terminal)
    assert running.returncode == 130, complaints
    outcome = json.loads(told)
    assert (outcome["status"], outcome["trials"]["measured"]) == ("paused", 2)
    assert complaints.count("start trial") == 3
    name, where = outcome["campaign_id"], ("--data-dir", str(data_dir))
    rest = answer("run", "--resume", name, "--step", "0", *where)
    assert rest["trials"]["measured"] == 5, "nobody has to approve any more"


def test_a_worker_that_dies_while_it_waits_takes_its_question_along(
    data_dir: Path, tmp_path: Path
) -> None:
    lab, where = lab_of(tmp_path), ("--data-dir", str(data_dir))
    running = start(
        "run", write(tmp_path, "a.yaml", CAMPAIGN), "--id", "a", "--json", *where, **lab
    )
    first = wait_for(lambda: live_state(data_dir).question, "the plan asks")
    pid = process_of("worker", data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: live_state(data_dir).question not in (None, first), "the next attempt asks")
    labwright("answer", "a", "B7", "--question", first, *where, code=2)
    labwright("answer", "a", "B7", *where)
    code, told, complaints = finish(running)
    assert code == 0, complaints
    assert json.loads(told)["trials"]["measured"] == 1
