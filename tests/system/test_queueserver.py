"""Campaigns on a queueserver, by the command line; the page about it among them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.state import CampaignState, CampaignStatus
from tests.queueserver.beamline import Beamline
from tests.system.lab import (
    LABWRIGHT,
    answer,
    environment,
    finish,
    labwright,
    live_state,
    results,
    start,
    wait_for,
    write,
)
from tests.system.test_documentation import blocks, fits

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[2]
PAGE = "how-to/run-on-a-queueserver.md"
REAL = ("--hardware", "--step", "0")

CAMPAIGN = """
name: nearest
instrument: instrument.yaml
plan: {name: "queueserver:measure", args: {dwell: DWELL}}
reduce: {call: tests.queueserver.reducers.distance}
parameters:
  x: {device: x, range: [-3, 3]}
  y: {device: y, range: [-3, 3]}
objectives: {distance: {goal: minimize}}
budget: {trials: 3}
optimizer: {method: sobol, lookahead: 0}
"""


@pytest.fixture(autouse=True)
def reducers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's reducers are in this repository, and labwright is installed anywhere."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Beamline]:
    with Beamline(tmp_path / "queueserver") as lab:
        yield lab


def files(folder: Path, lab: Beamline, dwell: float = 0.0) -> str:
    spec = {
        "name": "lab",
        "mode": "real",
        "queueserver": lab.spec.to_data(),
        "devices": {name: {"limits": [-3, 3]} for name in ("x", "y")},
    }
    write(folder, "instrument.yaml", json.dumps(spec))
    return write(folder, "campaign.yaml", CAMPAIGN.replace("DWELL", str(dwell)))


def sets(lab: Beamline) -> int:
    return sum(command == "set x" for command, _ in lab.commands())


def test_the_page(tmp_path: Path) -> None:
    startup, reducer = blocks(PAGE, "python")
    instrument, campaign = blocks(PAGE, "yaml")
    write(tmp_path, "p99.py", reducer)
    write(tmp_path, "highest.yaml", campaign)
    script = tmp_path / "startup.py"
    publish_to = '"127.0.0.1:5577"'
    assert publish_to in startup
    script.write_text(startup.replace(publish_to, '__import__("os").environ["PUBLISH_TO"]'))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    with Beamline(tmp_path / "queueserver", startup=script, plans="measure") as lab:
        addresses = {"60615": lab.spec.control, "5578": lab.spec.documents}
        for port, address in addresses.items():
            assert f"tcp://127.0.0.1:{port}" in instrument
            instrument = instrument.replace(f"tcp://127.0.0.1:{port}", address)
        write(tmp_path, "p99.yaml", instrument)
        for block in blocks(PAGE, "console"):
            command, _, output = block.partition("\n")
            done = subprocess.run(
                [LABWRIGHT, *command.removeprefix("$ labwright ").split()],
                cwd=tmp_path,
                env=environment(COLUMNS="200", PYTHONPATH=path),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=90,
                check=False,
            )
            shown = output.replace("tcp://127.0.0.1:60615", lab.spec.control)
            assert done.returncode == 0, done.stdout
            assert fits(shown, done.stdout), f"{command}\n{done.stdout}"
        data = tmp_path / "labwright-data"
        for row in results(data, "highest-1"):
            expected = 5 - (float(row["position"]) - 1.5) ** 2
            assert float(row["height"]) == pytest.approx(expected)
        told = answer("status", "highest-1", "--data-dir", str(data))
        assert "budgets of dose or reagent" in told["envelope"]["not_held"]
        found = answer("verify", "highest-1", "--data-dir", str(data), PYTHONPATH=path)
        assert found["verified"] == "bitwise"


def test_a_dead_worker_suspends_and_the_next_one_goes_on(lab: Beamline, tmp_path: Path) -> None:
    campaign, data = files(tmp_path, lab, dwell=1.0), tmp_path / "data"
    run = start("run", campaign, *REAL, "--json", "--data-dir", str(data), "--id", "c")
    lab.await_command(4)
    lab.kill("worker")
    state = wait_for(lambda: _suspended(data), "the campaign is suspended")
    assert "RE worker" in (state.waiting_for or "")
    lab.client.ask("environment_destroy")
    lab.await_status(lambda status: not status["worker_environment_exists"])
    lab.open_environment()
    code, said, complaint = finish(run)
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 3
    assert sets(lab) == 4  # the one that its worker took along was measured again, no other
    assert answer("verify", "c", "--data-dir", str(data))["verified"] == "bitwise"


def test_it_waits_while_others_use_the_queueserver(lab: Beamline, tmp_path: Path) -> None:
    campaign, data = files(tmp_path, lab), tmp_path / "data"
    item = {"item_type": "plan", "name": "measure_at", "args": [0.0, 0.0], "kwargs": {"dwell": 600}}
    lab.client.ask("queue_item_execute", item=item, user="Ada", user_group="primary")
    run = start("run", campaign, *REAL, "--json", "--data-dir", str(data), "--id", "c")
    state = wait_for(lambda: _suspended(data), "the campaign is suspended")
    assert "'measure_at' for Ada" in (state.waiting_for or "")
    lab.abort()
    code, said, complaint = finish(run)
    assert code == 0, complaint
    assert json.loads(said)["trials"]["measured"] == 3
    assert sets(lab) == 4  # Ada's, and one for each trial


def test_what_somebody_has_ended_is_not_started_again(lab: Beamline, tmp_path: Path) -> None:
    campaign, data = files(tmp_path, lab, dwell=3.0), tmp_path / "data"
    run = start("run", campaign, *REAL, "--json", "--data-dir", str(data), "--id", "c")
    lab.await_command(2)
    lab.abort()
    code, _, _ = finish(run)
    assert code == 3
    state = answer("status", "c", "--data-dir", str(data), code=3)
    assert "somebody has ended the plan at the queueserver: aborted" in state["sentence"]
    assert sets(lab) == 1
    labwright("resume", "c", "--data-dir", str(data))
    resumed = answer("run", "--resume", "c", "--hardware", "--data-dir", str(data))
    assert resumed["trials"]["measured"] == 3
    assert sets(lab) == 4


def test_an_interrupted_run_leaves_nothing_running(lab: Beamline, tmp_path: Path) -> None:
    campaign, data = files(tmp_path, lab, dwell=600.0), tmp_path / "data"
    run = start("run", campaign, *REAL, "--json", "--data-dir", str(data), "--id", "c")
    lab.await_command(2)
    labwright("abort", "c", "--data-dir", str(data))
    finish(run)
    assert lab.client.status()["manager_state"] == "idle"
    assert lab.client.ask("history_get")["items"][-1]["result"]["exit_status"] == "aborted"


def test_without_a_queueserver_the_run_says_so_and_nothing_moves(tmp_path: Path) -> None:
    lab = Beamline(tmp_path / "queueserver")  # never started
    campaign, data = files(tmp_path, lab), tmp_path / "data"
    done = labwright("run", campaign, *REAL, "--data-dir", str(data), code=None)
    assert done.returncode not in (0, 130)
    assert "does not answer" in done.stderr + done.stdout
    found = answer("check", campaign, code=1)
    assert [one["place"] for one in found["problems"]] == ["queueserver", "queueserver.documents"]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"conditions": [{"signal": "S", "suspend_below": 1}]}, "conditions: means nothing with"),
        ({"devices": {"x": {"limits": [0, 1], "max_step": 1}}}, "devices.x.max_step"),
        ({"queueserver": {"documents": "localhost:1"}}, "is no address such as"),
        ({"mode": "twin"}, "nobody here knows what a queueserver drives"),
        ({"queueserver": {"documents": "tcp://127.0.0.1:99999"}}, "is no address such as"),
    ],
)
def test_what_would_not_hold_is_refused(
    tmp_path: Path, wrong: dict[str, object], what: str
) -> None:
    spec = {
        "name": "lab",
        "mode": "real",
        "queueserver": {"documents": "tcp://127.0.0.1:1"},
        "devices": {"x": {"limits": [-3, 3]}, "y": {"limits": [-3, 3]}},
        **wrong,
    }
    write(tmp_path, "instrument.yaml", json.dumps(spec))
    campaign = write(tmp_path, "campaign.yaml", CAMPAIGN.replace("DWELL", "0"))
    done = labwright("check", campaign, code=2)
    assert what in done.stdout + done.stderr


def test_a_plan_of_its_own_does_not_run_there(tmp_path: Path) -> None:
    lab = Beamline(tmp_path / "queueserver")
    campaign = Path(files(tmp_path, lab))
    campaign.write_text(campaign.read_text().replace("queueserver:measure", "steady_state_sample"))
    done = labwright("check", str(campaign), code=2)
    assert "write queueserver:NAME" in done.stdout + done.stderr


def _suspended(data: Path) -> CampaignState | None:
    state = live_state(data)
    return state if state.status is CampaignStatus.SUSPENDED else None
