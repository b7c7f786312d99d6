"""``challenge`` and ``rehearse`` as a user runs them, and a rehearsal beside the real run."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.post_office import free_port
from tests.system.lab import answer, environment, labwright, results

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


VALLEY = """\
name: valley
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 6}
stop: {target: {branin: '<= 5'}}
optimizer: {method: sobol}
"""


def test_what_a_person_reads(tmp_path: Path) -> None:
    campaign = tmp_path / "soft.yaml"
    campaign.write_text(VALLEY)
    said = labwright("rehearse", str(campaign), "-n", "3").stdout
    assert "valley: 3 rehearsals on twin soft" in said
    assert "branin <= 5 reached by sobol in" in said
    assert "expected best branin" in said
    assert json.loads(labwright("rehearse", str(campaign), "-n", "1", "--json").stdout)


@contextmanager
def dask(*words: str, **more: str) -> Iterator[None]:
    """A scheduler or a worker, as ``dask`` starts it, until it is killed."""
    program = str(Path(sys.executable).with_name("dask"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    local = ("--host", "127.0.0.1", "--no-dashboard")
    process = subprocess.Popen([program, *words, *local], env=environment(**more), **quiet)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_a_dask_cluster_gives_what_this_machine_gives(tmp_path: Path) -> None:
    campaign = tmp_path / "soft.yaml"
    campaign.write_text(VALLEY)
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    words = ("rehearse", str(campaign), "-n", "2")
    silent = labwright(*words, "--dask", address, code=2)
    assert f"no Dask scheduler answers at {address}" in silent.stderr
    with dask("scheduler", "--port", str(port)):
        idle = labwright(*words, "--dask", address, code=2)
        assert f"the Dask cluster at {address} has no worker" in idle.stderr
        with dask("worker", address, "--no-nanny", "--local-directory", str(tmp_path / "worker")):
            until_there_is_a_worker(address)
            there = answer(*words, "--dask", address)
    here = answer(*words)
    assert without_time(there) == without_time(here)


def until_there_is_a_worker(address: str) -> None:
    from distributed import Client

    with Client(address, timeout=30, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=60)


def without_time(found: dict[str, object]) -> dict[str, object]:
    """What does not depend on how busy a processor was."""
    return {name: value for name, value in found.items() if name != "duration"}
