"""Samples of a campaign: each start of a trial spends one use of its sample.

The ledger refuses to lease a trial whose sample is used up. Here is what is left, and which sample
a proposal gets in place of one that is not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Collection

    from orchestrator.domain.proposal import Knowledge, Suggestion
    from orchestrator.domain.state import CampaignState

USED_UP = "sample {} is used up"
"""Why a trial is abandoned instead of leased."""


def left(state: CampaignState) -> dict[str, int]:
    """Uses that each sample has left, in the order of the list; empty without a list.

    Every start counts, whatever became of it: so says the write-ahead rule, and so it is with most
    samples.
    """
    found = dict(state.samples)
    for trial in state.trials.values() if found else ():
        _take(found, trial, state.sample, trial.attempts)
    return found


def free(state: CampaignState, among: Collection[int] | None = None) -> dict[str, int]:
    """Uses that are left and that no trial which waits or is leased has reserved.

    ``among`` names the trials whose reservations count; None takes all.
    """
    found = left(state)
    waiting = state.in_state(TrialState.QUEUED, TrialState.LEASED) if found else []
    for trial in waiting:
        if among is None or trial.trial_id in among:
            _take(found, trial, state.sample, 1)
    return found


def _take(uses: dict[str, int], trial: Trial, parameter: str, count: int) -> None:
    sample = str(trial.parameters.get(parameter))
    if sample in uses:
        uses[sample] -= count


def with_free_sample(known: Knowledge, suggestion: Suggestion) -> Suggestion:
    """The suggestion, with the next free sample of the list in place of one that is not free.

    A pure function of both, so that it can be computed again. With none free it is left as it is.
    """
    samples = known.spec.samples
    if samples is None or samples.parameter is None:
        return suggestion
    wanted = str(suggestion.parameters[samples.parameter])
    instead = _next_free(known.samples, wanted)
    if instead == wanted:
        return suggestion
    parameters = {**suggestion.parameters, samples.parameter: instead}
    details = {**suggestion.details, "instead_of_sample": wanted}
    return replace(suggestion, parameters=parameters, details=details)


def _next_free(uses: Mapping[str, int], wanted: str) -> str:
    names = list(uses)
    start = names.index(wanted) if wanted in uses else 0
    return next((one for one in names[start:] + names[:start] if uses[one] > 0), wanted)
