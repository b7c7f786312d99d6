"""Outcomes that a real Dask cluster computes."""

import os
from pathlib import Path

import pytest

from simulators.loopback import free_port
from tests.system.lab import answer, labwright, results, write
from tests.system.test_documentation import blocks
from tests.system.test_rehearsing import dask, until_there_is_a_worker

pytestmark = pytest.mark.system

CAMPAIGN = """
name: reduced
instrument: soft
plan: {name: steady_state_sample, args: {detector: bench.det}}
REDUCE
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {peak: {goal: maximize}}
budget: {trials: 2}
policy: {stop_after: {failed_in_a_row: 0, invalid_in_a_row: 0}}
optimizer: {method: sobol, seed: 7, lookahead: 0}
"""
REDUCER = '''
"""Says where it ran."""
import os


def peak(runs):
    assert runs[0].start["trial_id"] != int(os.environ.get("REFUSED", "0")), "a bad trial"
    return {"peak": float(runs[0]["primary"]["bench_det"].iloc[0]), "pid": os.getppid()}
'''


def campaign(folder: Path, port: int) -> str:
    """With the line that the page shows."""
    (line,) = [one for one in blocks("how-to/samples-and-sentinels.md", "yaml") if "dask" in one]
    assert "dask://127.0.0.1:8786" in line
    write(folder, "saxs.py", REDUCER)
    text = CAMPAIGN.replace("REDUCE", line.strip().replace("8786", str(port)))
    return write(folder, "campaign.yaml", text)


def test_a_dask_worker_reduces(tmp_path: Path) -> None:
    port = free_port()
    file, data = campaign(tmp_path, port), str(tmp_path / "data")
    code = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    address = f"tcp://127.0.0.1:{port}"
    with dask("scheduler", "--port", str(port)):
        worker = ("worker", address, "--no-nanny", "--local-directory", str(tmp_path / "worker"))
        with dask(*worker, **code):
            until_there_is_a_worker(address)
            said = answer("run", file, "--id", "c", "--data-dir", data, **code)
            assert said["trials"]["measured"] == 2
            rows = results(tmp_path / "data", "c")
            assert {int(float(row["pid"])) for row in rows} == {os.getpid()}  # started by us
            assert answer("verify", "c", "--data-dir", data, **code)["verified"] == "bitwise"


def test_what_fails_there_leaves_the_trial_unreduced(tmp_path: Path) -> None:
    """No cluster first, then one where the reducer raises, then one where it does not."""
    port = free_port()
    file, data = campaign(tmp_path, port), str(tmp_path / "data")
    code = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    said = answer("run", file, "--trials", "1", "--data-dir", data, code=1, **code)
    assert said["trials"]["unreduced"] == 1
    assert "no Dask scheduler answers at" in answer("why", "1", "--data-dir", data)["reason"]
    address = f"tcp://127.0.0.1:{port}"
    worker = ("worker", address, "--no-nanny", "--local-directory", str(tmp_path / "worker"))
    with dask("scheduler", "--port", str(port)):
        with dask(*worker, **code, REFUSED="1"):
            until_there_is_a_worker(address)
            done = labwright("reduce", "--data-dir", data, code=None, **code)
        assert "AssertionError: a bad trial" in done.stdout + done.stderr
        with dask(*worker, **code):
            until_there_is_a_worker(address)
            labwright("reduce", "--data-dir", data, **code)
    assert answer("why", "1", "--data-dir", data)["state"] == "measured"
