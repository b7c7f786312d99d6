"""What a person may order and ask, whatever face they use."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from orchestrator.adapters.processes.child import is_proven_dead
from orchestrator.domain import events as ev
from orchestrator.domain.errors import Unusable, near
from orchestrator.domain.events import iso
from orchestrator.domain.one_line import one_line
from orchestrator.domain.rules import CLEARED, TAKES_TRIALS
from orchestrator.domain.samples import free, left
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, CampaignStatus, fold
from orchestrator.domain.suspect_data import suspect_data
from orchestrator.domain.trial import TERMINAL, Trial, TrialState, without_model
from orchestrator.ports import InstrumentState, Ledger

if TYPE_CHECKING:
    from orchestrator.domain.spec import InstrumentSpec


def new_campaign_id(name: str, now: float) -> str:
    """``NAME-YYYYMMDDThhmmss-XXXX``, with the time in UTC and four random characters."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{name}-{stamp}-{secrets.token_hex(2)}"


def opened(
    campaign: CampaignSpec,
    instrument: InstrumentSpec,
    campaign_id: str,
    versions: Mapping[str, str],
    *,
    step: int = 0,
) -> ev.Opened:
    """The event that opens a campaign."""
    return ev.Opened(
        campaign_id=campaign_id,
        instrument=instrument.name,
        mode=instrument.mode,
        spec=campaign.to_data(),
        instrument_spec=instrument.to_data(),
        versions=versions,
        step=step,
        sample=(campaign.samples and campaign.samples.parameter) or "",
        samples=campaign.samples.uses if campaign.samples else {},
        opener=secrets.token_hex(8),
    )


def submit(ledger: Ledger, opening: ev.Opened) -> None:
    """Open a campaign.

    Raises:
        Unusable: its id exists already.
    """
    if not ledger.open_campaign(opening):
        name = opening.campaign_id
        raise Unusable(
            f"there is a campaign {name!r} already; choose another --id, "
            f"or continue it with --resume {name}"
        )


def find(ledger: Ledger, campaign_id: str | None, *, only_open: bool = False) -> str:
    """The campaign that a person means: its id, or without one the newest.

    Raises:
        Unusable: there is no such campaign, or with ``only_open`` several could be meant.
    """
    known = ledger.campaigns()
    if campaign_id is not None:
        if campaign_id not in known:
            raise Unusable(f"there is no campaign {campaign_id!r}{near(campaign_id, known)}")
        return campaign_id
    if only_open:
        known = [name for name in known if not state_of(ledger, name).is_over]
        if len(known) > 1:
            raise Unusable(f"several campaigns are open, name one of {known}")
    if not known:
        what = "open campaign" if only_open else "campaign"
        raise Unusable(f"there is no {what} in this data folder; 'labwright run' starts one")
    return known[-1]


def state_of(ledger: Ledger, campaign_id: str) -> CampaignState:
    """The campaign's state now."""
    return fold(ledger.events(campaign_id))


def order(
    ledger: Ledger,
    campaign_id: str,
    what: Literal["pause", "resume", "finish", "abort", "halt"],
    *,
    by: str,
    reason: str = "",
) -> str:
    """Record a person's order and say in one sentence what happens now.

    Raises:
        Unusable: the campaign is in a status in which the order means nothing.
    """
    running = CampaignStatus.RUNNING
    held = [CampaignStatus.PAUSED, CampaignStatus.SUSPENDED, CampaignStatus.NEEDS_PERSON]
    why = reason or f"{what} ordered by {by}"
    stopped = CampaignStatus.STOPPED
    match what:
        case "pause":
            event, expected = ev.Paused(by=by, reason=why), [running, CampaignStatus.SUSPENDED]
            effect = "the running trial finishes, then nothing starts until 'labwright resume'"
        case "resume":
            event, expected = ev.Resumed(by=by, reason=why), held
            effect = "the campaign goes on"
        case "finish":
            event = ev.FinishRequested(by=by, reason=why, ending=stopped)
            expected, effect = list(TAKES_TRIALS), "the running trial finishes, then it ends"
        case "abort" | "halt":
            event = ev.AbortRequested(by=by, reason=why, halt=what == "halt")
            expected = [*TAKES_TRIALS, CampaignStatus.FINISHING]
            effect = "requested; the worker stops the plan, makes the instrument quiet and holds"
    state = state_of(ledger, campaign_id)  # refuses a log that this version cannot read
    if what == "resume":
        _refuse_undecided(state)
    # The status is asked here, too: to the ledger, the same order given twice is one sent again.
    if state.status in expected and ledger.order(campaign_id, event, expected):
        return f"{what}: {effect}"
    status = ledger.status(campaign_id)
    raise Unusable(f"cannot {what} campaign {campaign_id!r}: it is {status}")


