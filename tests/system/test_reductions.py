"""Acquired is not measured: whatever becomes of its reducer, a trial is measured once."""

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.system.lab import (
    answer,
    events,
    finish,
    labwright,
    live_state,
    process_of,
    results,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system

CAMPAIGN = """
name: reduced
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: lab_reducers.branin, timeout_s: TIMEOUT}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 4}
optimizer: {method: sobol, seed: 7}
"""
LAB = '''
"""A reducer of the lab's own, which has trouble with the first trial."""
import os, time
from pathlib import Path

NOTES = Path(__file__).with_name("notes")


def branin(runs):
    with NOTES.open("a") as notes:
        notes.write(f"{runs[0].start['trial_id']} {os.getpid()}\\n")
    times = [line.split()[0] for line in NOTES.read_text().splitlines()].count("1")
    if runs[0].start["trial_id"] == 1:
        TROUBLE
    return {"branin": float(runs[0]["primary"]["bench_det"].iloc[0])}
'''


SLOW_AT_FIRST = "time.sleep(600 if times == 1 else 0)"


@pytest.fixture
def lab(tmp_path: Path, data_dir: Path) -> "Lab":
    return Lab(tmp_path, data_dir)


class Lab:
    """A lab with one reducer of its own."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder, self.data_dir = folder, data_dir
        self.where = ("--data-dir", str(data_dir))
        # Without byte code, a file that is mended within a second is read again.
        self.more = {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self.more["PYTHONPATH"] += os.pathsep + os.environ.get("PYTHONPATH", "")

    def reducer(self, trouble: str = "pass") -> None:
        """Write the reducer, or write it again."""
        write(self.folder, "lab_reducers.py", LAB.replace("TROUBLE", trouble))

    def campaign(self, timeout_s: float = 60) -> str:
        text = CAMPAIGN.replace("TIMEOUT", str(timeout_s))
        return write(self.folder, "campaign.yaml", text)

    def start(self, trouble: str, timeout_s: float = 60) -> Any:
        self.reducer(trouble)
        return start("run", self.campaign(timeout_s), "--json", *self.where, **self.more)

    def run(self, trouble: str, timeout_s: float = 60) -> dict[str, Any]:
        self.reducer(trouble)
        return answer("run", self.campaign(timeout_s), *self.where, **self.more)

    def reduce(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        return answer("reduce", *arguments, *self.where, code=code, **self.more)

    def pids(self) -> list[int]:
        """The processes in which the reducer was called for the first trial."""
        try:
            lines = (self.folder / "notes").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [int(line.split()[1]) for line in lines if line.split()[0] == "1"]

    def kill(self, number: int) -> None:
        """Kill the process of that call for the first trial, counted from 0, once it is there."""
        pid, *_ = wait_for(lambda: self.pids()[number:], "the first trial is being reduced")
        os.kill(pid, signal.SIGKILL)

    def told(self, campaign_id: str) -> "list[tuple[str, int]]":
        """Type and trial of each event about a trial."""
        found = events(self.data_dir, campaign_id)
        return [(e["type"], e["data"]["trial_id"]) for e in found if "trial_id" in e["data"]]

    def assert_measured_once(self, campaign_id: str) -> None:
        """The first trial was started once, has one file of documents, and counts once."""
        runs = self.data_dir / "runs" / campaign_id
        assert [path.name for path in runs.glob("00001-*")] == ["00001-1-1.jsonl"]
        rows = results(self.data_dir, campaign_id)
        assert [row["state"] for row in rows] == ["measured"] * 4
        assert rows[0]["attempts"] == "1"
        told = Counter(self.told(campaign_id))
        assert (told["started", 1], told["measured", 1]) == (1, 1)


def test_a_reducer_that_raises_is_mended_and_finishes_a_campaign_that_is_over(lab: Lab) -> None:
    outcome = lab.run("raise ValueError('no peak')")
    campaign_id = outcome["campaign_id"]
    assert (outcome["trials"]["unreduced"], outcome["trials"]["measured"]) == (1, 3)

    again = lab.reduce("1", code=1)
    assert again["trials"] == {"1": "unreduced"}
    assert again["reasons"] == {"1": "branin raised ValueError: no peak"}
    why = labwright("why", "1", *lab.where).stdout
    assert "no peak" in why
    assert "'labwright reduce' finishes it" in why

    lab.reducer()
    assert lab.reduce()["trials"] == {"1": "measured"}
    lab.assert_measured_once(campaign_id)
    assert len(list((lab.data_dir / "runs" / campaign_id).iterdir())) == 4
    assert lab.reduce()["trials"] == {}
    assert "trial 1 of" in lab.reduce("1", code=2)["error"]

    folder = lab.data_dir / "campaigns" / campaign_id
    assert "unreduced" not in (folder / "results.csv").read_text(), "the folder was written again"
    assert json.loads((folder / "summary.json").read_text())["trials"]["measured"] == 4
    answer("report", *lab.where)
    assert "unreduced" not in (folder / "report.html").read_text()


def test_while_a_reducer_hangs_the_next_trial_is_measured(lab: Lab) -> None:
    outcome = lab.run("time.sleep(600)", timeout_s=2)
    assert (outcome["trials"]["unreduced"], outcome["trials"]["measured"]) == (1, 3)
    told = lab.told(outcome["campaign_id"])
    assert told.index(("acquired", 2)) < told.index(("unreduced", 1))

    assert "longer than 2 s" in lab.reduce(code=1)["reasons"]["1"]
    assert not any(psutil.pid_exists(pid) for pid in lab.pids()), "no reducer is left behind"
    lab.reducer()
    assert lab.reduce()["trials"] == {"1": "measured"}
    lab.assert_measured_once(outcome["campaign_id"])


def test_a_reducer_that_ends_its_process_ends_nothing_else(lab: Lab) -> None:
    running = lab.start("os._exit(7)")
    worker = wait_for(lambda: process_of("worker", lab.data_dir), "the worker is up")
    wait_for(lambda: live_state(lab.data_dir).trials.get(3), "the campaign goes on")
    assert process_of("worker", lab.data_dir) in (worker, None)
    code, said, _ = finish(running)
    outcome = json.loads(said)
    assert (code, outcome["trials"]["unreduced"], outcome["trials"]["measured"]) == (0, 1, 3)
    assert len(lab.pids()) == 1
    assert "exit code 7" in lab.reduce(code=1)["reasons"]["1"]


@pytest.mark.parametrize(("kills", "unreduced"), [(1, 0), (3, 1)])
def test_a_reducer_is_killed_from_outside(lab: Lab, kills: int, unreduced: int) -> None:
    """Once says nothing against it. Again and again, as for want of memory, does."""
    running = lab.start(f"time.sleep(600 if times <= {kills} else 0)")
    for number in range(kills):
        lab.kill(number)
    code, said, _ = finish(running)
    outcome = json.loads(said)
    assert (code, outcome["trials"]["unreduced"]) == (0, unreduced)
    if unreduced:
        assert "SIGKILL" in answer("why", "1", *lab.where)["sentence"]
        assert lab.reduce()["trials"] == {"1": "measured"}
    lab.assert_measured_once(outcome["campaign_id"])


def test_a_worker_killed_while_it_reduces_leaves_the_reduction_to_the_next(lab: Lab) -> None:
    running = lab.start(SLOW_AT_FIRST)
    (reducing,) = wait_for(lab.pids, "the first trial is being reduced")
    worker = process_of("worker", lab.data_dir)
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    code, said, _ = finish(running)
    outcome = json.loads(said)
    assert (code, outcome["trials"]["measured"]) == (0, 4)
    assert len(lab.pids()) == 2
    assert not psutil.pid_exists(reducing)
    lab.assert_measured_once(outcome["campaign_id"])


def test_a_worker_told_to_end_while_it_reduces_leaves_the_trial_acquired(lab: Lab) -> None:
    """It is not the reducer's fault, so the trial is not called unreduced."""
    running = lab.start(SLOW_AT_FIRST)
    (reducing,) = wait_for(lab.pids, "the first trial is being reduced")
    worker = process_of("worker", lab.data_dir)
    assert worker is not None
    os.kill(worker, signal.SIGTERM)
    os.kill(reducing, signal.SIGTERM)  # as a service manager does, to all of them
    code, said, _ = finish(running)
    outcome = json.loads(said)
    assert (code, outcome["trials"]["measured"]) == (0, 4)
    assert ("unreduced", 1) not in lab.told(outcome["campaign_id"])
    lab.assert_measured_once(outcome["campaign_id"])
