"""One short campaign with a reducer of the lab's own, measured once for several test modules."""

from pathlib import Path

from tests.system.lab import answer, with_code_of, write

ID = "branin-1"
CAMPAIGN = """
name: branin
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: lab_reducers.branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
valid: ["branin <= 100"]
budget: {trials: 7}
optimizer: {method: ax, initial_trials: 5, lookahead: 0, seed: 9}
"""
REDUCER = '''
"""Reducers of the lab's own."""

import math


def branin(runs):
    return {"branin": float(runs[0]["primary"]["bench_det"].iloc[0])}


def logarithmic(runs):
    return {"branin": math.log1p(float(runs[0]["primary"]["bench_det"].iloc[0]))}


def picky(runs):
    if runs[0].start["trial_id"] == 3:
        raise ValueError("no peak")
    return branin(runs)
'''


def environment_of(folder: Path) -> dict[str, str]:
    """What a program needs to find the lab's reducers."""
    # Without byte code, a file that is changed within a second is read again.
    return {**with_code_of(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def measure(folder: Path) -> None:
    """Write the files, and run the campaign into ``data``: six valid trials and an invalid one."""
    write(folder, "lab_reducers.py", REDUCER)
    file = write(folder, "campaign.yaml", CAMPAIGN)
    where = ("--id", ID, "--data-dir", str(folder / "data"))
    outcome = answer("run", file, *where, **environment_of(folder))
    assert (outcome["trials"]["measured"], outcome["trials"]["invalid"]) == (6, 1)
