"""Where a campaign stands, in one line: what it waits for, since when, and what happens next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from orchestrator.domain.outage import NOT_STARTING
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Trial, TrialState
from orchestrator.ports import InstrumentRecord, InstrumentState

SILENT_S = 10.0
"""Seconds without a sign of life after which a worker counts as silent."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One line about a campaign."""

    sentence: str
    is_alarm: bool = False
    """True when it does not go on as it should: shown in red."""


def standing(
    state: CampaignState, instrument: InstrumentRecord, roles: Collection[str], now: float
) -> Standing:
    """Where the campaign stands at ``now`` (Unix seconds).

    Args:
        state: the campaign.
        instrument: what the ledger knows of its instrument.
        roles: roles of the live processes that serve this campaign and its instrument.
        now: by the clock of the ledger's server, or one that is close to it.
    """
    if state.is_over:
        return Standing(f"over: {state.status}, {state.stop_reason or 'no reason given'}")
    if instrument.state is InstrumentState.FAULT:
        return _fault(state, instrument)
    if state.status in (CampaignStatus.PAUSED, CampaignStatus.SUSPENDED):
        return _held(state, roles, now)
    if state.status is CampaignStatus.NEEDS_PERSON:
        then = f"; labwright approve {state.campaign_id}" if state.awaits_approval else ""
        text = f"needs a person for {_span(state.held_since, now)}: {state.waiting_for}{then}"
        return Standing(text + _still_running(state, roles), True)
    working = _of_instrument(state, instrument, roles, now)
    if state.status is CampaignStatus.FINISHING:
        return Standing(f"finishing ({state.stop_reason}): {working.sentence}", working.is_alarm)
    return working


def _of_instrument(
    state: CampaignState, instrument: InstrumentRecord, roles: Collection[str], now: float
) -> Standing:
    match instrument.state:
        case InstrumentState.UNKNOWN | InstrumentState.RECOVERING:
            return _recovering(state, instrument, roles)
        case InstrumentState.LEASED if instrument.campaign_id != state.campaign_id:
            return Standing(f"waits for the instrument: campaign {instrument.campaign_id} uses it")
        case InstrumentState.LEASED:
            return _driven(state, instrument, roles, now)
        case _:
            return _between(state, roles, now)


def _driven(
    state: CampaignState, instrument: InstrumentRecord, roles: Collection[str], now: float
) -> Standing:
    trial = state.trials.get(instrument.trial_id or 0)
    if "worker" not in roles:
        lost = f"the worker of trial {instrument.trial_id} is gone, and nobody replaces it"
        return Standing(f"{lost}: {_RESTART}", True)
    if trial is not None and trial.question is not None:
        return Standing(_question(state, trial, now), True)
    is_data = trial is None or trial.source != REALIGNMENT
    does = "is being measured" if is_data else "realigns the instrument"
    what = f"trial {instrument.trial_id} {does}"
    if trial is not None and trial.state is TrialState.RUNNING:
        what += f", attempt {trial.attempts}, for {_span(trial.started_at, now)}"
    if instrument.seen is not None and now - instrument.seen > SILENT_S:
        silent = _span(instrument.seen, now)
        text = (
            f"{what}; its worker has given no sign of life for {silent}: it is frozen, dead or cut "
            "off, and is replaced when its lease is over"
        )
        return Standing(text, True)
    if instrument.deadline is not None and now > instrument.deadline:
        text = (
            f"{what}; it should have been done {_span(instrument.deadline, now)} ago: the plan is "
            "stopped, or the worker replaced, and the trial tried again"
        )
        return Standing(text, True)
    if instrument.deadline is not None:
        what += f"; done within {_span(now, instrument.deadline)}"
    return Standing(what)


def _question(state: CampaignState, trial: Trial, now: float) -> str:
    asked = trial.question
    since, text = (asked.asked_at, asked.text) if asked else (None, "")
    then = f"answer with: labwright answer {state.campaign_id} '...'"
    return f"trial {trial.trial_id} asks for {_span(since, now)}: {text}; {then}"


def _recovering(
    state: CampaignState, instrument: InstrumentRecord, roles: Collection[str]
) -> Standing:
    lost = state.in_state(TrialState.SUSPECT)
    then = f"; then trial {lost[0].trial_id} is recovered" if lost else ""
    if instrument.state is InstrumentState.RECOVERING:
        return Standing(f"the instrument is observed after a crash until all stands still{then}")
    if "worker" in roles:
        return Standing(f"a new worker is about to look at the instrument after a crash{then}")
    return Standing(f"the instrument's state is unknown and no worker is there{then}", True)


def _between(state: CampaignState, roles: Collection[str], now: float) -> Standing:
    reduced = state.in_state(TrialState.ACQUIRED)
    if reduced:
        since = _span(reduced[0].acquired_at, now)
        if state.spec.get("reduce", {}).get("where") == "external":
            number = reduced[0].trial_id
            text = f"trial {number} waits for its outcome from elsewhere for {since}"
            return Standing(f"{text}; it is delivered by: labwright outcome {number}")
        return Standing(f"trial {reduced[0].trial_id} is being reduced for {since}")
    suspect = state.in_state(TrialState.SUSPECT)
    if suspect:
        return Standing(f"the evidence for trial {suspect[0].trial_id} is being looked at")
    queued = state.in_state(TrialState.QUEUED)
    role = "worker" if queued else "campaign"
    waiting = f"trial {queued[0].trial_id} waits for a worker" if queued else "waits for a proposal"
    since = _span(_since(state, queued), now)
    if role in roles:
        return Standing(f"{waiting} for {since}")
    return Standing(f"{waiting} for {since}, but no {role} process is there: {_RESTART}", True)


_RESTART = "'labwright run --resume' or the lab's services start one"


def _since(state: CampaignState, queued: list[Trial]) -> float | None:
    return queued[0].proposed_at if queued else state.changed_at


def _held(state: CampaignState, roles: Collection[str], now: float) -> Standing:
    why = state.waiting_for or "no reason given"
    is_alarm = why.startswith(NOT_STARTING)
    then = [
        "it goes on by itself when that is over"
        if state.status is CampaignStatus.SUSPENDED
        else "'labwright resume' lets it go on"
    ]
    if not {"worker", "campaign"} & set(roles):
        is_alarm |= state.status is CampaignStatus.SUSPENDED
        then.append(f"nothing runs it at present: {_RESTART}")
    text = f"{state.status} for {_span(state.held_since, now)}: {why}; {'; '.join(then)}"
    return Standing(text + _still_running(state, roles), is_alarm)


def _still_running(state: CampaignState, roles: Collection[str]) -> str:
    """A held campaign starts no trial, and lets the one that runs go on: who reads it may go in."""
    running = state.in_state(TrialState.RUNNING) if "worker" in roles else []
    return "".join(f"; trial {one.trial_id} still runs" for one in running)


def _fault(state: CampaignState, instrument: InstrumentRecord) -> Standing:
    name = state.instrument
    why = f" ({instrument.reason})" if instrument.reason else ""
    then = f"staff must look, then say: labwright clear-fault {name} --reason '...'"
    return Standing(f"instrument {name} is in fault{why}; {then}", True)


def _span(since: float | None, until: float | None) -> str:
    """A length of time in words: ``12 s``, ``5 min``, ``3.2 h``."""
    if since is None or until is None:
        return "an unknown time"
    seconds = max(0.0, until - since)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
