"""A campaign from its file to its results, as a user runs it."""

import json
import math
import os
import shutil
import signal
from pathlib import Path

import pytest

from orchestrator.domain.trial import TrialState
from tests.system.lab import (
    answer,
    count,
    descendants,
    events,
    finish,
    labwright,
    live_state,
    process_of,
    proposals,
    results,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system

SOFT = """
name: soft
mode: twin
devices:
  bench:
    class: simulators.soft.bench.Bench
    limits: [-5, 15]
    tolerance: 1.0e-9
    timeout_s: {timeout}
    kwargs: {{move_s: {move}, fault_file: {faults}}}
gate: flock
"""

CAMPAIGN = """
name: branin
instrument: instrument.yaml
plan: {{name: steady_state_sample, args: {{detector: bench.det}}}}
reduce: {{call: simulators.soft.reduce.reduce_branin}}
parameters:
  x: {{device: bench.x, range: [-5, 10]}}
  y: {{device: bench.y, range: [0, 15]}}
objectives: {{branin: {{goal: minimize}}}}
budget: {{trials: {trials}}}
optimizer: {{method: {method}, initial_trials: 5, lookahead: {lookahead}, seed: 7}}
"""


@pytest.fixture
def bench(tmp_path: Path):
    """Writes a campaign on a soft bench; gives its file. ``faults.json`` beside it trips faults."""

    def made(*, trials=6, method="sobol", lookahead=1, move=0.0, timeout=5.0) -> str:
        text = SOFT.format(move=move, timeout=timeout, faults=tmp_path / "faults.json")
        write(tmp_path, "instrument.yaml", text)
        text = CAMPAIGN.format(trials=trials, method=method, lookahead=lookahead)
        return write(tmp_path, "campaign.yaml", text)

    return made


def run(campaign: str, data_dir: Path, *options: str, code: int = 0, **more: str) -> dict:
    return answer("run", campaign, "--data-dir", str(data_dir), *options, code=code, **more)


def test_flow_chemistry_over_channel_access(data_dir: Path) -> None:
    outcome = run("flow-chemistry", data_dir, "--trials", "12", "--seed", "3")
    assert (outcome["status"], outcome["mode"]) == ("done", "twin")
    assert outcome["trials"] == {**dict.fromkeys(outcome["trials"], 0), "measured": 12}
    assert 0 <= outcome["idle_fraction"] <= 1
    assert outcome["instrument_busy_s"] > 0
    rows = results(data_dir, outcome["campaign_id"])
    assert [int(row["trial_id"]) for row in rows] == list(range(1, 13))
    assert len({row["run_uid"] for row in rows}) == 12
    assert [row["source"] for row in rows[:8]] == ["initial"] * 8
    assert {row["source"] for row in rows[8:]} <= {"model", "fallback"}
    for row in rows:
        assert row["state"] == "measured"
        assert float(row["sty"]) > 0
        assert row["proposed_at"] < row["started_at"] < row["measured_at"]
    folder = Path(outcome["results"])
    assert (folder / "convergence.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert outcome["campaign_id"] in page
    assert "http" not in page.replace("http-equiv", ""), "the page opens without a network"
    documents = sorted((data_dir / "runs" / outcome["campaign_id"]).iterdir())
    assert len(documents) == 12
    name, first = json.loads(documents[0].read_text().splitlines()[0])
    assert name == "start"
    wanted = {"campaign_id", "trial_id", "attempt", "fence", "mode", "versions", "uid", "time"}
    assert wanted <= set(first)
    assert answer("status", "--data-dir", str(data_dir))["processes"] == []


def test_the_table_says_the_same_in_every_format(bench, data_dir: Path, tmp_path: Path) -> None:
    import pandas as pd

    campaign_id = run(bench(trials=4), data_dir)["campaign_id"]
    options = ("results", campaign_id, "--data-dir", str(data_dir), "--format")
    rows = results(data_dir, campaign_id)
    as_json = json.loads(labwright(*options, "json").stdout)
    labwright(*options, "parquet", "--output", str(tmp_path / "t.parquet"))
    parquet = pd.read_parquet(tmp_path / "t.parquet")
    for name in ("x", "y", "branin"):
        exact = [float(row[name]) for row in rows]
        assert exact == [row[name] for row in as_json] == list(parquet[name])
    columns = "trial_id,state,attempts,source,x,y,branin,branin_sem,run_uid,proposed_at"
    assert ",".join(rows[0]) == f"{columns},started_at,measured_at"


def test_trials_on_the_command_line_replace_budget_and_stop_rules(bench, data_dir: Path) -> None:
    outcome = run(bench(trials=100), data_dir, "--trials", "3", "--id", "three")
    assert (outcome["campaign_id"], outcome["trials"]["measured"]) == ("three", 3)
    again = answer("run", bench(), "--id", "three", "--data-dir", str(data_dir), code=2)
    assert "already" in again["error"]


def test_the_same_seed_gives_the_same_campaign(bench, tmp_path: Path) -> None:
    campaign = bench(trials=7, method="auto", lookahead=0)
    points = []
    for name in ("one", "two"):
        outcome = run(campaign, tmp_path / name)
        rows = results(tmp_path / name, outcome["campaign_id"])
        points.append(proposals(rows, "x", "y", "branin"))
        assert [row["source"] for row in rows] == ["initial"] * 5 + ["model"] * 2
    assert points[0] == points[1]


def _kill(pid: int | None) -> None:
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def _kill_when(data_dir: Path, measured: int, *, running: bool) -> None:
    """Kill -9 the campaign process once so many trials are measured, in or between trials."""

    def is_time() -> bool:
        state = live_state(data_dir)
        is_running = state.count(TrialState.RUNNING) > 0
        return state.count(TrialState.MEASURED) >= measured and is_running == running

    wait_for(is_time, f"{measured} trials are measured")
    _kill(process_of("campaign", data_dir))


def test_a_killed_campaign_goes_on_with_the_same_proposals(bench, tmp_path: Path) -> None:
    campaign = bench(trials=8, method="auto", lookahead=0, move=0.1)
    undisturbed = run(campaign, tmp_path / "calm", "--id", "calm")
    assert undisturbed["trials"]["measured"] == 8
    data_dir = tmp_path / "rough"
    running = start("run", campaign, "--id", "rough", "--json", "--data-dir", str(data_dir))
    _kill_when(data_dir, 2, running=True)
    # Now everything at once: the launcher is killed too, and the campaign is resumed.
    wait_for(lambda: process_of("campaign", data_dir), "the campaign process is replaced")
    _kill_when(data_dir, 4, running=False)
    left = descendants(running.pid)
    running.kill()
    running.communicate()
    wait_for(lambda: not any(one.is_running() for one in left), "nothing is left behind")
    resumed = answer("run", "--resume", "rough", "--data-dir", str(data_dir))
    assert (resumed["status"], resumed["trials"]["measured"]) == ("done", 8)
    points = [
        proposals(results(folder, name), "x", "y", "branin", "source")
        for folder, name in ((tmp_path / "calm", "calm"), (data_dir, "rough"))
    ]
    assert points[0] == points[1]


def test_each_proposal_equals_a_recomputation_from_its_basis(bench, data_dir: Path) -> None:
    from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
    from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
    from orchestrator.domain.events import Proposed, from_fields
    from orchestrator.domain.proposal import knowledge
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.state import CampaignState, fold

    campaign = bench(trials=12, method="auto", lookahead=1, move=1.0)
    outcome = run(campaign, data_dir)
    log = [
        from_fields(
            e["id"],
            {"type": e["type"], "v": "1", "at": str(e["at"]), "data": json.dumps(e["data"])},
        )
        for e in events(data_dir, outcome["campaign_id"])
    ]
    spec = CampaignSpec.from_data(fold(log).spec)
    sources = []
    for proposed in [event for event in log if isinstance(event, Proposed)]:
        places = [event.id for event in log]
        past = fold(log[: places.index(proposed.basis) + 1], CampaignState())
        optimizer = AxOptimizer() if proposed.source == "model" else SobolOptimizer()
        again = optimizer.suggest(knowledge(past, spec))
        assert dict(again.parameters) == dict(proposed.parameters)
        sources.append(proposed.source)
    assert sources[:5] == ["initial"] * 5
    assert "model" in sources


def test_a_live_campaign_is_not_resumed_twice(bench, data_dir: Path) -> None:
    running = start("run", bench(trials=200, move=0.2), "--id", "a", "--data-dir", str(data_dir))
    pid = wait_for(lambda: process_of("campaign", data_dir), "the campaign runs")
    second = answer("run", "--resume", "a", "--data-dir", str(data_dir), code=2)
    assert f"process {pid} runs it" in second["error"]
    roles = {one["role"] for one in answer("status", "--data-dir", str(data_dir))["processes"]}
    assert {"server", "campaign", "worker"} <= roles
    running.send_signal(signal.SIGINT)
    assert finish(running)[0] == 130


def test_one_interrupt_stops_cleanly_and_the_campaign_can_go_on(bench, data_dir: Path) -> None:
    running = start("run", bench(trials=8, move=0.2), "--id", "a", "--data-dir", str(data_dir))
    wait_for(lambda: count(data_dir, "measured") >= 2, "two trials are measured")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "labwright run --resume a" in said
    status = answer("status", "--data-dir", str(data_dir))
    assert status["status"] == "paused"
    assert status["trials"]["running"] == status["trials"]["leased"] == 0
    resumed = answer("run", "--resume", "a", "--data-dir", str(data_dir))
    assert (resumed["status"], resumed["trials"]["measured"]) == ("done", 8)
    assert all(row["attempts"] == "1" for row in results(data_dir, "a"))


def test_two_interrupts_abort(bench, data_dir: Path) -> None:
    running = start(
        "run", bench(trials=9, move=20, timeout=60), "--id", "a", "--data-dir", str(data_dir)
    )
    wait_for(lambda: count(data_dir, "running"), "a trial runs")
    running.send_signal(signal.SIGINT)
    wait_for(lambda: live_state(data_dir).status == "paused", "the first interrupt is taken")
    running.send_signal(signal.SIGINT)
    assert finish(running)[0] == 130
    status = answer("status", "--data-dir", str(data_dir))
    assert (status["status"], status["stop_reason"]) == ("aborted", "aborted from the keyboard")
    assert status["trials"]["cancelled"] >= 1


def test_orders_from_another_terminal(bench, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    running = start("run", bench(trials=500, move=0.2), "--id", "a", "--json", *where)
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    assert "until 'labwright resume'" in answer("pause", *where, "--reason", "lunch")["text"]
    assert "it is paused" in answer("pause", *where, code=2)["error"]
    wait_for(lambda: not count(data_dir, "running"), "the running trial has finished")
    assert answer("status", *where)["waiting_for"] == "lunch"
    answer("resume", *where)
    why = answer("why", "1", *where)
    kinds = [step["event"] for step in why["history"]]
    assert kinds == ["proposed", "leased", "started", "acquired", "measured"]
    answer("finish", *where, "--reason", "enough")
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    outcome = json.loads(said)
    assert (outcome["status"], outcome["stop_reason"]) == ("stopped", "enough")
    listed = answer("list", *where)["campaigns"]
    assert [(one["campaign_id"], one["status"]) for one in listed] == [("a", "stopped")]


def test_what_a_person_has_paused_stays_so_when_the_processes_come_back(
    bench, data_dir: Path
) -> None:
    """A service manager starts a killed launcher again; somebody may stand at the instrument."""
    where = ("--data-dir", str(data_dir))
    running = start("run", bench(trials=2000, move=0.2), "--id", "p", *where)
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    labwright("pause", "p", "--reason", "somebody is in the hutch", *where)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    again = start("run", "--resume", "p", "--json", *where)
    wait_for(lambda: process_of("campaign", data_dir), "the processes are back")
    wait_for(lambda: process_of("worker", data_dir), "the worker too")
    assert live_state(data_dir).status == "paused"
    labwright("resume", "p", *where)
    labwright("finish", "p", *where)
    code, said, _ = finish(again)
    assert (code, json.loads(said)["status"]) == (0, "stopped")


def test_a_copied_folder_is_a_lab_of_its_own(bench, data_dir: Path, tmp_path: Path) -> None:
    running = start("run", bench(trials=2000, move=0.2), "--id", "o", "--data-dir", str(data_dir))
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    labwright("abort", "o", "--reason", "only the copy", "--data-dir", str(copy))
    assert answer("status", "o", "--data-dir", str(copy))["status"] == "finishing"
    assert live_state(data_dir).status == "running"
    labwright("finish", "o", "--data-dir", str(data_dir))
    assert finish(running)[0] == 0


def test_abort_stops_a_running_plan(bench, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    running = start("run", bench(trials=9, move=30, timeout=60), "--json", *where)
    wait_for(lambda: count(data_dir, "running"), "a trial runs")
    answer("abort", *where, "--reason", "smoke")
    said, _ = running.communicate(timeout=60)
    outcome = json.loads(said)
    assert running.returncode == 1
    assert (outcome["status"], outcome["stop_reason"]) == ("aborted", "smoke")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("hang", "device_timeout"), ("fail", "plan_failed"), ("nan", "bad_reading")],
)
def test_a_faulty_device_fails_trials_and_not_the_campaign(
    bench, tmp_path: Path, data_dir: Path, fault: str, reason: str
) -> None:
    campaign = bench(trials=3, timeout=0.3)
    (tmp_path / "faults.json").write_text(json.dumps({"det": fault}))
    outcome = run(campaign, data_dir, "--trials", "3", code=1)
    assert outcome["trials"]["abandoned"] == 3
    rows = results(data_dir, outcome["campaign_id"])
    assert [(row["state"], row["attempts"], row["branin"]) for row in rows] == [
        ("abandoned", "3", "")
    ] * 3
    why = answer("why", "2", "--data-dir", str(data_dir))
    assert why["reason"] == reason
    assert outcome["best"] is None


def test_a_killed_ioc_costs_an_attempt_and_not_a_trial(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    running = start(
        "run",
        "flow-chemistry",
        "--trials",
        "8",
        "--json",
        *where,
        LABWRIGHT_TIME_COMPRESSION="1000",
    )
    wait_for(lambda: count(data_dir, "running") and count(data_dir, "measured"), "a trial runs")
    _kill(process_of("twin", data_dir))
    said, _ = running.communicate(timeout=90)
    outcome = json.loads(said)
    assert (running.returncode, outcome["trials"]["measured"]) == (0, 8)
    rows = results(data_dir, outcome["campaign_id"])
    assert all(math.isfinite(float(row["sty"])) for row in rows)


def test_a_killed_server_loses_nothing(bench, data_dir: Path) -> None:
    running = start("run", bench(trials=20, move=0.1), "--json", "--data-dir", str(data_dir))
    for measured in (3, 8):
        wait_for(lambda n=measured: count(data_dir, "measured") >= n, f"{measured} are measured")
        _kill(process_of("server", data_dir))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    outcome = json.loads(said)
    log = events(data_dir, outcome["campaign_id"])
    measured = [event["data"]["trial_id"] for event in log if event["type"] == "measured"]
    assert measured == list(range(1, 21))


def test_a_killed_worker_costs_at_most_an_attempt(bench, data_dir: Path) -> None:
    running = start("run", bench(trials=10, move=0.3), "--json", "--data-dir", str(data_dir))
    wait_for(lambda: count(data_dir, "running") and count(data_dir, "measured") > 1, "one runs")
    _kill(process_of("worker", data_dir))
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    outcome = json.loads(said)
    log = events(data_dir, outcome["campaign_id"])
    measured = [event["data"]["trial_id"] for event in log if event["type"] == "measured"]
    assert sorted(measured) == list(range(1, 11))
    assert "lease_expired" in [event["type"] for event in log]


def test_an_existing_server_is_used_when_it_is_safe(bench, server, data_dir: Path) -> None:
    outcome = run(bench(trials=3), data_dir, "--redis", server.url, LABWRIGHT_LAB="existing")
    assert outcome["trials"]["measured"] == 3
    listed = answer("list", "--redis", server.url, LABWRIGHT_LAB="existing")["campaigns"]
    assert len(listed) == 1


def test_submitted_campaigns_wait_for_a_run(bench, data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    submitted = answer("submit", bench(trials=3), *where)["campaign_id"]
    assert answer("status", submitted, *where)["trials"]["measured"] == 0
    assert answer("run", "--resume", submitted, *where)["trials"]["measured"] == 3
    page = answer("report", submitted, *where)["report"]
    assert "<h1>branin</h1>" in Path(page).read_text()
