"""A trial that is walked and not run: its plan, watched by the guard of a real run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.preprocessors import SupplementalData
from bluesky.utils import MsgGenerator

from orchestrator.adapters.execution.trial_plan import PlanFinder, plan_function, trial_plan
from orchestrator.adapters.guard.budgets import Tally
from orchestrator.adapters.guard.desk import Presumed
from orchestrator.adapters.guard.preprocessors import Guard
from orchestrator.adapters.guard.travel import Terms
from orchestrator.adapters.walks.stand_ins import StandIns
from orchestrator.domain.envelope import device_settings, envelope_of, plan_arguments
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.trial import ParameterValue
from orchestrator.ports import PlanRequest

LONGEST_S = 1e9
"""No wait ends early: what never ends is found by whoever walks."""


@dataclass(frozen=True, slots=True)
class GuardedTrial:
    """One trial, to be walked once."""

    plan: Callable[..., Any]
    """As it is written, for the line of what has no line."""
    messages: MsgGenerator[Any]
    """Those that the guard lets pass. What the plan asks is answered with nothing."""
    guard: Guard
    tally: Tally
    """What of the instrument's budgets it would take."""


def guarded_trial(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    parameters: Mapping[str, ParameterValue],
    devices: StandIns,
    of_startup: PlanFinder | None = None,
    *,
    number: int = 1,
    baseline: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> GuardedTrial:
    """The trial with these parameters, with metadata as a real one has.

    Args:
        campaign: whose plan it is.
        instrument: its file.
        parameters: of the trial.
        devices: what the plan is given.
        of_startup: finds plans of the lab's startup; None when there is none.
        number: of the trial, from 1.
        baseline: devices that are read at the beginning and the end of each run.
        clock: tells the seconds by which an axis is held to its rate.

    Raises:
        EnvelopeError: the settings are not allowed.
        PlanFailed: the campaign does not fit the plan, or names no device.
    """
    settings = device_settings(campaign, parameters)
    metadata = {"campaign_id": "dry-run", "trial_id": number, "attempt": 1, "fence": 1}
    metadata |= {"mode": instrument.mode, "instrument": instrument.name}
    metadata |= {"parameters": dict(parameters), "versions": {}}
    envelope, tally = envelope_of(instrument), Tally()
    envelope.check(settings)
    arguments = plan_arguments(campaign, parameters)
    request = PlanRequest(
        campaign, settings, arguments, metadata, documents="", deadline_s=LONGEST_S
    )
    plan = trial_plan(request, devices.at, instrument, of_startup)
    if baseline:
        plan = SupplementalData(baseline=[devices.at(path) for path in baseline])(plan)
    terms = Terms(
        envelope,
        settings,
        metadata,
        wait_s=LONGEST_S,
        time_scale=1.0,
        at=devices.at,
        budgets=tally,
        clock=clock,
    )
    guard = Guard(devices.paths, terms)
    guard.desk = Presumed()
    written = plan_function(campaign.plan.name, of_startup)
    return GuardedTrial(written, guard.guarded(plan), guard, tally)
