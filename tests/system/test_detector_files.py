"""A campaign whose detector writes files: an attempt counts only when they are whole."""

import os
import re
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.system.lab import answer, events, results, write

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
TWIN = ROOT / "simulators" / "kb_mirrors"

PLAN = '''
"""Images the focus, and loses the file of the first attempt at the first two trials."""

from pathlib import Path

from plans.spot_size import reduce_spot_size, spot_size


def clumsy(settings, detector, md=None):
    yield from spot_size(settings, detector, exposure=0.1, frames=2, triggers=2, md=md)
    file = Path(detector.hdf.full_file_name.get())
    match md and (md["trial_id"], md["attempt"]):
        case 1, 1:
            file.unlink()
        case 2, 1:
            file.write_bytes(file.read_bytes()[:100_000])


reduce_clumsy = reduce_spot_size
'''
DEADLY = '''
"""Images the focus; the first attempt ends with its process while the file is open."""

import os
import signal

from bluesky import preprocessors as bpp

from plans.spot_size import reduce_spot_size, spot_size


def deadly(settings, detector, md=None):
    def die(message):
        if message.command == "save" and md["attempt"] == 1:
            assert detector.hdf.capture.get() == 1
            os.kill(os.getpid(), signal.SIGKILL)
        return message

    yield from bpp.msg_mutator(spot_size(settings, detector, md=md), die)


reduce_deadly = reduce_spot_size
'''
CAMPAIGN = """
name: clumsy
instrument: {instrument}
plan: {{name: lab_plans.{plan}, args: {{detector: detector}}}}
parameters:
  pitch_v: {{device: pitch_v, range: [-5, 5], unit: urad}}
  pitch_h: {{device: pitch_h, range: [-5, 5], unit: urad}}
objectives: {{log_density: {{goal: maximize}}}}
budget: {{trials: {trials}}}
optimizer: {{method: sobol, seed: 1}}
"""


def run(folder: Path, plan: str, code: str, trials: int) -> list[dict[str, Any]]:
    """Run a campaign to its end; what happened."""
    instrument = (TWIN / "instrument.yaml").read_text()
    instrument = instrument.replace("{folder: built-in}", "{folder: built-in, wait_s: 0.3}")
    file = write(folder, "instrument.yaml", instrument)
    write(folder, "lab_plans.py", code)
    text = CAMPAIGN.format(instrument=file, plan=plan, trials=trials)
    campaign = write(folder, "campaign.yaml", text)
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    where = ("--id", "clumsy-1", "--data-dir", str(folder / "data"))
    outcome = answer("run", campaign, *where, PYTHONPATH=path)
    assert outcome["trials"]["measured"] == trials
    return events(folder / "data", "clumsy-1")


def attempts(folder: Path) -> list[str]:
    return [row["attempts"] for row in results(folder / "data", "clumsy-1")]


def test_a_lost_or_damaged_file_fails_its_attempt_and_the_trial_is_done_again(
    tmp_path: Path,
) -> None:
    happened = run(tmp_path, "clumsy", PLAN, 3)
    assert attempts(tmp_path) == ["2", "2", "1"]
    failed = [one["data"] for one in happened if one["type"] == "failed"]
    assert [(one["trial_id"], one["reason"]) for one in failed] == [
        (1, "detector_files"),
        (2, "detector_files"),
    ]
    lost, damaged = (one["message"] for one in failed)
    folder = tmp_path / "data" / "runs" / "clumsy-1"
    assert lost.startswith(f"detector file {folder}/00001-1-1/")
    assert lost.endswith(".h5 is missing")
    assert damaged.startswith(f"detector file {folder}/00002-1-3/")
    assert ".h5 cannot be read: " in damaged

    for trial in ("00001-2-2", "00002-2-4", "00003-1-5"):
        (whole,) = (folder / trial).glob("*.h5")
        with h5py.File(whole) as read:
            assert read["/entry/data/data"].shape == (4, 256, 256)


def test_a_worker_that_dies_while_a_file_is_written(tmp_path: Path) -> None:
    """The next one puts the detector's settings back, closes the file, and measures again."""
    happened = run(tmp_path, "deadly", DEADLY, 1)
    assert attempts(tmp_path) == ["2"]
    assert re.search(r"put back as before staging: .*detector\.hdf\.enable", str(happened))
    folder = tmp_path / "data" / "runs" / "clumsy-1"
    (left,) = folder.glob("00001-1-*/*.h5")
    with h5py.File(left) as read:  # closed, though nobody counts it
        assert read["/entry/data/data"].shape[0] == 1
