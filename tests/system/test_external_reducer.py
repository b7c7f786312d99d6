"""Outcomes computed elsewhere come in by the command line."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.system.lab import (
    LABWRIGHT,
    count,
    environment,
    finish,
    labwright,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system

CAMPAIGN = """
name: elsewhere
instrument: soft
plan: {name: bluesky.plans.count, args: {detectors: [bench.det]}}
reduce: {where: external, timeout_s: 60}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {peak: {goal: maximize, unit: counts}}
budget: {trials: 2}
optimizer: {method: sobol, lookahead: 0}
"""


def deliver(trial: int, outcomes: object, data_dir: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [LABWRIGHT, "outcome", str(trial), "--json", "--data-dir", str(data_dir)],
        input=json.dumps(outcomes),
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )


def test_outcomes_are_delivered_by_the_command_line(data_dir: Path, tmp_path: Path) -> None:
    where = ("--data-dir", str(data_dir))
    file = write(tmp_path, "campaign.yaml", CAMPAIGN)
    labwright("check", file)
    running = start("run", file, "--id", "a", "--json", *where)
    wait_for(lambda: count(data_dir, "acquired"), "trial 1 waits for its outcome")
    refused = deliver(1, {"peak": [3.5, 0.1, "mV"]}, data_dir)
    assert refused.returncode == 2
    assert "declared in 'counts'" in refused.stderr + refused.stdout
    taken = deliver(1, {"peak": [3.5, 0.1]}, data_dir)
    assert json.loads(taken.stdout)["state"] == "measured", taken.stderr
    wait_for(lambda: count(data_dir, "acquired"), "trial 2 waits for its outcome")
    assert deliver(2, {"peak": 5}, data_dir).returncode == 0
    code, told, complaints = finish(running)
    assert code == 0, complaints
    best = json.loads(told)["best"]
    assert best["outcomes"]["peak"] == {"mean": 5.0, "sem": None, "unit": "counts"}
    said = labwright("verify", "a", *where).stdout
    assert "2 not recomputed: external reducer" in said
    assert deliver(2, {"peak": 6}, data_dir).returncode == 2
