"""Seconds from the death of a worker to the next lease, at default timings, on the flow reactor."""

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.system.lab import events, finish, live_state, process_of, start, wait_for

DEFAULTS = {
    "LABWRIGHT_LEASE_S": "30",
    "LABWRIGHT_BEAT_S": "5",
    "LABWRIGHT_TIME_COMPRESSION": "600",
}


def measure(seeds: int = 5, trials: int = 1) -> dict[str, Any]:
    """Kill the worker in the midst of ``seeds`` trials of one campaign.

    The time includes that of the new worker to start, to connect its devices and to see the
    instrument at rest. ``trials`` is how many further ones the campaign has.
    """
    with tempfile.TemporaryDirectory() as folder:
        seconds = _recoveries(Path(folder), seeds, seeds + trials)
    figures = {"recovery_s": statistics.median(seconds), "recovery_s_max": max(seconds)}
    rows = [{"recovery_s": one} for one in seconds]
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": {"recovery_s": ["<=", 5]}}


def _recoveries(data_dir: Path, kills: int, trials: int) -> list[float]:
    run = ["run", "flow-chemistry", "--trials", str(trials), "--id", "r", "--json"]
    running = start(*run, "--data-dir", str(data_dir), **DEFAULTS)
    deaths: list[float] = []
    for number in range(1, kills + 1):
        wait_for(lambda number=number: _runs(data_dir, number), f"trial {number} runs")
        worker = process_of("worker", data_dir)
        assert worker is not None
        os.kill(worker, signal.SIGKILL)
        deaths.append(time.time())
    code, _, complaint = finish(running)
    assert code == 0, complaint
    leases = [event["at"] for event in events(data_dir, "r") if event["type"] == "leased"]
    return [next(at for at in leases if at > death) - death for death in deaths]


def _runs(data_dir: Path, number: int) -> bool:
    trial = live_state(data_dir).trials.get(number)
    return trial is not None and str(trial.state) == "running"
