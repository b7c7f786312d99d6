"""What a campaign does about each fault that a twin can have."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import simulators.flow_chemistry
from orchestrator.domain import events as ev
from simulators.faults import Fault, read_faults
from simulators.twins import own_pvs, twin_module
from tests.system.lab import (
    FAST,
    answer,
    count,
    events,
    labwright,
    ledger_of,
    process_of,
    results,
    start,
    wait_for,
    write,
)

FOLDER = Path(simulators.flow_chemistry.__file__).parent


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    """The shipped campaign without a model, on the shipped instrument with impatient devices."""
    instrument = yaml.safe_load((FOLDER / "instrument.yaml").read_text())
    for device in instrument["devices"].values():
        device["timeout_s"] = 2.0
    write(tmp_path, "instrument.yaml", yaml.safe_dump(instrument))
    content = yaml.safe_load((FOLDER / "campaign.yaml").read_text())
    content |= {"instrument": "instrument.yaml", "optimizer": {"method": "sobol"}}
    content["policy"] = {
        "attempts": 1000,
        "crashes": 50,
        "stop_after": {"failed_in_a_row": 1000, "invalid_in_a_row": 1000},
    }
    del content["stop"]
    return write(tmp_path, "campaign.yaml", yaml.safe_dump(content))


LONG = ("--for-s", "1e7")
AXIS = "FC:TEMP"
REACTIONS: dict[str, tuple[Sequence[str], type[ev.Event], str]] = {
    "hang": (["hang", "FC:HPLC:TRIGGER"], ev.Failed, "device_timeout"),
    "refuse": (["refuse", f"{AXIS}:SP"], ev.Failed, "not_in_position"),
    "limit": (["limit", f"{AXIS}:SP", "--limits", "20", "21"], ev.Failed, "not_in_position"),
    "nan": (["nan", "FC:HPLC:ORTHO"], ev.Failed, "bad_reading"),
    "stuck": (["stuck", f"{AXIS}:RB"], ev.Failed, "device_timeout"),
    "drift": (["drift", f"{AXIS}:RB", "--by", "0.05"], ev.Failed, ""),
    "spike": (["spike", "FC:HPLC:PEAK_AREA", "--by", "-1e6"], ev.Invalidated, "peak_area >= 100"),
    "invalid": (["invalid", "FC:HPLC:ORTHO"], ev.Failed, "bad_reading"),
    "invalid condition": (
        ["invalid", "FC:PRESSURE:RB"],
        ev.Suspended,
        "FC:PRESSURE:RB is in invalid alarm",
    ),
    "trip": (["trip", "FC:PRESSURE:FAULT", "--to", "9"], ev.Suspended, "FC:PRESSURE:RB is 12 bar"),
}
"""What is ordered, and the event and the reason that must follow."""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_fault_has_its_consequence_and_its_end(campaign: str) -> None:
    """One campaign meets them one after another; without one, nothing fails."""
    data = Path(campaign).parent / "data"
    where = ("--data-dir", str(data))
    process = start("run", campaign, "--trials", "100000", "--json", *where)
    wait_for(lambda: count(data, "measured") > 2, "trials are measured")
    assert not odd(log(data))
    for name, (order, kind, reason) in REACTIONS.items():
        before = len(log(data))
        labwright("fault", *order, *LONG, *where)
        wait_for(lambda: found(data, before, kind, reason), f"{kind} after {name}")  # noqa: B023
        ended = len(log(data))
        assert answer("fault", "clear", *where) == {"instrument": "flow-chemistry"}
        wait_for(lambda: found(data, ended, ev.Measured, ""), f"trials go on after {name}")  # noqa: B023
    labwright("finish", *where)
    said, _ = process.communicate(timeout=60)
    assert json.loads(said)["trials"]["abandoned"] == 0


def log(data: Path) -> Sequence[ev.Event]:
    with ledger_of(data) as ledger:
        assert ledger is not None
        return ledger.events(ledger.campaigns()[-1])


def found(data: Path, after: int, kind: type[ev.Event], reason: str) -> bool:
    new = [event for event in log(data)[after:] if isinstance(event, kind)]
    return any(reason in str(getattr(event, "reason", "")) for event in new)


def odd(log: Sequence[ev.Event]) -> list[ev.Event]:
    return [one for one in log if isinstance(one, (ev.Failed, ev.Invalidated, ev.Suspended))]


def test_what_is_slow_is_waited_for_and_what_is_planned_comes(campaign: str) -> None:
    folder = Path(campaign).parent
    slow = {"fault": "slow", "pv": "FC:HPLC:TRIGGER", "for_s": 1e6, "by": 6000}
    file = write(folder, "faults.yaml", yaml.safe_dump({"faults": [slow]}))
    where = ("--data-dir", str(folder / "data"))
    done = answer("run", campaign, "--trials", "2", "--faults", file, *where)
    assert done["trials"]["measured"] == 2
    assert done["instrument_busy_s"] > 2 * 6000 / 6000


def test_a_server_that_is_lost_for_a_while_costs_no_trial(campaign: str) -> None:
    folder = Path(campaign).parent
    lost = {"fault": "lost", "at_s": 900, "for_s": 3000}
    file = write(folder, "faults.yaml", yaml.safe_dump({"faults": [lost]}))
    where = ("--data-dir", str(folder / "data"))
    done = answer("run", campaign, "--trials", "8", "--faults", file, *where)
    assert done["trials"]["measured"] == 8
    happened = {one["type"] for one in events(folder / "data", done["campaign_id"])}
    assert {"suspended", "failed"} & happened


RANDOM = {"invalid": "FC:HPLC:ORTHO", "refuse": f"{AXIS}:SP"}
"""What goes wrong at random, with which process variable; ``REACTIONS`` says what follows."""


def test_random_faults_come_as_their_seed_says_and_cost_no_trial(campaign: str) -> None:
    folder = Path(campaign).parent
    file, planned = random_faults(folder, seed=0)
    where = ("--data-dir", str(folder / "data"))
    done = answer("run", campaign, "--trials", "6", "--faults", file, *where)
    assert done["stop_reason"] == "budget of trials spent"
    assert done["trials"]["measured"] == sum(done["trials"].values()) == 6

    log = events(folder / "data", done["campaign_id"])
    tried = attempts(log)
    failed = [reason for _, _, reason in tried if reason]
    assert set(failed) == {REACTIONS[kind][2] for kind in RANDOM}
    rows = results(folder / "data", done["campaign_id"])
    assert sum(int(row["attempts"]) for row in rows) == len(tried) == 6 + len(failed)

    assert explains(planned, tried)
    _, others = random_faults(folder, seed=17)
    assert not explains(others, tried), "another seed gives other faults"


def random_faults(folder: Path, seed: int) -> tuple[str, list[Fault]]:
    """A file of random faults, and what it plans."""
    some = [{"fault": kind, "pv": pv, "for_s": 6000} for kind, pv in RANDOM.items()]
    random = {"seed": seed, "mean_s": 2000, "faults": some}
    file = write(folder, f"random{seed}.yaml", yaml.safe_dump({"random": random}))
    return file, read_faults(Path(file), own_pvs(twin_module("flow-chemistry")))


Attempt = tuple[float, float, str]
"""When it began and ended, Unix time, and why it failed; empty when it has not."""


def attempts(log: Sequence[Mapping[str, Any]]) -> list[Attempt]:
    """All attempts, in order; one instrument makes one after another."""
    begun = [one["at"] for one in log if one["type"] == "started"]
    ended = [one for one in log if one["type"] in ("acquired", "failed")]
    return [
        (began, end["at"], end["data"].get("reason", ""))
        for began, end in zip(begun, ended, strict=True)
    ]


def explains(planned: Sequence[Fault], tried: Sequence[Attempt]) -> bool:
    """True when a fault of the kind that fails an attempt so holds during each that failed.

    Faults count from the first put, which was at some moment of the first attempt.
    """
    earliest, latest, _ = tried[0]
    rate = float(FAST["LABWRIGHT_TIME_COMPRESSION"])
    return all(
        any(
            reason == REACTIONS[fault.fault][2]
            and earliest + fault.at_s / rate <= ended
            and began <= latest + (fault.at_s + fault.for_s) / rate
            for fault in planned
        )
        for began, ended, reason in tried
        if reason
    )


def test_a_file_that_cannot_be_is_refused_before_the_start(tmp_path: Path) -> None:
    file = write(tmp_path, "faults.yaml", "faults: [{fault: hang, pv: 'FC:TMP:SP', for_s: 1}]")
    where = ("--data-dir", str(tmp_path / "data"))
    refused = labwright("run", "flow-chemistry", "--faults", file, *where, code=2)
    assert "near are FC:TEMP:SP" in refused.stderr
    assert not (tmp_path / "data").exists()


def test_faults_that_a_server_would_not_hear_of_are_refused(tmp_path: Path) -> None:
    """Not dropped: the campaign would pass without them."""
    where = ("--data-dir", str(tmp_path / "data"))
    file = write(tmp_path, "faults.yaml", "faults: [{fault: lost, for_s: 1}]")
    start("worker", "flow-chemistry", *where)
    wait_for(lambda: process_of("twin", tmp_path / "data"), "the twin is served")
    refused = labwright("run", "flow-chemistry", "--id", "a", "--faults", file, *where, code=2)
    assert "is served already" in refused.stderr
    wrong = write(tmp_path, "wrong.yaml", "faults: [{fault: hang, pv: 'FC:TMP:SP', for_s: 1}]")
    refused = labwright("run", "--resume", "a", "--faults", wrong, *where, code=2)
    assert "near are FC:TEMP:SP" in refused.stderr


def test_an_instrument_without_a_server_has_no_faults_to_plan(tmp_path: Path) -> None:
    file = write(tmp_path, "faults.yaml", "faults: []")
    refused = labwright("run", "soft", "--faults", file, code=2)
    assert "lives inside the worker" in refused.stderr
