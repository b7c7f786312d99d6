"""``challenge`` and ``rehearse`` as a user runs them, and a rehearsal beside the real run."""

import json
from pathlib import Path

import pytest

from tests.system.lab import answer, labwright, results

pytestmark = pytest.mark.system

FLOW = Path(__file__).parents[2] / "simulators" / "flow_chemistry" / "campaign.yaml"


def test_a_challenge_is_resumed(tmp_path: Path) -> None:
    file = str(tmp_path / "results.jsonl")
    words = ("challenge", "soft", "--seeds", "2", "--optimizer", "sobol", "--results", file)
    found = answer(*words)
    (row,) = found["twins"]
    assert (row["twin"], row["finished"], row["errors"]) == ("soft", 2, [])
    low, high = row["regret"][1:]
    assert 0 < low <= row["regret"][0] <= high
    kept = Path(file).read_text()
    assert answer(*words) == found
    assert Path(file).read_text() == kept, "finished campaigns were run again"
    assert "within 5 %" in labwright(*words).stdout


def test_a_rehearsal_tells_what_the_real_run_does(tmp_path: Path, data_dir: Path) -> None:
    """The flow reactor over Channel Access gives, to the last bit, what its rehearsal gave."""
    text = FLOW.read_text()
    for ours, other in (
        ("method: auto", "method: sobol"),
        ("trials: 40", "trials: 3"),
        ('outcomes: ["e_factor <= 12"]', "outcomes: []"),
    ):
        assert ours in text
        text = text.replace(ours, other)
    campaign = tmp_path / "flow.yaml"
    campaign.write_text(text)
    found = answer("rehearse", str(campaign), "-n", "1", "--plot", str(tmp_path / "r.png"))
    assert (tmp_path / "r.png").stat().st_size > 0
    assert found["stops"] == {"trials": 1}
    labwright("run", str(campaign), "--id", "flow", "--data-dir", str(data_dir))
    best, expected = 0.0, []
    for row in results(data_dir, "flow"):
        best = max(best, float(row["sty"]))
        expected.append(best)
    assert [one["mean"] for one in found["best"]] == expected


def test_what_a_person_reads(tmp_path: Path) -> None:
    campaign = tmp_path / "soft.yaml"
    campaign.write_text(
        "{name: valley, instrument: soft,"
        " plan: {name: steady_state_sample, args: {detector: bench.det}},"
        " reduce: {call: simulators.soft.reduce.reduce_branin},"
        " parameters: {x: {device: bench.x, range: [-5, 10]},"
        " y: {device: bench.y, range: [0, 15]}},"
        " objectives: {branin: {goal: minimize}}, budget: {trials: 6},"
        " stop: {target: {branin: '<= 5'}}, optimizer: {method: sobol}}"
    )
    said = labwright("rehearse", str(campaign), "-n", "3").stdout
    assert "valley: 3 rehearsals on twin soft" in said
    assert "branin <= 5 reached by sobol in" in said
    assert "expected best branin" in said
    assert json.loads(labwright("rehearse", str(campaign), "-n", "1", "--json").stdout)
