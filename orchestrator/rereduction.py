"""Corrects the outcomes of a whole campaign by another reducer; nothing is measured again."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.adapters.lab_code.plan_catalog import plan_problems, reducer_identity
from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.domain import events as ev
from orchestrator.domain.errors import OptimizerError, ReductionError, Unusable
from orchestrator.domain.proposal import with_free_sample
from orchestrator.domain.recomputation import (
    Grade,
    Question,
    compare_parameters,
    questions,
    software_changes,
    with_newest_outcomes,
)
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.domain.trial import Outcome, Trial, TrialState
from orchestrator.ports import Ledger, Optimizer, Reduction
from orchestrator.recomputation import Model, Tell

GOES_ON = (CampaignStatus.RUNNING, CampaignStatus.FINISHING)
"""A campaign in these states may complete trials by its own reducer at any moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which reducer, and who wants it."""

    reducer: str
    """Its dotted name."""
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """What the reducer makes of one trial."""

    trial_id: int
    state: TrialState
    """Measured or invalid; it stays so, and only a measured one is corrected."""
    before: Mapping[str, Outcome]
    after: Mapping[str, Outcome]
    broke: str | None
    """The validity rule that it broke when it was measured; None when it was valid."""
    breaks: str | None
    """The rule that it breaks by this reducer; None when it would be valid."""

    @property
    def turns(self) -> bool:
        """True when it would be valid now and was not, or the other way round."""
        return (self.broke is None) != (self.breaks is None)


@dataclass(frozen=True, slots=True)
class Difference:
    """A proposal of the model that would have been another one with today's outcomes."""

    question: Question
    was_measured: bool
    """False for a point that was replaced before its trial started, or whose trial gave none."""
    now: Mapping[str, Any]
    """The point as it would be; empty when there would be none."""
    software: str
    """Why there is none, or versions that have changed since and may explain it; mostly empty."""


@dataclass(frozen=True, slots=True)
class Rereduction:
    """What became of an order."""

    campaign_id: str
    order: Order
    corrections: Sequence[Correction]
    """Of all trials that have outcomes, by trial id."""
    written: int
    """Trials whose outcomes are corrected now and were not before."""
    asked: int | None = None
    """Proposals of the model; None when they were not computed again."""
    differences: Sequence[Difference] = ()

    def to_data(self) -> dict[str, Any]:
        """Plain data for scripts."""
        return {
            "campaign_id": self.campaign_id,
            "reducer": self.order.reducer,
            "corrected": self.written,
            "trials": [_correction_data(one) for one in self.corrections],
            "proposals": self.asked,
            "different": [_difference_data(one) for one in self.differences],
        }


def rereduce(
    data_dir: Path, ledger: Ledger, campaign_id: str, order: Order, tell: Tell
) -> Rereduction:
    """Correct every measured trial, or none.

    A trial whose newest outcomes came from the same reducer, and are the same, gets no further
    event: so the order may be given again.

    Raises:
        Unusable: the campaign goes on measuring, the reducer does not serve, or a trial's documents
            are not as they were.
    """
    log = ledger.events(campaign_id)
    state = fold(log)
    if state.status in GOES_ON:
        raise Unusable(
            f"campaign {campaign_id} is {state.status}, so its next trials would have outcomes of"
            f" another reducer: wait for its end, or say 'labwright pause {campaign_id}' first"
        )
    spec = _with_reducer(CampaignSpec.from_data(state.spec), order.reducer)
    _, digest = reducer_identity(spec)
    trials = state.in_state(TrialState.MEASURED, TrialState.INVALID)
    _check_documents(data_dir, log, trials)
    corrections = [
        _correction(trial, found) for trial, found in _reduced(data_dir, spec, trials, tell)
    ]
    last = {one.trial_id: one for one in log if isinstance(one, ev.Corrected)}
    written = 0
    for one in corrections:
        event = ev.Corrected(
            trial_id=one.trial_id,
            outcomes=one.after,
            reducer=order.reducer,
            reducer_sha256=digest,
            by=order.by,
            reason=order.reason,
        )
        if one.state is TrialState.MEASURED and not _says_the_same(last.get(one.trial_id), event):
            written += ledger.correct(campaign_id, event)
    return Rereduction(campaign_id, order, corrections, written)


