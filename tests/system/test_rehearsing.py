"""``challenge`` and ``rehearse`` as a user runs them, and a rehearsal beside the real run."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
from orchestrator.adapters.processes.child import started_at
from orchestrator.adapters.walks.twin_in_process import twin_in_process
from orchestrator.campaign_files import read_files
from orchestrator.simulated_campaign import Order, simulate
from simulators.kb_mirrors.instrument import EXPOSURE
from simulators.twins import twin_module
from tests.post_office import free_port
from tests.system.lab import (
    answer,
    descendants,
    environment,
    finish,
    labwright,
    results,
    start,
    wait_for,
)

pytestmark = pytest.mark.system

SIMULATORS = Path(__file__).parents[2] / "simulators"


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


NOT_WALKED = {"soft/campaign"}
"""It has no server."""
CAMPAIGNS = sorted(
    {f"{one.parent.name}/{one.stem}" for one in SIMULATORS.glob("*/campaign*.yaml")} - NOT_WALKED
)


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_a_rehearsal_tells_what_the_real_run_does(
    tmp_path: Path, data_dir: Path, campaign: str
) -> None:
    """Every twin over Channel Access gives, to the last bit, what it gives within the process."""
    data = yaml.safe_load((SIMULATORS / f"{campaign}.yaml").read_text())
    data["budget"], data["optimizer"] = {"trials": 2}, {"method": "sobol"}
    data.pop("stop", None)
    file = tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(data))
    files = read_files(str(file))
    order = Order(files.campaign, files.instrument, 0.0)
    twin = twin_in_process(files.campaign, files.instrument, files.campaign.optimizer.seed)
    assert twin.noise == "the twin's own"
    *rehearsed, _ = simulate(order, SobolOptimizer(), twin)
    words = ("run", str(file), "--id", "real", "--data-dir", str(data_dir))
    speed = twin_module(files.campaign.instrument).TIME_COMPRESSION
    labwright(*words, LABWRIGHT_TIME_COMPRESSION=str(speed))
    measured = results(data_dir, "real")
    assert [one["state"] for one in rehearsed] == [row["state"] for row in measured]
    for one, row in zip(rehearsed, measured, strict=True):
        assert {name: float(row[name]) for name in one["outcomes"]} == one["outcomes"]


def test_what_a_rehearsal_of_a_scan_says(tmp_path: Path) -> None:
    campaign = yaml.safe_load((SIMULATORS / "kb_mirrors" / "campaign_knife_edge.yaml").read_text())
    campaign["budget"], campaign["optimizer"] = {"trials": 4}, {"method": "sobol"}
    file = tmp_path / "scan.yaml"
    file.write_text(yaml.safe_dump(campaign))
    plot = tmp_path / "r.png"
    found = answer("rehearse", str(file), "-n", "2", "--plot", str(plot))
    assert plot.stat().st_size > 0
    assert found["noise"] == "the twin's own"
    assert found["stops"] == {"trials": 2}
    assert found["duration"]["unknown"] == []
    assert found["duration"]["trial"]["readings_s"] == pytest.approx(88 * EXPOSURE)
    assert found["best"][-1]["feasible"] > 0


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


LOADED_S = 4.0
"""CPU seconds after which a process has loaded what it needs to measure, and measures."""


def test_an_interrupt_leaves_no_process_that_measures() -> None:
    running = start("rehearse", "penicillin", "-n", "50", "--fast", "--jobs", "2")
    kept = wait_for(lambda: two_that_measure(running.pid), "both processes measure")
    running.send_signal(signal.SIGINT)
    assert finish(running)[0] == 130
    assert not any(started_at(pid) for pid in kept)


def test_processes_that_measure_end_with_one_that_is_killed() -> None:
    running = start("rehearse", "penicillin", "-n", "50", "--fast", "--jobs", "2")
    kept = wait_for(lambda: two_that_measure(running.pid), "both processes measure")
    running.kill()
    finish(running)
    wait_for(lambda: not any(started_at(pid) for pid in kept), "both have ended")


def two_that_measure(pid: int) -> list[int]:
    """Pids of the two processes of a fast rehearsal once they measure; else none."""
    try:
        found = [one for one in descendants(pid) if "many_twins" in " ".join(one.cmdline())]
        measure = [one.pid for one in found if one.cpu_times().user > LOADED_S]
    except psutil.Error:
        return []
    return measure if len(measure) == 2 else []


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