def note(ledger: Ledger, campaign_id: str, text: str, *, by: str) -> str:
    """Write a person's remark into the log; gives the sentence to say.

    Raises:
        Unusable: there is nothing to write.
    """
    text = one_line(text)
    if not text:
        raise Unusable("write what is to be noted: labwright note 'changed the lamp'")
    state_of(ledger, campaign_id)  # refuses a log that this version cannot read
    ledger.remark(campaign_id, ev.Noted(by=by, text=text, key=f"note-{uuid.uuid4().hex}"))
    return f"noted in {campaign_id}"


def answer(
    ledger: Ledger, campaign_id: str, text: str, *, by: str, question: str | None = None
) -> str:
    """Give a running plan what it asks for; gives the sentence to say.

    Raises:
        Unusable: nothing is asked, not what ``question`` (its id) names, or by a worker that is
            dead.
    """
    text = one_line(text)
    if len(text) > ev.LONGEST_TEXT:
        raise Unusable(f"an answer has at most {ev.LONGEST_TEXT} characters, not {len(text)}")
    state = state_of(ledger, campaign_id)
    trial = state.asking
    if trial is None or trial.question is None:
        raise Unusable(f"no plan of campaign {campaign_id!r} waits for an answer")
    waiting = trial.question
    if question not in (None, waiting.question):
        raise Unusable(
            f"question {question!r} does not wait for an answer; {waiting.question!r} does: "
            f"{waiting.text}"
        )
    if is_proven_dead(ledger.instrument(state.instrument).holder or ""):
        raise Unusable(f"the worker that asks {waiting.text!r} is gone; the next attempt asks anew")
    given = ev.Answered(trial_id=trial.trial_id, question=waiting.question, text=text, by=by)
    if not ledger.answer(campaign_id, given):
        raise Unusable(f"question {waiting.question!r} was answered, or its attempt has ended")
    return f"trial {trial.trial_id} goes on with {text!r} ({waiting.text})"


def approve(ledger: Ledger, campaign_id: str, *, by: str, trial_id: int | None = None) -> str:
    """Let a trial start that waits for approval; gives the sentence to say.

    Raises:
        Unusable: it does not wait for one, or none does.
    """
    state = state_of(ledger, campaign_id)
    trial = state.to_approve if trial_id is None else known_trial(state, trial_id)
    if trial is None:
        raise Unusable(f"no trial of campaign {campaign_id!r} waits for approval")
    if state.is_over or not ledger.approve(
        campaign_id, ev.Approved(trial_id=trial.trial_id, revision=trial.revision, by=by)
    ):
        raise Unusable(
            f"trial {trial.trial_id} of {campaign_id!r} waits for no approval: it {sentence(trial)}"
        )
    if state.awaits_approval and state.to_approve == trial:
        go_on(ledger, campaign_id, by=by, reason=f"trial {trial.trial_id} is approved")
    settings = ", ".join(f"{name} {value}" for name, value in trial.parameters.items())
    return f"trial {trial.trial_id} may start at {settings}"


