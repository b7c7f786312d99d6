"""A realignment: a trial with a plan of its own that brings a drifting instrument back.

It is leased, guarded, journalled and recovered like any other trial, so that nothing else drives
meanwhile. What it measures is no data: it ends as invalid, and no optimizer hears of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec

REALIGNMENT = "realignment"
"""Source of a realignment."""
REALIGNMENT_KEY = "labwright_realignment"
"""Key of the start document that tells a realignment's runs from data."""
NO_DATA = "a realignment gives no data"
"""Why a realignment that ran to its end is invalid."""


def spec_for(spec: CampaignSpec, source: str) -> CampaignSpec:
    """The campaign as a trial of this source is carried out.

    A realignment runs its own plan, at the settings of the sentinel. Parameters that are arguments
    of the campaign's plan are left out, and no reducer elsewhere is waited for.

    Raises:
        ValueError: it is a realignment, and the campaign names no plan for it.
    """
    if source != REALIGNMENT:
        return spec
    plan = spec.sentinel and spec.sentinel.realignment
    if plan is None:
        raise ValueError(f"campaign {spec.name!r} names no plan that realigns")
    settings = {name: one for name, one in spec.parameters.items() if one.device is not None}
    here = spec.reduce.model_copy(update={"where": "local"})
    return spec.model_copy(update={"plan": plan, "parameters": settings, "reduce": here})


def has_run(trial: Trial) -> bool:
    """True for a realignment whose plan ran to its end, also when its documents cannot be read."""
    return trial.source == REALIGNMENT and trial.state in (TrialState.INVALID, TrialState.UNREDUCED)
