"""What of a campaign a rehearsal on the twin leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.domain.campaign_spec import CampaignSpec
    from orchestrator.domain.instrument_spec import InstrumentSpec


def left_out(campaign: CampaignSpec, instrument: InstrumentSpec) -> list[str]:
    """In words, one for each thing that a run has and a rehearsal has not; empty when all is there.

    Beam loss and failed attempts are left out always.
    """
    return list(_left_out(campaign, instrument))


def _left_out(campaign: CampaignSpec, instrument: InstrumentSpec) -> Iterator[str]:
    if campaign.sentinel is not None:
        yield f"sentinels: in a run they take trials of the budget, every {campaign.sentinel.every}"
    if instrument.budgets:
        yield f"what is spent of {', '.join(instrument.budgets)}: a run waits when it is used up"
    if instrument.monitors:
        yield f"the streams of {', '.join(instrument.monitors)}, which a run monitors"
