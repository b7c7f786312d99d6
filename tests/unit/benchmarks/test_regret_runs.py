"""Finished runs are not repeated, and a run that dies is told as that."""

import os
import signal
import threading
import time

import psutil
import pytest

from orchestrator.adapters.processes import run_processes
from tests.benchmarks import peers
from tests.benchmarks.regret_runs import Results, Run, carry_out, carry_out_one

RUN = Run("sobol", "branin", 0, 3)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "results.jsonl"


def result(run, **changes):
    return {**run.key(), "regret": [1.0], "cpu_s": [0.1], "error": None, **changes}


def test_a_run_gives_regret_and_cost_of_each_trial(file):
    (found,) = carry_out([RUN], Results(file), 1)
    assert found["error"] is None
    assert len(found["regret"]) == len(found["cpu_s"]) == 3
    assert found["regret"] == sorted(found["regret"], reverse=True)
    assert Results(file).get(RUN) == found
    assert list(carry_out([RUN], Results(file), 1)) == []


def test_the_file_survives_a_death_in_the_midst_of_a_line(file):
    Results(file).add(result(RUN))
    file.write_bytes(file.read_bytes()[:-20])
    results = Results(file)
    assert results.get(RUN) is None
    results.add(result(RUN))
    assert Results(file).get(RUN) == result(RUN)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"trials": 4}, {"noise": 0.05}, {"versions": {"scipy": "0"}}, {"code": "other"}],
)
def test_what_has_changed_is_run_again(file, changes):
    Results(file).add(result(RUN, **changes))
    assert Results(file).get(RUN) is None


def test_ours_is_run_again_when_its_code_has_changed(tmp_path, monkeypatch):
    code = tmp_path / "ax_optimizer.py"
    monkeypatch.setattr(peers, "optimizer_files", lambda method: [code])

    def digest(text):
        code.write_text(text)
        os.utime(code, ns=(0, digest.calls))
        digest.calls += 1
        return Run("ours", "branin", 0, 3).key()["code"]

    digest.calls = 1
    first = digest('"""Words."""\nx = 1\n')
    assert digest('"""Other words."""\nx = 1  # why\n') == first
    assert digest('"""Words."""\nx = 2\n') != first


def test_a_peer_that_is_not_installed_counts_as_it_was(file, monkeypatch):
    baybe = Run("baybe", "branin", 0, 3)
    monkeypatch.setattr(peers.Method, "versions", lambda self: None)
    done = result(baybe, versions={"baybe": "0.15.0"})
    Results(file).add(done)
    assert Results(file).get(baybe) == done
    assert list(carry_out([Run("baybe", "branin", 1, 3)], Results(file), 1)) == []


def running():
    """The runs that this process has started; other tests leave a server behind."""
    children = psutil.Process().children()
    return [one for one in children if "tests.benchmarks.peers" in one.cmdline()]


def test_a_crash_keeps_the_trials_before_it():
    found = {}
    thread = threading.Thread(
        target=lambda: found.update(carry_out_one(Run("ours", "branin", 0, 999)))
    )
    thread.start()
    before = time.monotonic() + 60
    while not (runs := running()) and time.monotonic() < before:
        time.sleep(0.01)
    (child,) = runs
    while child.cpu_times().user < 0.2 and time.monotonic() < before:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    thread.join(60)
    assert found["error"] == "killed by SIGKILL"
    assert len(found["regret"]) < 999


def test_a_hang_is_ended_and_told(monkeypatch):
    monkeypatch.setattr(run_processes, "LOOK_S", 0.1)
    assert carry_out_one(Run("ours", "branin", 0, 30))["error"] == "hung after 0 CPU s"


def test_a_run_that_takes_far_too_long_is_ended_and_told(monkeypatch):
    monkeypatch.setattr(run_processes, "LOOK_S", 10)
    monkeypatch.setattr(run_processes, "MOST_CPU_S", 1)
    found = carry_out_one(Run("ours", "branin", 0, 999))
    assert found["error"].startswith("not over after")


def test_an_error_is_told_in_its_own_words():
    found = carry_out_one(Run("sobol", "branin", -1, 3))
    assert found["error"].startswith("ValueError: ")
    assert found["regret"] == []
