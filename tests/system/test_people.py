"""People in the loop, as they meet it: a plan asks, somebody answers; the first trials are looked at."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.lab import answer, finish, labwright, start, wait_for, write

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
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


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
