"""The chaos program itself: what it leaves behind, and that an interruption ends everything."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.adapters.processes.child import is_same_process
from tests.system.lab import environment, wait_for

HOME = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0

CALM = "run(Terms('flock', 2, 0), ())"
"""A lab that is not struck at all."""


@pytest.fixture
def folder():
    """All that it may write to; the paths of sockets in it must stay below 108 characters."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=HOME,
        env=environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder, *statements):
    head = ("from tests.chaos import run as module", "from tests.chaos.run import Terms, run")
    program = start(folder, "-c", "\n".join((*head, *statements)))
    said, errors = program.communicate(timeout=PATIENCE_S)
    return program.returncode, said, errors


def descendants(program):
    """Pid and start time of every process below it."""
    try:
        below = psutil.Process(program.pid).children(recursive=True)
        return {(one.pid, one.create_time()) for one in below}
    except psutil.Error:
        return set()


@pytest.mark.slow
def test_nothing_is_left_of_a_lab_that_is_sound(folder):
    code, said, errors = finished(folder, f"print({CALM})")
    assert code == 0, errors
    assert "'trials': 2," in said
    assert "'lost': 0," in said
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_the_data_of_a_lab_that_failed_are_kept_and_named(folder):
    code, said, errors = finished(folder, "module.PER_TRIAL_S = -30.0", f"print({CALM})")
    assert code == 0, errors
    assert "'lost': 0," not in said
    (kept,) = folder.iterdir()  # and no folder of sockets
    assert f"kept for a look: {kept}\n" in errors
    assert (kept / "logs").is_dir()


@pytest.mark.slow
def test_an_interruption_ends_all_and_forgets_the_lab(folder, tmp_path):
    results = tmp_path / "results.jsonl"
    program = start(folder, "-m", "tests.chaos", "--trials", "50", "--results", str(results))
    give_up = time.monotonic() + PATIENCE_S
    seen: set[tuple[int, float]] = set()
    try:
        while (
            len(seen) < 10 and time.monotonic() < give_up
        ):  # campaigns, workers, beats, twins, server
            seen |= descendants(program)
            time.sleep(0.05)
        os.kill(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=PATIENCE_S)
    finally:
        program.kill()
    assert len(seen) >= 10
    assert program.returncode == 130, errors
    wait_for(
        lambda: not [pid for pid, started in seen if is_same_process(pid, started)],
        "the last child has ended with its parent",
        10,
    )
    assert list(folder.iterdir()) == []
    assert not results.exists()
