"""No trial starts whose result could not be kept.

A full disk holds the campaign, as a condition does, and spends no attempt.
"""

from collections.abc import Callable

from orchestrator.domain import events as ev
from orchestrator.domain.outage import NOT_STARTING
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.ports import Ledger

HOLDER = "storage"
"""Who suspends a campaign for want of room."""

Lack = Callable[[], str | None]
"""Says why nothing can be saved at present; None when it can."""


def may_start(ledger: Ledger, campaign_id: str, lack: Lack) -> bool:
    """Suspend the campaign and say no while its data could not be saved."""
    why = lack()
    if why is None:
        return True
    hold(ledger, campaign_id, why)
    return False


def hold(ledger: Ledger, campaign_id: str, why: str) -> None:
    """Suspend a running campaign whose data cannot be saved."""
    order = ev.Suspended(by=HOLDER, reason=f"{NOT_STARTING}the data cannot be saved: {why}")
    ledger.order(campaign_id, order, [CampaignStatus.RUNNING])


def go_on_with_room(ledger: Ledger, state: CampaignState, lack: Lack) -> None:
    """Let a campaign go on that was held for want of room, once there is some."""
    held = state.status is CampaignStatus.SUSPENDED
    if held and (state.waiting_for or "").startswith(NOT_STARTING) and lack() is None:
        order = ev.Resumed(by=HOLDER, reason="there is room again")
        ledger.order(state.campaign_id, order, [CampaignStatus.SUSPENDED])
