"""What each event does to the stored state: shared by every ledger, so that they agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.domain import events as ev
from orchestrator.domain.state import CampaignStatus
from orchestrator.domain.trial import TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import PolicySpec

MOST_GRANTS = 20
"""Leases of a trial that may end before a start; then it is abandoned."""

CLEARED = "fault cleared by "
"""Begins the reason of an instrument whose fault staff have cleared."""

TAKES_TRIALS = (
    CampaignStatus.RUNNING,
    CampaignStatus.PAUSED,
    CampaignStatus.SUSPENDED,
    CampaignStatus.NEEDS_PERSON,
)
"""Statuses in which a campaign is neither finishing nor over."""

SETTLED: Mapping[type[ev.Event], TrialState] = {
    ev.Measured: TrialState.MEASURED,
    ev.Invalidated: TrialState.INVALID,
    ev.Unreduced: TrialState.UNREDUCED,
}
"""State of a trial after its reduction."""

STATUS_AFTER: Mapping[type[ev.Event], CampaignStatus] = {
    ev.Paused: CampaignStatus.PAUSED,
    ev.Resumed: CampaignStatus.RUNNING,
    ev.Suspended: CampaignStatus.SUSPENDED,
    ev.NeedsPerson: CampaignStatus.NEEDS_PERSON,
    ev.FinishRequested: CampaignStatus.FINISHING,
    ev.AbortRequested: CampaignStatus.FINISHING,
}
"""Status of a campaign after an order."""


def urgency_of(event: ev.Event) -> str:
    """How soon an order wants the running plan to end: finishing, aborting or halting."""
    if isinstance(event, ev.AbortRequested):
        return "halting" if event.halt else "aborting"
    return "finishing"


def after_failure(policy: PolicySpec, *, attempts: int, crashes: int, crash: bool) -> TrialState:
    """Where a trial goes after a failed attempt: back to the queue, or abandoned.

    ``attempts`` counts all starts, the failed one included; ``crashes`` those before this one that
    something else ended: a death, a condition.
    """
    crashes += int(crash)
    spent = crashes >= policy.crashes if crash else attempts - crashes >= policy.attempts
    return TrialState.ABANDONED if spent else TrialState.QUEUED
