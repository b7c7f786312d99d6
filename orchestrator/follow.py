"""Following a campaign's log, also when it goes back.

A server that lost its last writes (a power cut, with ``appendfsync everysec``) comes back with an
older log. Whoever had read further then begins anew: state is a fold, so nothing else is needed.
What was measured meanwhile is in the outbox, and comes back by itself: a proposal or an attempt
whose result is there already is not made a second time.
"""

from collections.abc import Sequence

from orchestrator.domain import events as ev
from orchestrator.domain.errors import LogWentBack
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Trial
from orchestrator.ports import Ledger, Result


def follow(
    ledger: Ledger, campaign_id: str, known: CampaignState
) -> tuple[CampaignState, list[ev.Event]]:
    """The state now and what has happened since ``known``: all there is when the log went back."""
    try:
        news = ledger.events(campaign_id, known.last_id)
    except LogWentBack:
        known, news = CampaignState(), ledger.events(campaign_id)
    return fold(news, known), news


def propose_again(ledger: Ledger, lost: CampaignState, state: CampaignState) -> None:
    """Tell a log that went back of the proposals it has lost, and people of the loss.

    Only who makes the proposals knows them: by the time a worker delivers a result of one, it is a
    trial again.

    Args:
        ledger: whose log went back.
        lost: the state before.
        state: the state of the log as it is now.
    """
    campaign_id = lost.campaign_id
    missing = [trial for number, trial in lost.trials.items() if number not in state.trials]
    told = sum(ledger.propose(campaign_id, proposal_of(trial)) for trial in missing)
    told += sum(_revise_again(ledger, lost, trial) for trial in state.trials.values())
    text = (
        "the log went back, because its server lost what it had not yet written: "
        f"{told} proposals were told again; results that are safe on disk come back by themselves, "
        "and none is counted twice; orders of the last seconds must be given again"
    )
    ledger.remark(campaign_id, ev.Noted(by="campaign", text=text, key=f"back from {lost.last_id}"))


def _revise_again(ledger: Ledger, lost: CampaignState, trial: Trial) -> bool:
    """Give a trial the parameters that it had last; False when those are the ones it has."""
    known = lost.trials.get(trial.trial_id, trial)
    if known.revision <= trial.revision:
        return False
    return ledger.supersede(lost.campaign_id, proposal_of(known), trial.revision + 1)


def proposal_of(trial: Trial) -> ev.Proposed:
    """The event that proposed a trial, without its id and time."""
    return ev.Proposed(
        trial_id=trial.trial_id,
        parameters=trial.parameters,
        source=trial.source,
        basis=trial.basis,
        seed=trial.seed,
        details=trial.details,
        told=trial.told,
        suggestion_s=trial.suggestion_s,
        asked_for=trial.asked_for,
    )


def counted(results: Sequence[Result], trial: Trial) -> Result | None:
    """The result whose documents count for an acquired trial; None when it is not here."""
    return next((one for one in results if one.acquired.documents == trial.documents), None)


def delivered(results: Sequence[Result], wanted: ev.Proposed | Trial) -> ev.Acquired | None:
    """The first result that was measured at the wanted parameters; None when there is none.

    A sentinel and a realignment have the same parameters, and are not taken for each other.
    """
    realigns = wanted.source == REALIGNMENT
    for result in results:
        found = result.proposal
        if found.parameters == wanted.parameters and (found.source == REALIGNMENT) == realigns:
            return result.acquired
    return None