def require_approvals(ledger: Ledger, campaign_id: str, trials: int, *, by: str) -> None:
    """Have a person approve the next so many trials, 0 for none."""
    state = state_of(ledger, campaign_id)
    begun = len(state.trials) - state.count(TrialState.QUEUED)
    ledger.step(campaign_id, ev.Stepped(upto=begun + trials if trials else 0, by=by))


def samples(ledger: Ledger, campaign_id: str) -> list[dict[str, Any]]:
    """What is left of each sample of a campaign, in the order of its list.

    Raises:
        Unusable: it has no list of samples.
    """
    state = state_of(ledger, campaign_id)
    listed = CampaignSpec.from_data(state.spec).samples
    if listed is None:
        raise Unusable(f"campaign {campaign_id!r} has no list of samples")
    uses, unreserved = left(state), free(state)
    return [
        {
            "position": one.position,
            "amount": one.amount,
            "uses left": uses[one.position],
            "reserved": uses[one.position] - unreserved[one.position],
        }
        for one in listed.list
    ]


def _refuse_undecided(state: CampaignState) -> None:
    undecided = [trial.trial_id for trial in state.in_state(TrialState.SUSPECT)]
    spends = bool(undecided) and CampaignSpec.from_data(state.spec).policy.consumes_sample
    if state.status is CampaignStatus.NEEDS_PERSON and spends:  # else evidence will decide
        raise Unusable(
            f"trial {undecided[0]} of {state.campaign_id!r} must be decided first: "
            f"labwright resolve {undecided[0]} --as measured|retry|abandon --reason '...'"
        )


def resolve(
    ledger: Ledger,
    campaign_id: str,
    trial_id: int,
    verdict: Literal["retry", "abandon"],
    *,
    by: str,
    reason: str,
) -> str:
    """Decide a suspect trial that only a person can decide.

    Raises:
        Unusable: the trial is not suspect.
    """
    if known_trial(state_of(ledger, campaign_id), trial_id).state is not TrialState.SUSPECT:
        raise not_suspect(campaign_id, trial_id)
    then = TrialState.QUEUED if verdict == "retry" else TrialState.ABANDONED
    failed = ev.Failed(
        trial_id=trial_id,
        reason="decided_by_person",
        message=f"{by}: {reason}",
        crash=True,
        then=then,
    )
    if not ledger.resolve(campaign_id, failed):
        raise not_suspect(campaign_id, trial_id)
    go_on(ledger, campaign_id, by=by, reason=reason)
    return f"trial {trial_id} is {then}"


def known_trial(state: CampaignState, trial_id: int) -> Trial:
    """The trial of this number.

    Raises:
        Unusable: there is none.
    """
    if trial_id not in state.trials:
        count = len(state.trials)
        text = f"campaign {state.campaign_id!r} has no trial {trial_id}; it has {count} so far"
        raise Unusable(text)
    return state.trials[trial_id]


def not_suspect(campaign_id: str, trial_id: int) -> Unusable:
    """The answer to who would decide a trial that needs no decision."""
    return Unusable(f"trial {trial_id} of {campaign_id!r} is not suspect; see 'labwright why'")


def go_on(ledger: Ledger, campaign_id: str, *, by: str, reason: str) -> None:
    """Let a campaign go on that waited for a person."""
    order = ev.Resumed(by=by, reason=reason)
    ledger.order(campaign_id, order, [CampaignStatus.NEEDS_PERSON])


