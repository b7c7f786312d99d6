"""Computes a campaign's outcomes and proposals again, and says what comes out otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.adapters.lab_code.plan_catalog import reducer_identity
from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess, space_filling
from orchestrator.app import versions
from orchestrator.domain import events as ev
from orchestrator.domain.errors import OptimizerError, ReductionError, Unusable
from orchestrator.domain.proposal import Knowledge, Suggestion, with_free_sample
from orchestrator.domain.realignment import REALIGNMENT
from orchestrator.domain.recomputation import (
    LOST_BASIS,
    SAME_REDUCER,
    SAME_SOFTWARE,
    Checked,
    Grade,
    Question,
    compare_outcomes,
    compare_parameters,
    outcome_text,
    parameter_text,
    questions,
    software_changes,
)
from orchestrator.domain.sentinels import SENTINEL
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.verification import Divergence, Reading
from orchestrator.ports import Optimizer, Reducer, Reduction

Tell = Callable[[str], None]
"""Is told what is being done, in a few words."""
Settled = ev.Measured | ev.Invalidated | ev.Corrected


@dataclass
class Recomputation:
    """One campaign, computed again."""

    reading: Reading
    spec: CampaignSpec
    reducer: Reducer
    model: Optimizer
    """Makes proposals by the method of the campaign."""
    tell: Tell
    damaged: set[int] = field(default_factory=set[int])
    """Trials whose documents are not what they were."""
    found: list[Divergence] = field(default_factory=list[Divergence])
    notes: list[str] = field(default_factory=list[str])
    """What a reader should know and what is no divergence."""
    outcomes: list[Grade] = field(default_factory=list[Grade])
    """Of every event that gave a trial its outcomes."""
    proposals: list[Checked] = field(default_factory=list[Checked])
    _reduced: dict[tuple[str, str | None], Reduction | str] = field(
        default_factory=dict[tuple[str, str | None], Reduction | str]
    )

    def all(self) -> None:
        """Reduce every trial by the reducer that each event names, and make every proposal."""
        events = self.reading.events
        settled = [one for one in events if isinstance(one, Settled)]
        for place, event in enumerate(settled, 1):
            self.tell(f"outcomes {place} of {len(settled)}")
            self.outcomes.append(self._outcome(event))
        total = sum(isinstance(one, ev.Proposal) for one in events)
        for place, question in enumerate(questions(events, self.spec), 1):
            self.tell(f"proposals {place} of {total}")
            self.proposals.append(self._proposal(question))

    # Outcomes

    def _outcome(self, event: Settled) -> Grade:
        spec = self.spec
        if isinstance(event, (ev.Measured, ev.Invalidated)) and event.by:
            if spec.reduce.where == "external":
                return Grade.EXTERNAL
            why = "this campaign reduces its own data, so that nobody can hand in an outcome"
            self.found.append(Divergence(event.id, event.trial_id, "by", event.by, "nobody", why))
            return Grade.OTHER
        by = spec.with_reducer(event.reducer) if isinstance(event, ev.Corrected) else spec
        reduction = self._reduction(event.trial_id, by)
        if isinstance(reduction, str):
            recorded = "; ".join(outcome_text(event.outcomes, name) for name in event.outcomes)
            self._note_outcome(event, by, "outcomes", recorded, reduction)
            return Grade.OTHER
        grade, name = compare_outcomes(event.outcomes, reduction.outcomes)
        if name is not None:
            recorded, found = event.outcomes, reduction.outcomes
            texts = outcome_text(recorded, name), outcome_text(found, name)
            self._note_outcome(event, by, f"outcome {name}", *texts)
        if not isinstance(event, ev.Corrected):  # a correction says nothing about validity
            broke = event.reason if isinstance(event, ev.Invalidated) else None
            if broke != reduction.invalid:
                texts = _validity(broke), _validity(reduction.invalid)
                self._note_outcome(event, by, "validity", *texts)
                return Grade.OTHER
        return grade

    def _note_outcome(
        self, event: Settled, spec: CampaignSpec, what: str, recorded: str, found: str
    ) -> None:
        why = self._reducer_changes(event, spec) or self._otherwise(event.trial_id)
        self.found.append(Divergence(event.id, event.trial_id, what, recorded, found, why))

    def _otherwise(self, trial_id: int) -> str:
        if trial_id in self.damaged:
            return "its documents are not what they were"
        return SAME_REDUCER

    def _reduction(self, trial_id: int, spec: CampaignSpec) -> Reduction | str:
        """What the reducer gives now; in words why it gives nothing."""
        documents = self.reading.state.trials[trial_id].documents or ""
        key = (documents, spec.reduce.call)
        if key not in self._reduced:
            try:
                self._reduced[key] = self.reducer.reduce(spec, documents)
            except ReductionError as error:
                self._reduced[key] = str(error)
        return self._reduced[key]

    def _reducer_changes(self, event: Settled, spec: CampaignSpec) -> str:
        """How the reducer differs from the one of then; empty when it does not."""
        opening = self.reading.events[0]
        told = opening.versions if isinstance(opening, ev.Opened) else {}
        if isinstance(event, ev.Corrected):
            name, digest = event.reducer, event.reducer_sha256
        else:
            name, digest = told.get("reducer", ""), told.get("reducer_sha256", "")
        try:
            now, found = reducer_identity(spec)
        except Unusable as error:
            return f"the reducer {name or 'of the campaign'} cannot be used: {error}"
        changes = software_changes(told, versions())
        if name and now != name:
            changes = f"the reducer was {name}, it is {now}"
        elif digest and found != digest:
            changes = f"the reducer {name} has changed: the SHA-256 of its file was {digest[:12]}, "
            changes += f"it is {found[:12]}"
        return changes

    # Proposals

    def _proposal(self, question: Question) -> Checked:
        event = question.event
        if question.is_given:
            return self._given(question)
        told = (event.id, event.trial_id)
        seed = question.known.seed
        if event.seed != seed:
            why = "it follows from the campaign's seed and the trial's number"
            self.found.append(Divergence(*told, "seed", str(event.seed), str(seed), why))
        if not question.has_basis and question.is_spread:
            self.notes.append(f"trial {event.trial_id}: {LOST_BASIS}; its point needs none")
        elif not question.has_basis:
            self.found.append(Divergence(*told, "basis", event.basis, "no such event", LOST_BASIS))
            return Checked(question, Grade.OTHER, LOST_BASIS)
        found = self._suggestion(question)
        if isinstance(found, str):
            self.found.append(Divergence(*told, "proposal", "a point", "none", found))
            return Checked(question, Grade.OTHER, found)
        grade, name = compare_parameters(self.spec, event.parameters, found.parameters)
        why = ""
        if name is not None:
            why = software_changes(event.details, found.details) or SAME_SOFTWARE
            recorded = parameter_text(event.parameters, name)
            now = parameter_text(found.parameters, name)
            self.found.append(Divergence(*told, f"parameter {name}", recorded, now, why))
        if event.seed != seed and grade is not Grade.OTHER:
            grade, why = Grade.OTHER, "the recorded seed is not its own"
        return Checked(question, grade, why)

    def _given(self, question: Question) -> Checked:
        """A proposal that no optimizer made: only a sentinel's place can be compared."""
        event, sentinel = question.event, self.spec.sentinel
        if event.source in (SENTINEL, REALIGNMENT) and question.has_basis:
            told = (event.id, event.trial_id)
            if sentinel is None:
                why = "the campaign file has no sentinel"
                self.found.append(Divergence(*told, "source", event.source, "none", why))
                return Checked(question, Grade.OTHER, why)
            due = with_free_sample(question.known, Suggestion(sentinel.at, event.source))
            grade, name = compare_parameters(self.spec, event.parameters, due.parameters)
            if name is not None:
                why = f"the campaign file says where a {event.source} is measured"
                recorded = parameter_text(event.parameters, name)
                now = parameter_text(due.parameters, name)
                self.found.append(Divergence(*told, f"parameter {name}", recorded, now, why))
                return Checked(question, grade, why)
        return Checked(question, Grade.GIVEN, f"by a {event.source}: nothing to compute")

    def _suggestion(self, question: Question) -> Suggestion | str:
        """The point as it is computed now; in words why there is none."""
        known = question.known
        try:
            suggest = space_filling if question.is_spread else self.model.suggest
            return with_free_sample(known, suggest(known))
        except OptimizerError as error:
            return str(error)


class Model:
    """The registered optimizer of whatever campaign it is asked about, in a process of its own."""

    def __init__(self) -> None:
        self._process: OptimizerProcess | None = None

    def __enter__(self) -> "Model":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.close()

    def suggest(self, known: Knowledge) -> Suggestion:
        """See ports.Optimizer."""
        if self._process is None:
            self._process = OptimizerProcess(known.spec.optimizer.method)
        return self._process.suggest(known)


def _validity(broken_rule: str | None) -> str:
    return "valid" if broken_rule is None else f"invalid: {broken_rule}"
