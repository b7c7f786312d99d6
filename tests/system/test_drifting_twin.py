"""A twin drifts over Channel Access, and a plan of the lab puts it right, or does not."""

from pathlib import Path

import pytest
import yaml

import simulators.flow_chemistry
from orchestrator.domain.sentinels import SENTINEL
from orchestrator.domain.state import CampaignState
from orchestrator.domain.trial import TrialState
from tests.system.lab import (
    answer,
    events,
    finish,
    labwright,
    live_state,
    start,
    wait_for,
    with_code_of,
    write,
)

pytestmark = pytest.mark.system
FOLDER = Path(simulators.flow_chemistry.__file__).parent

LAB = '''
"""A detector's zero, and plans about it."""

from bluesky import plan_stubs as bps
from ophyd import Component, Device, EpicsSignal
from ophyd.status import Status


class Zero(Device):
    """To set it ends what is wrong with the twin."""

    fault = Component(EpicsSignal, "LABWRIGHT:FAULT", add_prefix=(), string=True)

    def set(self, value):
        self.fault.put("{}")
        done = Status(self)
        done.set_finished()
        return done


def rezero(zero, md=None):
    yield from bps.open_run(md=md)
    yield from bps.abs_set(zero, 0.0, wait=True)
    yield from bps.close_run()


def idle(zero, md=None):
    yield from bps.open_run(md=md)
    yield from bps.close_run()
'''
AT = {"residence_time": 1.0, "equivalents": 2.0, "concentration": 0.2, "temperature": 60.0}


def build(folder: Path, plan: str, every: int = 2) -> tuple[str, dict[str, str]]:
    """The shipped campaign without a model, watched, on the shipped instrument with a zero."""
    write(folder, "lab_zero.py", LAB)
    instrument = yaml.safe_load((FOLDER / "instrument.yaml").read_text())
    instrument["devices"]["zero"] = {"class": "lab_zero.Zero", "prefix": "", "limits": [0, 1]}
    write(folder, "instrument.yaml", yaml.safe_dump(instrument))
    content = yaml.safe_load((FOLDER / "campaign.yaml").read_text())
    realign = {"name": f"lab_zero.{plan}", "args": {"zero": "zero"}}
    content["instrument"] = "instrument.yaml"
    content["sentinel"] = {"at": AT, "every": every, "then": {"realign": realign}}
    content["optimizer"] = {"method": "sobol", "lookahead": 1}
    content["budget"] = {"trials": 60}
    del content["stop"]
    return write(folder, "campaign.yaml", yaml.safe_dump(content)), with_code_of(folder)


def is_realigned(state: CampaignState) -> bool:
    """True once a sentinel was measured after a realignment."""
    done = [one.trial_id for one in state.trials.values() if one.source == "realignment"]
    return bool(done) and any(one > done[0] for one in sentinels(state))


def test_a_drift_is_found_and_put_right_and_the_campaign_goes_on(
    data_dir: Path, tmp_path: Path
) -> None:
    file, lab = build(tmp_path, "rezero")
    where = ("--data-dir", str(data_dir))
    running = start("run", file, "--id", "a", "--json", *where, **lab)
    wait_for(lambda: live_state(data_dir).count(TrialState.MEASURED) >= 7, "a reference is there")
    labwright("fault", "drift", "FC:HPLC:ORTHO", "--by", "1e-3", "--for-s", "1e8", *where)
    wait_for(lambda: is_realigned(live_state(data_dir)), "it was realigned")
    labwright("finish", "a", *where)
    code, said, complained = finish(running)
    assert code == 0, said + complained
    verdict = answer("verify", "a", *where, **lab)
    assert verdict["verified"] == "bitwise", verdict["divergences"]
    assert verdict["counts"]["trials"]["invalid"] == 1, "one realignment was enough"
    assert answer("status", "a", *where, **lab)["suspect_data"]


def test_one_that_is_not_put_right_ends_with_a_call_for_a_person(
    data_dir: Path, tmp_path: Path
) -> None:
    file, lab = build(tmp_path, "idle")
    where = ("--data-dir", str(data_dir))
    running = start("run", file, "--id", "a", "--json", *where, **lab)
    wait_for(lambda: live_state(data_dir).count(TrialState.MEASURED) >= 7, "a reference is there")
    labwright("fault", "drift", "FC:HPLC:ORTHO", "--by", "1e-3", "--for-s", "1e8", *where)
    code, said, complained = finish(running)
    assert code == 3, said + complained
    assert "has not brought it back" in said


def test_a_sentinel_follows_a_beam_dump(data_dir: Path, tmp_path: Path) -> None:
    file, lab = build(tmp_path, "rezero", every=1000)
    where = ("--data-dir", str(data_dir))
    running = start("run", file, "--id", "a", "--json", *where, **lab)
    wait_for(lambda: live_state(data_dir).count(TrialState.MEASURED) >= 2, "trials are measured")
    labwright("fault", "trip", "FC:PRESSURE:FAULT", "--to", "9", "--for-s", "6000", *where)
    wait_for(lambda: len(sentinels(live_state(data_dir))) == 2, "a second sentinel is measured")
    labwright("finish", "a", *where)
    code, said, complained = finish(running)
    assert code == 0, said + complained
    happened = events(data_dir, "a")
    resumed = next(place for place, one in enumerate(happened) if one["type"] == "resumed")
    second = next(one for one in happened[resumed:] if one["type"] == "proposed")
    assert second["data"]["source"] == SENTINEL, "the first proposal after the dump"


def sentinels(state: CampaignState) -> list[int]:
    """Numbers of the measured sentinels."""
    return [one.trial_id for one in state.measured if one.source == SENTINEL]