def clear_fault(ledger: Ledger, instrument: str, *, by: str, reason: str) -> str:
    """Staff have looked at an instrument in fault: its campaigns go on once it was observed.

    Raises:
        Unusable: it is in no fault.
    """
    was_in_fault = ledger.instrument(instrument).state is InstrumentState.FAULT
    if not (was_in_fault and ledger.clear_fault(instrument, f"{CLEARED}{by}: {reason}")):
        record = ledger.instrument(instrument)
        if record.envelope is None:
            raise Unusable(f"no worker has ever owned an instrument {instrument!r}")
        raise Unusable(f"instrument {instrument!r} is in no fault: it is {record.state}")
    for campaign_id in ledger.open_campaigns(instrument):
        go_on(ledger, campaign_id, by=by, reason=reason)
    return f"fault of {instrument} cleared; its worker observes it before anything moves"


def why(ledger: Ledger, campaign_id: str, trial_id: int) -> dict[str, Any]:
    """All that happened to one trial, with the reasons, and what was noted meanwhile.

    Raises:
        Unusable: there is no such trial.
    """
    log = ledger.events(campaign_id)
    state = fold(log)
    trial = known_trial(state, trial_id)
    history = [
        {"at": iso(event.at), "event": ev.type_of(event), **_told(event)}
        for event in _about(log, trial)
    ]
    return {
        "campaign_id": campaign_id,
        "trial_id": trial_id,
        "state": str(trial.state),
        "reason": trial.reason,
        "parameters": dict(trial.parameters),
        "proposed_by": trial.source,
        "basis": trial.basis,
        "sentence": sentence(trial),
        "suspect_data": suspect_data(state, CampaignSpec.from_data(state.spec)).get(trial_id),
        "history": history,
    }


def _about(log: Sequence[ev.Event], trial: Trial) -> list[ev.Event]:
    """The events of a trial, and the notes from its proposal until it came to rest."""
    own = [isinstance(event, ev.TrialEvent) and event.trial_id == trial.trial_id for event in log]
    first, last = own.index(True), len(log)
    if trial.state in TERMINAL:
        last -= own[::-1].index(True)
    return [
        event
        for place, event in enumerate(log)
        if own[place] or (isinstance(event, ev.Noted) and first < place < last)
    ]


def sentence(trial: Trial) -> str:
    """Where a trial stands and what happens next, in one line."""
    because = f" ({trial.reason})" if trial.reason else ""
    tried = f"{trial.attempts} attempt{'' if trial.attempts == 1 else 's'}"
    again = f" again after {tried}{because}" if trial.attempts else ""
    return {
        TrialState.QUEUED: f"waits for the worker{again}",
        TrialState.LEASED: f"is with {trial.worker}, nothing has moved yet",
        TrialState.RUNNING: _running(trial),
        TrialState.SUSPECT: "lost its worker after moving; the next one looks for its documents",
        TrialState.ACQUIRED: "has its data safe; reduction follows",
        TrialState.UNREDUCED: (
            f"has its data safe, but the reducer failed{because}; 'labwright reduce' finishes it"
        ),
        TrialState.MEASURED: f"was measured in {tried}",
        TrialState.INVALID: f"is invalid{because}: kept, and not told to the optimizer",
        TrialState.ABANDONED: f"was abandoned after {tried}{because}",
        TrialState.CANCELLED: f"was cancelled{because}",
    }[trial.state]


def _running(trial: Trial) -> str:
    if trial.question is not None:
        return f"waits for a person's answer: {trial.question.text}"
    return f"is being measured, attempt {trial.attempts}"


def _told(event: ev.Event) -> dict[str, Any]:
    """The fields of an event that a person wants to see."""
    wanted = (
        "revision",
        "worker",
        "attempt",
        "fence",
        "moved",
        "reason",
        "message",
        "then",
        "run_uid",
        "reducer",
        "question",
        "by",
        "text",
    )
    told = {name: getattr(event, name) for name in wanted if hasattr(event, name)}
    if isinstance(event, ev.Proposal):
        told |= {
            "source": event.source,
            "told": event.told,
            "because": without_model(event.details),
        }
    if isinstance(event, (ev.Measured, ev.Corrected, ev.Invalidated)):
        told |= {name: outcome.mean for name, outcome in event.outcomes.items()}
    return told
