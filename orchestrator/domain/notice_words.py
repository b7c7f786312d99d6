"""The words of a notice: what happened, since when, what happens next, which command helps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from orchestrator.domain import events as ev
from orchestrator.domain.notices import Due, Notice, NoticeKind, NoticeRules, Raised
from orchestrator.domain.one_line import one_line
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.stopping import best_trials
from orchestrator.domain.trial import TrialState

LONGEST_SUBJECT = 120
LONGEST_REASON = 2000
"""Characters of a subject and of a reason; the ledger has the whole."""


def written(due: Due, state: CampaignState, rules: NoticeRules) -> Notice:
    """The notice about what is due in the campaign of this state."""
    campaign, reason = state.campaign_id, _plain(due.newest.reason)[:LONGEST_REASON]
    happened, then, verbs = _words(due.kind, due.newest, state)
    help_lines = [_command(verb, what, rules) for verb, what in verbs.items()]
    lines = [
        f"Campaign {campaign} on instrument {state.instrument} ({state.mode.upper()}) {happened}.",
        "",
        f"Why:    {reason or 'no reason was given'}",
        f"Since:  {_clock(due.first.at)}",
        *([f"Host:   {rules.host}"] if rules.host else []),
        f"So far: {_progress(state)}",
        "",
        f"What happens next: {then}",
        "",
        "What helps:",
        *help_lines,
    ]
    subject = f"[Labwright {state.mode.upper()}] {campaign} {happened}"
    return Notice(
        key=due.key(campaign),
        kind=due.kind,
        campaign_id=campaign,
        at=due.first.at,
        subject=_line(f"{subject}: {reason}" if reason else subject),
        body="\n".join(lines) + "\n",
    )


def example(name: str, now: float, host: str) -> Notice:
    """A notice that only shows that notices arrive; ``name`` makes it differ from all others."""
    lines = [
        f"This is a test from {host}: nothing has happened.",
        "",
        "Campaigns that run with the same settings send a message here when they need a person,",
        "when a plan asks something, when an instrument is in fault, when they stay suspended,",
        "and when they are over.",
    ]
    return Notice(
        key=f"test/{name}/{NoticeKind.TEST}",
        kind=NoticeKind.TEST,
        campaign_id="",
        at=now,
        subject=f"[Labwright] test from {host}",
        body="\n".join(lines) + "\n",
    )


def _words(
    kind: NoticeKind, event: Raised, state: CampaignState
) -> tuple[str, str, Mapping[str, str]]:
    """What happened, what happens next, and the commands that help with what they do."""
    campaign = state.campaign_id
    look = {f"status {campaign}": "where it stands, and which processes run"}
    again = f"run --resume {campaign}" + (" --hardware" if state.mode == "real" else "")
    start = {again: "starts it again afterwards, when nothing runs it any more"}
    end = {f"finish {campaign}": "ends it and keeps what was measured"}
    if kind is NoticeKind.NEEDS_PERSON:
        decide = {
            f"resolve {trial.trial_id} --as retry --campaign {campaign} --reason '...'": (
                "measures this trial again; --as abandon gives it up, --as measured counts it"
            )
            for trial in (state.in_state(TrialState.SUSPECT) if _spends_samples(state) else ())
        }  # else evidence decides them
        if state.awaits_approval and (trial := state.to_approve):
            decide = {f"approve {campaign}": f"lets trial {trial.trial_id} start"}
        go_on = decide or {f"resume {campaign}": "goes on, once somebody has looked"}
        then = "nothing starts until somebody decides; there is no time limit."
        return "needs a person", then, {**look, **go_on, **start, **end}
    if kind is NoticeKind.QUESTION:
        then = "the plan waits where it stands; without an answer in time its attempt ends."
        reply = {f"answer {campaign} '...'": "gives the plan its answer, and it goes on"}
        abort = {f"abort {campaign}": "stops the plan with its clean-up and ends the campaign"}
        return "asks for a person", then, {**look, **reply, **abort}
    if kind is NoticeKind.FAULT:
        then = "nothing moves: only staff clear a fault, after a look at the instrument."
        clear = {f"clear-fault {state.instrument} --reason '...'": "says that staff have looked"}
        return "has its instrument in fault", then, {**look, **clear, **end}
    if kind is NoticeKind.SUSPENDED:
        then = "it goes on by itself as soon as that is over; nothing starts before."
        return "is suspended", then, {**look, **end}
    status = event.status if isinstance(event, ev.Ended) else str(state.status)
    then = "nothing more; the instrument holds where it stands."
    results = {
        f"results {campaign}": "the table of all trials",
        f"report {campaign}": "writes the report page and names it",
    }
    return f"is over: {status}", then, results


def _spends_samples(state: CampaignState) -> bool:
    try:
        return CampaignSpec.from_data(state.spec).policy.consumes_sample
    except ValueError:  # written by another version: then a person had better decide
        return True


def _command(verb: str, what: str, rules: NoticeRules) -> str:
    return f"  labwright {verb} {rules.options}".rstrip() + f"\n      {what}"


def _progress(state: CampaignState) -> str:
    measured, total = state.count(TrialState.MEASURED), len(state.trials)
    counted = f"{measured} of {total} trial{'' if total == 1 else 's'} measured"
    best = _best(state)
    return f"{counted}; best is {best}" if best else counted


def _best(state: CampaignState) -> str:
    """The best trial in words; empty when there is none, or several none of which beats another."""
    try:
        spec = CampaignSpec.from_data(state.spec)
    except ValueError:  # written by another version: the call for help matters more
        return ""
    best = best_trials(state, spec)
    if len(best) != 1:
        return ""
    outcomes = (f"{n} = {best[0].outcomes[n].mean:.6g}" for n in spec.objectives)
    units = (best[0].outcomes[n].unit for n in spec.objectives)
    values = (f"{text} {unit}".rstrip() for text, unit in zip(outcomes, units, strict=True))
    return f"trial {best[0].trial_id}, {', '.join(values)}"


def _plain(text: str) -> str:
    """The text as one line of characters that any mail server and terminal can carry."""
    return one_line(text.encode(errors="replace").decode())


def _line(text: str) -> str:
    plain = _plain(text)
    return plain if len(plain) <= LONGEST_SUBJECT else f"{plain[: LONGEST_SUBJECT - 3]}..."


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
