"""Corrects the outcomes of a whole campaign by another reducer; nothing is measured again."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.adapters.plan_catalog import plan_problems, reducer_identity
from orchestrator.adapters.reducer_process import ReducerProcess
from orchestrator.domain import events as ev
from orchestrator.domain.errors import OptimizerError, ReductionError, Unusable
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import fold
from orchestrator.domain.trial import Outcome, Trial, TrialState
from orchestrator.domain.verification import (
    Grade,
    Question,
    compare_parameters,
    questions,
    revision_of,
    software_changes,
    with_newest_outcomes,
)
from orchestrator.ports import Ledger, Optimizer, Reduction
from orchestrator.verification import Tell


@dataclass(frozen=True, slots=True)
class Correction:
    """What the other reducer makes of one trial."""

    trial_id: int
    state: TrialState
    """Measured or invalid; it stays so."""
    before: Mapping[str, Outcome]
    after: Mapping[str, Outcome]
    invalid_before: str | None
    """The validity rule that it broke; None when it was valid."""
    invalid_after: str | None
    """The rule that it breaks by the other reducer; None when it would be valid."""

    @property
    def turns(self) -> bool:
        """True when it would be valid now and was not, or the other way round."""
        return (self.invalid_before is None) != (self.invalid_after is None)

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts."""
        return {
            "trial_id": self.trial_id,
            "state": str(self.state),
            "before": _means(self.before),
            "after": _means(self.after),
            "invalid_before": self.invalid_before,
            "invalid_after": self.invalid_after,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A model's proposal that would have been another one with the outcomes as they are now."""

    question: Question
    now: Mapping[str, Any]
    """The point as it would be; empty when there would be none."""
    software: str
    """Versions that have changed since, which may explain it too; mostly empty."""

    @property
    def text(self) -> str:
        """The point as it would be."""
        point = ", ".join(
            f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.now.items()
        )
        return f"{point or 'nowhere'} {f'({self.software})' if self.software else ''}".rstrip()

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts."""
        event = self.question.event
        return {
            "event_id": event.id,
            "trial_id": event.trial_id,
            "revision": revision_of(event),
            "was": dict(event.parameters),
            "would_be": dict(self.now),
            "software": self.software,
        }


def rereduce(
    data_dir: Path,
    ledger: Ledger,
    campaign_id: str,
    reducer: str,
    *,
    by: str,
    reason: str,
    tell: Tell,
) -> tuple[list[Correction], int]:
    """Correct every measured trial, or none; gives what was found and how many events it took.

    A trial whose newest outcomes came from the same reducer, and are the same, gets no further
    event: so the order may be given again.

    Raises:
        Unusable: the reducer does not serve, or a trial's documents are not as they were.
    """
    log = ledger.events(campaign_id)
    state = fold(log)
    spec = _with_reducer(CampaignSpec.from_data(state.spec), reducer)
    _, digest = reducer_identity(spec)
    trials = state.in_state(TrialState.MEASURED, TrialState.INVALID)
    _check_documents(data_dir, log, trials)
    found = [_correction(trial, one) for trial, one in _reduced(data_dir, spec, trials, tell)]
    last = {one.trial_id: one for one in log if isinstance(one, ev.Corrected)}
    written = 0
    for one in found:
        event = ev.Corrected(
            trial_id=one.trial_id,
            outcomes=one.after,
            reducer=reducer,
            reducer_sha256=digest,
            by=by,
            reason=reason,
        )
        if one.state is TrialState.MEASURED and not _says_the_same(last.get(one.trial_id), event):
            written += ledger.correct(campaign_id, event)
    return found, written


def proposal_differences(
    ledger: Ledger, campaign_id: str, model: Optimizer, tell: Tell
) -> tuple[int, list[Difference]]:
    """How many proposals a model made, and those that would have been others with what is known.

    Each is computed again from its own basis, with the outcomes that count today.
    """
    events = with_newest_outcomes(ledger.events(campaign_id))
    spec = CampaignSpec.from_data(fold(events[:1]).spec)
    asked = [
        one
        for one in questions(events, spec)
        if one.has_basis and not one.is_spread and not one.is_given
    ]
    differences = [
        difference
        for place, question in enumerate(asked, 1)
        if (difference := _difference(question, spec, model, tell, f"{place} of {len(asked)}"))
    ]
    return len(asked), sorted(differences, key=lambda one: one.question.event.trial_id)


def _difference(
    question: Question, spec: CampaignSpec, model: Optimizer, tell: Tell, where: str
) -> Difference | None:
    tell(f"proposals {where}")
    try:
        found = model.suggest(question.known)
    except OptimizerError as error:
        return Difference(question, {}, str(error))
    grade, _ = compare_parameters(spec, question.event.parameters, found.parameters)
    if grade is not Grade.OTHER:
        return None
    software = software_changes(question.event.details, found.details)
    return Difference(question, found.parameters, software)


def _with_reducer(spec: CampaignSpec, reducer: str) -> CampaignSpec:
    """The campaign with this reducer.

    Raises:
        Unusable: there is none of this name, or it does not give what the campaign needs.
    """
    changed = spec.model_copy(update={"reduce": spec.reduce.model_copy(update={"call": reducer})})
    if "." not in reducer:
        raise Unusable(f"--with {reducer!r} must be a dotted name, such as mylab.reducers.peak")
    problems = [one for one in plan_problems(changed) if not one.place.startswith("plan")]
    if problems:
        raise Unusable("; ".join(one.message for one in problems))
    return changed


def _check_documents(data_dir: Path, log: Sequence[ev.Event], trials: Sequence[Trial]) -> None:
    wanted = {trial.trial_id for trial in trials}
    for event in log:
        if not isinstance(event, ev.Acquired) or event.trial_id not in wanted:
            continue
        path = data_dir / event.documents
        if not path.exists():
            raise Unusable(f"the documents of trial {event.trial_id} are not in {data_dir}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != event.sha256:
            raise Unusable(
                f"{path} has changed since trial {event.trial_id} was measured: nothing is "
                "corrected; 'labwright verify' says more"
            )


def _reduced(
    data_dir: Path, spec: CampaignSpec, trials: Sequence[Trial], tell: Tell
) -> Iterator[tuple[Trial, Reduction]]:
    with contextlib.closing(ReducerProcess(data_dir)) as process:
        for place, trial in enumerate(trials, 1):
            tell(f"trials {place} of {len(trials)}")
            try:
                yield trial, process.reduce(spec, trial.documents or "")
            except ReductionError as error:
                text = f"nothing is corrected: trial {trial.trial_id}: {error}"
                raise Unusable(text) from error


def _correction(trial: Trial, found: Reduction) -> Correction:
    invalid = trial.reason if trial.state is TrialState.INVALID else None
    return Correction(
        trial.trial_id, trial.state, trial.outcomes, found.outcomes, invalid, found.invalid
    )


def _says_the_same(last: ev.Corrected | None, event: ev.Corrected) -> bool:
    names = ("outcomes", "reducer", "reducer_sha256")
    return last is not None and all(getattr(last, name) == getattr(event, name) for name in names)


def _means(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {name: {"mean": one.mean, "sem": one.sem} for name, one in outcomes.items()}


def lines(
    found: Sequence[Correction], written: int, asked: int, differ: Sequence[Difference]
) -> list[str]:
    """What it came to, for a person."""
    measured = sum(one.state is TrialState.MEASURED for one in found)
    said = [
        f"{written} of {measured} measured trials corrected" + ("" if written else ": all were")
    ]
    for one in found:
        if one.turns:
            was = f"invalid ({one.invalid_before})" if one.invalid_before else "valid"
            would = f"break {one.invalid_after}" if one.invalid_after else "be valid"
            said.append(f"trial {one.trial_id} was {was} and would now {would}; it stays as it is")
    for difference in differ:
        event = difference.question.event
        said.append(f"trial {event.trial_id} would have been proposed elsewhere: {difference.text}")
    return [*said, f"{len(differ)} of {asked} proposals of the model would have been others"]
