"""The fast rehearsal in several processes says what it says in one."""

import os
import signal
from collections.abc import Mapping
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import psutil
import pytest

from orchestrator.adapters.processes.answering_child import ChildDied
from orchestrator.adapters.walks.many_twins import Wanted, many_twins
from orchestrator.adapters.walks.twin_in_process import Measurement
from orchestrator.campaign_files import read_files
from orchestrator.domain.spec import CampaignSpec
from orchestrator.lockstep import in_lockstep
from orchestrator.rehearsal import rehearse

FLOW = read_files("flow-chemistry")
AT = {"residence_time": 1.0, "equivalents": 2.0, "concentration": 0.2, "temperature": 60.0}
TOO_HOT = {**AT, "temperature": 110.0}


def spec(**fields: Any) -> CampaignSpec:
    return CampaignSpec.from_data({**FLOW.campaign.to_data(), "stop": {}, **fields})


def rehearsed(processes: int, count: int = 3, **fields: Any) -> dict[str, Any]:
    with in_lockstep(processes) as carry:
        return rehearse(spec(**fields), FLOW.instrument, count, carry, approximate=True)


def fragile(settings: Mapping[Any, float], detector: Any) -> Any:
    """Fails in the heat."""
    for device, value in settings.items():
        yield from bps.mv(device, value)
        if device.name == "temperature" and value > 75.0:
            raise RuntimeError(f"too hot at {value}")
    yield from bp.count([detector], md={"at": dict(zip(AT, settings.values(), strict=True))})


def reduce_warily(runs: Any) -> Any:
    """Fails when cold."""
    if runs[0].start["at"]["temperature"] < 50.0:
        raise ValueError("too cold")
    return dict.fromkeys(("sty", "e_factor"), 1.0)


def reduce_or_die(runs: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_in_the_heat(runs: Any) -> Any:
    return reduce_or_die(runs) if runs[0].start["parameters"] == TOO_HOT else {"sty": 1.0}


def reduced_by(reducer: Any, **fields: Any) -> dict[str, Any]:
    return {
        "reduce": {"call": f"{__name__}.{reducer.__name__}"},
        "constraints": {},
        "valid": [],
        "optimizer": {"method": "sobol"},
        **fields,
    }


def test_the_number_of_processes_changes_no_bit():
    fields = {"budget": {"trials": 9}, "optimizer": {"method": "ax", "initial_trials": 4}}
    one = rehearsed(1, **fields)
    assert one["stops"] == {"trials": 3}
    assert one["best"] != one["chance"]["best"], "nothing was proposed by the model"
    assert rehearsed(2, **fields) == one
    assert rehearsed(3, **fields) == one


def test_what_fails_is_told_by_processes_as_it_is_here():
    plan = {"name": f"{__name__}.fragile", "args": {"detector": "hplc"}}
    policy = {"stop_after": {"failed_in_a_row": 9, "invalid_in_a_row": 9}}
    fields = reduced_by(reduce_warily, plan=plan, policy=policy, budget={"trials": 8})
    here = rehearsed(1, **fields)
    told = " ".join(one["why"] for one in here["reasons"])
    assert "RuntimeError: too hot at" in told
    assert "ValueError: too cold" in told
    assert rehearsed(2, **fields) == here


def test_campaigns_whose_process_dies_are_told_and_not_counted():
    found = rehearsed(2, 2, **reduced_by(reduce_or_die))
    assert found["failed"] == [f"seed {seed}: its process was killed by SIGKILL" for seed in (0, 1)]
    assert found["trials_spent"] is None


def test_a_process_that_dies_spoils_no_other():
    campaign = spec(**reduced_by(dies_in_the_heat))
    with many_twins(2) as twins:
        twins.make(Wanted(campaign, FLOW.instrument, [5, 6, 7]))
        first = twins.measure({0: AT, 1: TOO_HOT, 2: AT})
        then = twins.measure({0: AT, 1: AT})
    assert isinstance(first[1], ChildDied)
    assert isinstance(then[1], ChildDied)
    assert all(isinstance(one, Measurement) for one in (first[0], first[2], then[0]))


@pytest.mark.parametrize("ending", [None, KeyboardInterrupt])
def test_no_process_is_left_behind(ending: type[BaseException] | None):
    before = set(psutil.Process().children(recursive=True))
    caught: list[BaseException] = []
    try:
        with many_twins(2) as twins:
            twins.make(Wanted(FLOW.campaign, FLOW.instrument, [0, 1]))
            kept = set(psutil.Process().children(recursive=True)) - before
            if ending is not None:
                raise ending
    except KeyboardInterrupt as error:
        caught.append(error)
    assert len(kept) == 2
    assert len(caught) == (ending is not None)
    assert not any(process.is_running() for process in kept)
