"""A campaign on a plate of samples, from the list to what is left of it."""

from pathlib import Path

import pytest

from tests.system.lab import answer, labwright, results, with_code_of, write

pytestmark = pytest.mark.system

PLANS = '''
"""Plans of the lab's own."""

from bluesky.plans import count


def on_sample(detector, sample, md=None):
    yield from count([detector], md={**(md or {}), "sample": sample})
'''
CAMPAIGN = """
name: plate
instrument: soft
plan: {name: lab_plans.on_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
samples: {file: samples.csv}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
  sample: {arg: sample, choices: samples}
objectives: {branin: {goal: minimize}}
budget: {trials: 10}
optimizer: {method: sobol, lookahead: 1}
"""


def test_each_start_spends_a_sample_until_none_is_left(data_dir: Path, tmp_path: Path) -> None:
    write(tmp_path, "lab_plans.py", PLANS)
    lab = with_code_of(tmp_path)
    write(tmp_path, "samples.csv", "position,amount,uses left\nA1,5 mg,1\nA2,,0\nA3,1 mg,3\n")
    where = ("--data-dir", str(data_dir))
    file = write(tmp_path, "campaign.yaml", CAMPAIGN)
    outcome = answer("run", file, "--id", "a", *where, **lab)
    assert (outcome["status"], outcome["stop_reason"]) == ("done", "all samples are used up")
    assert sorted(row["sample"] for row in results(data_dir, "a")) == ["A1", "A3", "A3", "A3"]
    left = labwright("samples", "a", *where).stdout
    assert left == "position,amount,uses left\nA1,5 mg,0\nA2,,0\nA3,1 mg,0\n"
    assert "proposals  4 bitwise" in labwright("verify", "a", *where, **lab).stdout
    labwright("run", write(tmp_path, "b.yaml", CAMPAIGN.replace("samples.csv", "no.csv")), code=2)
