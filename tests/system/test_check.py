"""``labwright check``: what it finds, what it says, and that nothing moves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.lab import LABWRIGHT, answer, environment, labwright
from tests.system.test_documentation import blocks, fits

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
INSTRUMENT = """
name: beamline
mode: real
devices:
  motor:
    {class: devices.SetpointReadback, prefix: "B:M", unit: mm, limits: [0, 100], tolerance: 0.05}
  shutter: {class: tests.beamline.devices.Shutter, prefix: "B:SHUTTER", limits: [0, 1]}
  camera: {class: tests.beamline.devices.Camera, prefix: "B:CAM", timeout_s: 2}
"""
CAMPAIGN = """
name: exposures
instrument: instrument.yaml
plan: {name: PLAN, args: {shutter: shutter, camera: camera}}
reduce: {call: tests.beamline.plans.reduce_exposure}
parameters:
  position: {device: motor, range: [80, 90], unit: mm}
objectives: {counts: {goal: maximize}}
budget: {trials: 8}
"""
RUDE = """
import epics
from tests.beamline.plans import exposure

def rude(settings, shutter, camera):
    epics.caput("B:M:SP", 50.0, wait=False)
    for motor, value in settings.items():
        motor.set(value)
        motor.setpoint.put(value)
    shutter.command.put(1)
    yield from exposure(settings, shutter, camera)
"""


def test_the_page_on_checking(tmp_path: Path) -> None:
    page = "how-to/check-before-you-start.md"
    instrument, campaign = blocks(page, "yaml")
    (plan,) = blocks(page, "python")
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "line.py").write_text(plan)
    (tmp_path / "bench.yaml").write_text(instrument)
    for step, code, shown in zip((4, 2), (1, 0), blocks(page, "console"), strict=True):
        (tmp_path / "line.yaml").write_text(campaign.replace("step: 4", f"step: {step}"))
        command, _, output = shown.partition("\n")
        done = subprocess.run(
            [LABWRIGHT, *command.removeprefix("$ labwright ").split()],
            cwd=tmp_path,
            env=environment(COLUMNS="200", PYTHONPATH=f"{tmp_path}:{os.getcwd()}"),
            text=True,
            capture_output=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert fits(output, done.stdout), f"shown:\n{output}\nsaid:\n{done.stdout}"


@pytest.mark.parametrize("plan", ["tests.beamline.plans.exposure", "rude_lab.rude"])
def test_nothing_moves_whatever_the_plan_does(tmp_path: Path, plan: str) -> None:
    """Beside a live server that this shell's Channel Access would find."""
    witness = tmp_path / "witness.jsonl"
    command = [sys.executable, "-m", "tests.beamline.ioc", str(witness)]
    (tmp_path / "rude_lab.py").write_text(RUDE)
    (tmp_path / "instrument.yaml").write_text(INSTRUMENT)
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN.replace("PLAN", plan))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = json.loads(process.stdout.readline())["port"]
            shell = {
                "EPICS_CA_ADDR_LIST": "127.0.0.1",
                "EPICS_CA_AUTO_ADDR_LIST": "NO",
                "EPICS_CA_NAME_SERVERS": f"127.0.0.1:{port}",
                "EPICS_CA_SERVER_PORT": str(port),
                "PYTHONPATH": f"{tmp_path}:{ROOT}",
            }
            is_rude = plan == "rude_lab.rude"
            path = str(tmp_path / "campaign.yaml")
            found = answer("check", path, "--points", "3", code=int(is_rude), **shell)
        finally:
            process.kill()
    assert not witness.exists() or witness.read_text() == ""
    if not is_rude:
        assert found["moves"]["motor"]["low"] >= 80
        assert found["moves"]["shutter"] == {"low": 0, "high": 1, "limits": [0, 1], "unit": ""}
        return
    lines = {problem["line"]: problem["message"] for problem in found["problems"]}
    assert sorted(lines) == [6, 8, 9, 10]
    assert "caput() of B:M:SP" in lines[6]
    assert "put() of shutter.command" in lines[10]


def test_durations_are_learned_from_earlier_trials(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    where = ("--data-dir", str(data_dir))
    before = answer("check", "soft", "--points", "4", *where)
    assert (before["trial_s_from"], before["learned_from"]) == ("speeds and settling", 0)
    assert not data_dir.exists()
    outcome = answer("run", "soft", "--trials", "6", *where)
    after = answer("check", "soft", "--points", "4", *where)
    assert (after["trial_s_from"], after["learned_from"]) == ("history", 6)
    assert 0 < after["trial_s"]["mean"] < outcome["wall_s"] / 2


def test_files_only() -> None:
    done = labwright("check", "soft", "--files-only")
    assert done.stdout == "soft-branin is sound: 2 parameters, 20 trials on soft (TWIN)\n"
