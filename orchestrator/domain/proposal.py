"""What an optimizer is told, and what it answers: proposals are a pure function of this."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.samples import free
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState
from orchestrator.domain.suspect_data import as_told
from orchestrator.domain.trial import Observation, ParameterValue, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that a suggestion may depend on."""

    spec: CampaignSpec
    observations: tuple[Observation, ...]
    """In the order of their first proposal."""
    trial_id: int
    """Number of the trial that is to be proposed, from 1."""
    seed: int
    """Seed for this proposal alone."""
    basis: str
    """Id of the last ledger event behind ``observations``."""
    samples: Mapping[str, int] = field(default_factory=dict[str, int])
    """Uses of each sample that are left and not reserved; empty without a list of samples."""

    @property
    def told(self) -> tuple[Observation, ...]:
        """The observations that have outcomes."""
        return tuple(one for one in self.observations if one.outcomes is not None)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Parameters worth trying, and how they came about."""

    parameters: Mapping[str, ParameterValue]
    source: str
    """initial, model or fallback."""
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    """Method and versions: what a stranger needs in order to recompute it."""


def seed_for(campaign_seed: int, trial_id: int) -> int:
    """The seed of one proposal: from 0 to 2**31 - 1, the same for the same two numbers."""
    digest = hashlib.sha256(f"{campaign_seed}:{trial_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def may_improve(trial: Trial) -> bool:
    """True for a trial whose parameters the optimizer may still replace."""
    return trial.is_revisable and trial.source in ("model", "fallback")


def knowledge(state: CampaignState, spec: CampaignSpec, trial_id: int | None = None) -> Knowledge:
    """What may be known when a trial is proposed: None for the next one, else one that waits.

    Of a trial that waits, the proposal does not know the parameters so far, nor those that wait
    behind it: they will be proposed anew after it. Of a realignment it knows nothing.
    """
    number = state.next_trial if trial_id is None else trial_id
    behind = {
        trial.trial_id
        for trial in state.in_state(TrialState.QUEUED)
        if trial.trial_id >= number and may_improve(trial)
    }
    known = {one: trial for one, trial in state.trials.items() if one not in behind}
    observed = (trial.observation for trial in known.values() if trial.source != REALIGNMENT)
    return Knowledge(
        spec=spec,
        observations=tuple(as_told(observed, state, spec)),
        trial_id=number,
        seed=seed_for(spec.optimizer.seed, number),
        basis=state.last_id,
        samples=free(state, known),
    )


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
