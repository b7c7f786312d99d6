"""A running plan asks, a person answers: how long is waited, and what happens when nobody does.

And the first trials of a campaign, each of which a person approves before anything moves.
"""

from dataclasses import dataclass, field

from orchestrator.domain import events as ev
from orchestrator.domain.errors import LedgerUnavailable, PlanFailed
from orchestrator.domain.rules import TAKES_TRIALS
from orchestrator.domain.state import STEP, CampaignState, CampaignStatus
from orchestrator.ports import Lab, Lease, Ledger

UNANSWERED = "unanswered"
"""Reason of an attempt that ended because nobody answered its plan."""


@dataclass
class Questions:
    """Puts the questions of one attempt into the ledger; the worker calls it again and again."""

    lab: Lab
    lease: Lease
    within_s: float
    """Seconds that a person has."""
    deadline_s: float
    """Seconds that the plan may still take once it has its answer."""
    _number: int = 0
    _since: float = field(default=0.0)

    def __call__(self, number: int, text: str) -> str | None:
        """The answer; None while there is none, or the ledger is out of reach.

        Raises:
            PlanFailed: nobody answered in time.
            LeaseLost: the instrument is no longer ours.
        """
        lab, lease = self.lab, self.lease
        if number != self._number:
            self._number, self._since = number, lab.clock.now()
        lab.announce(self.deadline_s)
        asked = ev.Asked(
            trial_id=lease.trial_id,
            question=f"{lease.trial_id}-{lease.fence}-{number}",
            text=text[: ev.LONGEST_TEXT],
        )
        try:
            answer = lab.ledger.ask(lease, asked)
        except LedgerUnavailable:
            return None  # the plan waits where it stands, as it would for an answer
        if answer is None and lab.clock.now() - self._since >= self.within_s:
            text = f"nobody answered {asked.text!r} of trial {lease.trial_id} within"
            raise PlanFailed(f"{text} {self.within_s:g} s (policy.answer_within_s)", UNANSWERED)
        return answer


def call_person(ledger: Ledger, campaign_id: str, reason: str) -> None:
    """Stop a campaign until a person lets it go on."""
    order = ev.NeedsPerson(by="worker", reason=reason[: ev.LONGEST_TEXT])
    ledger.order(campaign_id, order, TAKES_TRIALS)


def want_approval(ledger: Ledger, state: CampaignState) -> bool:
    """Stop a running campaign for the trial that a person must approve; False when none must be."""
    trial = state.to_approve
    if trial is None or state.status is not CampaignStatus.RUNNING:
        return False
    settings = ", ".join(f"{name} {value}" for name, value in trial.parameters.items())
    reason = f"trial {trial.trial_id} is to be approved: {settings}"[: ev.LONGEST_TEXT]
    order = ev.NeedsPerson(by=STEP, reason=reason)
    return ledger.order(state.campaign_id, order, [CampaignStatus.RUNNING])
