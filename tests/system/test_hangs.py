"""Processes that look alive: frozen ones, and Python code that never lets go."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.system.lab import answer, events, finish, process_of, start, wait_for, write

pytestmark = pytest.mark.system

INSTRUMENT = """
name: soft
mode: twin
devices:
  bench:
    class: simulators.soft.bench.Bench
    limits: [-5, 15]
    tolerance: 1.0e-9
    timeout_s: 20
    kwargs: {move_s: 0.3}
"""
CAMPAIGN = """
name: held
instrument: instrument.yaml
plan: {{name: held_plan.held, args: {{detector: bench.det, hold_s: {hold}, once: {once}}}}}
reduce: {{call: simulators.soft.reduce.reduce_branin}}
parameters:
  x: {{device: bench.x, range: [-5, 10]}}
  y: {{device: bench.y, range: [0, 15]}}
objectives: {{branin: {{goal: minimize}}}}
budget: {{trials: 3}}
optimizer: {{method: sobol, seed: 7}}
"""
PLAN = '''
"""A plan that holds the interpreter lock, as C code may: no other Python thread runs meanwhile."""
import ctypes
from pathlib import Path

from plans.steady_state_sample import steady_state_sample


def held(settings, detector, hold_s, once, md=None):
    """Hold the lock for so many seconds, each time or only the first time."""
    marker = Path(__file__).with_name("held-once")
    if hold_s and not (once and marker.exists()):
        marker.touch()
        ctypes.PyDLL(None).usleep(int(hold_s * 1_000_000))
    yield from steady_state_sample(settings, detector, md=md)


def estimate_held(settings, **_):
    """It means to wait not at all."""
    return 0.0, 0
'''


@pytest.fixture
def campaign(tmp_path: Path):
    def made(hold: float = 0, once: bool = False) -> str:
        write(tmp_path, "held_plan.py", PLAN)
        write(tmp_path, "instrument.yaml", INSTRUMENT)
        return write(tmp_path, "campaign.yaml", CAMPAIGN.format(hold=hold, once=str(once).lower()))

    return made


def happened(data_dir: Path, campaign_id: str) -> Counter[str]:
    return Counter(event["type"] for event in events(data_dir, campaign_id))


def test_holding_the_interpreter_lock_for_twice_the_lease_loses_nothing(
    campaign, tmp_path: Path, data_dir: Path
) -> None:
    """The beat is a process of its own: code that holds the lock does not stop it."""
    where = ("--data-dir", str(data_dir))
    outcome = answer("run", campaign(hold=4), *where, PYTHONPATH=str(tmp_path))
    assert outcome["trials"]["measured"] == 3
    found = happened(data_dir, outcome["campaign_id"])
    assert (found["started"], found["lease_expired"]) == (3, 0)


def test_a_worker_that_hangs_past_its_deadline_is_replaced(
    campaign, tmp_path: Path, data_dir: Path
) -> None:
    """It holds the lock for ever, so that no time-out of its own can end it."""
    where = ("--data-dir", str(data_dir))
    # 60 s for the two axes and 30 s margin is the plan's deadline; the setting cuts it short.
    more = {"LABWRIGHT_PLAN_DEADLINE_S": "10", "LABWRIGHT_HUNG_S": "2"}
    outcome = answer("run", campaign(hold=600, once=True), *where, PYTHONPATH=str(tmp_path), **more)
    assert outcome["trials"]["measured"] == 3
    found = happened(data_dir, outcome["campaign_id"])
    assert (found["started"], found["lease_expired"]) == (4, 1)


def test_a_frozen_worker_is_seen_and_then_replaced(
    campaign, tmp_path: Path, data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    more = {"LABWRIGHT_LEASE_S": "40", "LABWRIGHT_BEAT_S": "1", "PYTHONPATH": str(tmp_path)}
    path = campaign(hold=5, once=True)
    running = start("run", path, "--json", "--id", "frozen", *where, **more)
    wait_for((tmp_path / "held-once").exists, "the plan of a trial holds")
    os.kill(process_of("worker", data_dir), signal.SIGSTOP)
    frozen = time.monotonic()
    told = wait_for(lambda: _alarm(data_dir), "the status is red", 38)
    assert "no sign of life" in told
    assert time.monotonic() - frozen < 38, "before the lease is over"
    assert finish(running)[0] == 0
    found = happened(data_dir, "frozen")
    assert (found["measured"], found["lease_expired"]) == (3, 1)


POISON = '''
"""A plan that ends the worker's process at some settings, as a fault in C code does."""
import os

from plans.steady_state_sample import steady_state_sample


def poison(settings, detector, md=None):
    if md["trial_id"] == 2:
        os._exit(42)
    yield from steady_state_sample(settings, detector, md=md)
'''


def test_a_trial_that_kills_every_worker_is_abandoned_and_the_others_complete(
    campaign, tmp_path: Path, data_dir: Path
) -> None:
    write(tmp_path, "poison_plan.py", POISON)
    path = Path(campaign())
    text = path.read_text().replace("held_plan.held", "poison_plan.poison")
    text = text.replace(", hold_s: 0, once: false", "") + "policy: {crashes: 3}\n"
    path.write_text(text)
    where = ("--data-dir", str(data_dir))
    outcome = answer("run", str(path), *where, PYTHONPATH=str(tmp_path))
    states = outcome["trials"]
    assert (states["measured"], states["abandoned"]) == (2, 1)
    found = happened(data_dir, outcome["campaign_id"])
    assert (found["lease_expired"], found["measured"]) == (3, 2)


def _alarm(data_dir: Path) -> str | None:
    status = answer("status", "--data-dir", str(data_dir))
    return status["sentence"] if status["alarm"] else None
