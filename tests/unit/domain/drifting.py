"""Logs of campaigns whose instrument drifts."""

from dataclasses import replace

from orchestrator.domain import events as ev
from orchestrator.domain.realignment import NO_DATA, REALIGNMENT
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome
from tests.unit.domain.builders import campaign, opened, run

ALIGN = {"realign": {"name": "lab.align", "args": {"mirror": "heater"}}}


def watched(then: object = ALIGN, **changes) -> CampaignSpec:
    told = {"at": {"x": 5.0}, "every": 2, "then": then}
    return campaign(**{"sentinel": told, "budget": {"trials": 20}, **changes})


def trial(number: int, y: float, source: str = "model", sem: float | None = 0.1) -> list[ev.Event]:
    first, *rest = run(number, ev.Measured(trial_id=number, outcomes={"y": Outcome(y, sem)}))
    return [replace(first, source=source), *rest]


def sentinel(number: int, y: float) -> list[ev.Event]:
    return trial(number, y, "sentinel")


def realignment(number: int, last: ev.TrialEvent | None = None) -> list[ev.Event]:
    done = ev.Invalidated(trial_id=number, outcomes={}, reason=NO_DATA)
    first, *rest = run(number, last or done)
    return [replace(first, source=REALIGNMENT), *rest]


def drifting(spec: CampaignSpec) -> list[ev.Event]:
    """Good sentinels 1 and 4; from then on 2 too much until sentinel 7."""
    happened = [opened(spec), *sentinel(1, 1.0), *trial(2, 5.0), *trial(3, 6.0), *sentinel(4, 1.0)]
    return [*happened, *trial(5, 7.0), *trial(6, 8.0), *sentinel(7, 3.0)]