def with_proposals(done: Rereduction, ledger: Ledger, tell: Tell) -> Rereduction:
    """The same, and which proposals of the model would have been others.

    Each is computed again from its own basis, with the outcomes that count today.
    """
    events = with_newest_outcomes(ledger.events(done.campaign_id))
    state = fold(events)
    spec = CampaignSpec.from_data(state.spec)
    asked = [one for one in questions(events, spec) if one.is_of_the_model and one.has_basis]
    measured = {
        (trial.trial_id, trial.revision)
        for trial in state.in_state(TrialState.MEASURED, TrialState.INVALID)
    }
    found: list[Difference] = []
    with Model() as model:
        for place, question in enumerate(asked, 1):
            tell(f"proposals {place} of {len(asked)}")
            was_measured = (question.event.trial_id, question.revision) in measured
            if difference := _difference(question, was_measured, spec, model):
                found.append(difference)
    found.sort(key=lambda one: (one.question.event.trial_id, one.question.revision))
    return replace(done, asked=len(asked), differences=found)


def _difference(
    question: Question, was_measured: bool, spec: CampaignSpec, model: Optimizer
) -> Difference | None:
    try:
        found = with_free_sample(question.known, model.suggest(question.known))
    except OptimizerError as error:
        return Difference(question, was_measured, {}, str(error))
    grade, _ = compare_parameters(spec, question.event.parameters, found.parameters)
    if grade is not Grade.OTHER:
        return None
    software = software_changes(question.event.details, found.details)
    return Difference(question, was_measured, found.parameters, software)


def _with_reducer(spec: CampaignSpec, reducer: str) -> CampaignSpec:
    """The campaign with this reducer.

    Raises:
        Unusable: there is none of this name, or it does not give what the campaign needs.
    """
    if "." not in reducer:
        raise Unusable(f"--with {reducer!r} must be a dotted name, such as mylab.reducers.peak")
    changed = spec.with_reducer(reducer)
    reducer_identity(changed)
    problems = [one.message for one in plan_problems(changed) if one.place.startswith(_OUTCOMES)]
    if problems:
        raise Unusable(f"{reducer} does not serve: {'; '.join(problems)}")
    return changed


_OUTCOMES = ("objectives", "constraints")
"""Where ``plan_problems`` tells what a reducer does not give."""


def _check_documents(data_dir: Path, log: Sequence[ev.Event], trials: Sequence[Trial]) -> None:
    """Pass when what was measured is there, and is what it was.

    Raises:
        Unusable: it is not.
    """
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
    broke = trial.reason if trial.state is TrialState.INVALID else None
    outcomes = (trial.outcomes, found.outcomes)
    return Correction(trial.trial_id, trial.state, *outcomes, broke, found.invalid)


def _says_the_same(last: ev.Corrected | None, event: ev.Corrected) -> bool:
    names = ("outcomes", "reducer", "reducer_sha256")
    return last is not None and all(getattr(last, name) == getattr(event, name) for name in names)


# What it came to


def lines(done: Rereduction) -> list[str]:
    """For a person: what was corrected, and what would have been otherwise."""
    measured = sum(one.state is TrialState.MEASURED for one in done.corrections)
    said = [f"{done.written} of {measured} measured trials corrected by {done.order.reducer}"]
    if measured and not done.written:
        said = [f"all {measured} measured trials had been corrected by {done.order.reducer}"]
    said += [_turn(one) for one in done.corrections if one.turns]
    for one in done.differences:
        because = f" ({one.software})" if one.software else ""
        event, was = one.question.event, "measured" if one.was_measured else "not measured"
        said.append(
            f"trial {event.trial_id} revision {one.question.revision}, {was} at"
            f" {_point(event.parameters)}, would have been proposed at"
            f" {_point(one.now) or 'no point'}{because}"
        )
    if done.asked is not None:
        said.append(f"{len(done.differences)} of {done.asked} proposals of the model differ")
    return said


def _turn(one: Correction) -> str:
    was = "valid" if one.broke is None else f"invalid ({one.broke})"
    would = "would be valid" if one.breaks is None else f"would be invalid ({one.breaks})"
    return f"trial {one.trial_id} was {was} and {would} now; it stays {one.state}"


def _point(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in parameters.items())


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _correction_data(one: Correction) -> dict[str, Any]:
    return {
        "trial_id": one.trial_id,
        "state": str(one.state),
        "before": _means(one.before),
        "after": _means(one.after),
        "broke": one.broke,
        "breaks": one.breaks,
    }


def _difference_data(one: Difference) -> dict[str, Any]:
    event = one.question.event
    return {
        "event_id": event.id,
        "trial_id": event.trial_id,
        "revision": one.question.revision,
        "was_measured": one.was_measured,
        "was": dict(event.parameters),
        "would_be": dict(one.now),
        "software": one.software,
    }


def _means(outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    return {name: {"mean": one.mean, "sem": one.sem} for name, one in outcomes.items()}
