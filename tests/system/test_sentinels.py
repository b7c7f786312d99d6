"""An instrument drifts, and its campaign stops for a person."""

from pathlib import Path

import pytest

from tests.system.lab import answer, labwright, results, with_code_of, write

pytestmark = pytest.mark.system

REDUCER = '''
"""A signal that jumps with the seventh trial."""


def jumping(runs):
    start = runs[0].start
    return {"signal": (start["parameters"]["x"] + 3.0 * (start["trial_id"] >= 7), 0.1)}
'''
CAMPAIGN = """
name: drifting
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: lab_reducers.jumping}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {signal: {goal: maximize}}
sentinel: {at: {x: 1, y: 2}, every: 3}
budget: {trials: 11}
optimizer: {method: METHOD, initial_trials: 5, lookahead: 0}
"""


@pytest.mark.parametrize("method", ["sobol", "ax"])
def test_drift_stops_the_campaign_for_a_person(data_dir: Path, tmp_path: Path, method: str) -> None:
    write(tmp_path, "lab_reducers.py", REDUCER)
    lab = with_code_of(tmp_path)
    where = ("--data-dir", str(data_dir))
    file = write(tmp_path, "campaign.yaml", CAMPAIGN.replace("METHOD", method))
    answer("run", file, "--id", "a", *where, code=3, **lab)
    said = labwright("status", "a", *where, code=3).stdout
    assert "sentinel trial 9 gave 4, 24.5 sigma from its reference 1" in said
    assert "3 trials measured since the last good one, trial 5, are suspect data" in said
    sources = [row["source"] for row in results(data_dir, "a")]
    assert [n for n, one in enumerate(sources, 1) if one == "sentinel"] == [1, 5, 9]
    assert answer("why", "7", "--campaign", "a", *where)["suspect_data"]
    assert answer("why", "4", "--campaign", "a", *where)["suspect_data"] is None
    labwright("resume", "a", "--reason", "looked", *where)
    outcome = answer("run", "--resume", "a", *where, code=3, **lab)
    assert outcome["trials"]["measured"] == 10, "the next trial is a sentinel, and tells the same"
    assert "not verified" not in labwright("verify", "a", *where, **lab).stdout
