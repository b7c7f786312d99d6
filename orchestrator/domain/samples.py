"""Samples of a campaign: each start of a trial spends one use of its sample.

The ledger refuses to lease a trial whose sample is used up. Here is what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.trial import ParameterValue, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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


def has_sample(
    state: CampaignState, parameters: Mapping[str, ParameterValue], among: Collection[int]
) -> bool:
    """True when the sample of these parameters is free, or there is no list of samples.

    ``among`` names the trials whose reservations count.
    """
    return free(state, among).get(str(parameters.get(state.sample)), 1) > 0


def _take(uses: dict[str, int], trial: Trial, parameter: str, count: int) -> None:
    sample = str(trial.parameters.get(parameter))
    if sample in uses:
        uses[sample] -= count
