"""The benchmark against peers, with those that need no further package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

HOME = Path(__file__).parents[2]
SHORT = "--problems branin --methods ours sobol --seeds 2 --trials 9 --jobs 2 --json".split()


def regret(*options):
    command = [sys.executable, "-m", "tests.benchmarks", "regret", *SHORT, *options]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_two_seeds_on_branin(tmp_path):
    file = tmp_path / "results.jsonl"
    report = regret("--results", file)
    assert report["passed"]
    assert report["figures"]["missing_runs"] == report["figures"]["branin_ours_crashes"] == 0
    ours, sobol = report["rows"]
    assert (ours["method"], sobol["method"]) == ("ours", "sobol")
    assert ours["seeds"] == sobol["seeds"] == 2
    assert ours["log10_regret"][0] < sobol["log10_regret"][0]
    known = file.read_text()
    assert len(known.splitlines()) == 4
    again = regret("--results", file)
    assert again["rows"] == report["rows"]
    assert file.read_text() == known, "finished runs were run again"
