"""The verbs beside ``run``: worker, twin, watch, park, halt, report, by hand and from scripts."""

import importlib.metadata
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.system.lab import (
    answer,
    count,
    finish,
    is_owned,
    labwright,
    process_of,
    results,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_twin_by_hand_says_how_to_reach_it(data_dir: Path) -> None:
    twin = start("twin", "flow-chemistry", "--json", "--data-dir", str(data_dir))
    about = json.loads(first_line(twin))
    pvs = {pv["pv"]: pv["unit"] for pv in about["pvs"]}
    assert pvs["FC:TEMP:SP"] == "degC"
    again = labwright("twin", "flow-chemistry", "--port", str(about["port"]), code=2)
    assert f"port {about['port']}" in again.stderr
    twin.send_signal(signal.SIGINT)
    assert finish(twin)[0] == 0


def test_a_worker_by_hand_serves_whoever_proposes(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    worker = start("worker", "soft", *where)
    pid = wait_for(lambda: process_of("worker", data_dir), "the worker is up")
    outcome = answer("run", "soft", "--trials", "3", *where)
    assert outcome["trials"]["measured"] == 3
    assert process_of("worker", data_dir) == pid, "the run used the worker that was there"
    second = labwright("worker", "soft", *where, code=2)
    assert "another worker already drives instrument 'soft'" in second.stderr
    worker.send_signal(signal.SIGTERM)
    assert finish(worker)[0] == 0


def test_a_remark_is_kept_in_the_log(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    labwright("submit", "soft", "--trials", "1", "--id", "lamp", *where)
    labwright("run", "--resume", "lamp", *where)
    said = answer("note", "  changed the lamp: ± 2 % ", *where)
    assert (said["campaign_id"], said["text"]) == ("lamp", "changed the lamp: ± 2 %")
    labwright("note", "changed the lamp: ± 2 %", "--campaign", "lamp", *where)
    lines = labwright("watch", "lamp", "--json", *where).stdout.splitlines()
    noted = [one for one in map(json.loads, lines) if one["event"] == "noted"]
    assert [one["text"] for one in noted] == ["changed the lamp: ± 2 %"] * 2, "said twice: two"
    assert all(one["by"] for one in noted)
    assert "changed the lamp" in labwright("watch", "lamp", *where).stderr
    assert answer("status", "lamp", *where)["status"] == "done", "nothing else changed"
    assert "write what is to be noted" in labwright("note", " ", *where, code=2).stderr
    assert (
        "did you mean 'lamp'" in labwright("note", "x", "--campaign", "lam", *where, code=2).stderr
    )


def test_the_version_is_the_installed_one() -> None:
    assert labwright("--version").stdout.strip() == importlib.metadata.version("labwright")


def test_watching_gives_one_event_a_line(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    campaign_id = answer("run", "soft", "--trials", "2", *where)["campaign_id"]
    lines = labwright("watch", campaign_id, "--json", *where).stdout.splitlines()
    kinds = [json.loads(line)["event"] for line in lines]
    assert kinds[0] == "opened"
    assert kinds[-1] == "ended"
    assert kinds.count("measured") == 2


def test_parking_moves_an_idle_instrument(data_dir: Path) -> None:
    done = answer("park", "flow-chemistry", "--data-dir", str(data_dir))
    assert done == {"instrument": "flow-chemistry", "parked": True}


def test_parking_waits_for_its_owner(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    worker = start("worker", "soft", *where)
    wait_for(lambda: is_owned("soft", data_dir), "the worker owns the instrument")
    refused = answer("park", "soft", *where, code=2)
    assert "a worker owns instrument 'soft'" in refused["error"]
    worker.send_signal(signal.SIGTERM)
    assert finish(worker)[0] == 0


def test_halting_ends_the_campaign_at_once(tmp_path: Path, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    write(
        tmp_path,
        "instrument.yaml",
        "{name: slow, mode: twin, devices: {bench: {class: simulators.soft.bench.Bench, "
        "limits: [-5, 15], timeout_s: 90, kwargs: {move_s: 60}}}}",
    )
    write(
        tmp_path,
        "campaign.yaml",
        "{name: slow, instrument: instrument.yaml, "
        "plan: {name: steady_state_sample, args: {detector: bench.det}}, "
        "reduce: {call: simulators.soft.reduce.reduce_branin}, "
        "parameters: {x: {device: bench.x, range: [-5, 10]}, "
        "y: {device: bench.y, range: [0, 15]}}, "
        "objectives: {branin: {goal: minimize}}, budget: {trials: 2}, optimizer: {method: sobol}}",
    )
    run = start("run", str(tmp_path / "campaign.yaml"), "--json", *where)

    wait_for(lambda: count(data_dir, "running"), "a trial runs")
    answer("halt", *where, "--reason", "water")
    said, _ = run.communicate(timeout=60)
    outcome = json.loads(said)
    assert (run.returncode, outcome["status"], outcome["stop_reason"]) == (1, "aborted", "water")


def test_a_file_by_any_other_name(tmp_path: Path, data_dir: Path) -> None:
    """Files are found beside the campaign file, whatever the working folder."""
    from importlib.resources import files

    soft = Path(str(files("simulators"))) / "soft"
    write(tmp_path, "bench.yaml", (soft / "instrument.yaml").read_text())
    text = (
        (soft / "campaign.yaml").read_text().replace("instrument: soft", "instrument: bench.yaml")
    )
    path = write(tmp_path, "mine.yaml", text)
    outcome = answer("run", path, "--trials", "2", "--data-dir", str(data_dir))
    assert len(results(data_dir, outcome["campaign_id"])) == 2


def test_two_runs_share_a_folder(data_dir: Path) -> None:
    where = ("--trials", "6", "--data-dir", str(data_dir), "--json")
    runs = [start("run", "soft", "--id", name, *where) for name in ("one", "two")]
    outcomes = [json.loads(run.communicate(timeout=90)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert [one["trials"]["measured"] for one in outcomes] == [6, 6]


def test_the_first_run_may_leave_while_the_second_goes_on(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir), "--json")
    first = start("run", "soft", "--id", "one", "--trials", "4", *where)
    wait_for(lambda: process_of("worker", data_dir), "the first run's worker is up")
    second = start("run", "soft", "--id", "two", "--trials", "20", *where)
    assert json.loads(first.communicate(timeout=90)[0])["trials"]["measured"] == 4
    assert json.loads(second.communicate(timeout=90)[0])["trials"]["measured"] == 20
