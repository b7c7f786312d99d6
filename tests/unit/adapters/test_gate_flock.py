import os
import subprocess
import sys

import pytest

from orchestrator.adapters.gates.gate_flock import FlockGate
from orchestrator.adapters.gates.gate_none import NoGate
from orchestrator.domain.errors import LeaseLost, Unusable

HOLD = """
import sys
from pathlib import Path
from orchestrator.adapters.gates.gate_flock import FlockGate
gate = FlockGate(Path(sys.argv[1]))
assert gate.enter()
gate.claim(7)
print("in", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gates/soft.lock"


@pytest.fixture
def driver(path):
    """Another process that drives the instrument."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield process
        process.kill()


def test_second_process_is_kept_out_until_the_first_is_dead(path, driver):
    gate = FlockGate(path)
    assert not gate.enter()
    assert gate.holder == driver.pid
    assert gate.floor == 7
    driver.kill()
    driver.wait()
    assert gate.enter()
    assert gate.enter()
    assert gate.holder == os.getpid()
    assert gate.floor == 7  # the fence outlives its claimer
    gate.claim(8)
    assert FlockGate(path).floor == 8


def test_control_without_the_lock_a_second_driver_gets_in(path, driver, monkeypatch):
    """The test above can fail; and the ledger plays no part in either."""
    monkeypatch.setattr("orchestrator.adapters.gates.gate_flock.fcntl.flock", lambda *_: None)
    gate = FlockGate(path)
    assert gate.enter()
    assert gate.holder == os.getpid() != driver.pid


def test_lock_is_not_inherited(path):
    """Neither by a program that is started, nor by a forked child that outlives its parent."""
    code = f"""
import os, sys, time, subprocess
from pathlib import Path
from orchestrator.adapters.gates.gate_flock import FlockGate
gate = FlockGate(Path({str(path)!r}))
assert gate.enter()
sleeper = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False)
forked = os.fork()
if not forked:
    os.close(1)
    time.sleep(60)
print(sleeper.pid, forked, flush=True)
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True
    )
    try:
        assert FlockGate(path).enter()
    finally:
        for pid in done.stdout.split():
            os.kill(int(pid), 9)


def test_fence_below_the_highest_is_refused(path):
    gate = FlockGate(path)
    assert gate.floor == 0
    assert gate.enter()
    gate.claim(5)
    gate.claim(5)
    with pytest.raises(LeaseLost, match="below 5"):
        gate.claim(4)


def test_claim_needs_the_lock(path, driver):
    gate = FlockGate(path)
    gate.enter()
    with pytest.raises(LeaseLost):
        gate.claim(9)
    assert gate.floor == 7


def test_half_written_record_leaves_the_one_before(path):
    gate = FlockGate(path)
    gate.enter()
    gate.claim(5)
    gate.claim(6)
    content = bytearray(path.read_bytes())
    place = content.index(b" 6 ")
    content[place : place + 40] = b"\0" * 40
    path.write_bytes(content)
    assert FlockGate(path).floor == 5


def test_damaged_file_is_not_guessed_at(path):
    path.parent.mkdir()
    path.write_text("nonsense")
    gate = FlockGate(path)
    with pytest.raises(Unusable, match="damaged"):
        gate.enter()


def test_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="cannot be opened"):
        FlockGate(tmp_path / "file/soft.lock").enter()


def test_no_gate_remembers_fences():
    gate = NoGate()
    assert gate.enter()
    assert gate.floor == 0
    gate.claim(3)
    assert gate.floor == 3
    with pytest.raises(LeaseLost):
        gate.claim(2)


def test_who_leaves_lets_others_in_and_claims_no_more(path):
    first, second = FlockGate(path), FlockGate(path)
    assert first.enter()
    first.claim(3)
    assert not second.enter()
    first.leave()
    assert second.enter()
    assert second.floor == 3
    with pytest.raises(LeaseLost):
        first.claim(4)
