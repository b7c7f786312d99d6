"""Checks a campaign from the ground up: chain, state, documents, outcomes, proposals.

It reads what there is, computes it again, and compares. Nothing is changed, and nothing is believed
that can be computed: ``domain.verification`` says what counts as the same.
"""

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.adapters.optimizer_process import OptimizerProcess
from orchestrator.adapters.plan_catalog import reducer_identity
from orchestrator.adapters.reducer_process import ReducerProcess
from orchestrator.adapters.run_documents import read_documents
from orchestrator.adapters.sobol_optimizer import SobolOptimizer
from orchestrator.app import versions
from orchestrator.campaign import documents_of
from orchestrator.domain import events as ev
from orchestrator.domain.chain import Head, StoredCampaign
from orchestrator.domain.errors import OptimizerError, ReductionError, Unusable
from orchestrator.domain.proposal import Suggestion
from orchestrator.domain.recomputation import (
    LOST_BASIS,
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
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.verification import (
    Divergence,
    Reading,
    Verdict,
    chain_divergences,
    read,
    spec_differences,
    start_divergences,
    state_divergences,
)
from orchestrator.ports import Ledger, Optimizer, Reducer, Reduction

Tell = Callable[[str], None]
"""Is told what is being done, in a few words."""
Settled = ev.Measured | ev.Invalidated | ev.Corrected


def verify(
    data_dir: Path, ledger: Ledger, campaign_id: str, tell: Tell, known_head: Head | None = None
) -> Verdict:
    """Check all that is there of a campaign, be it running or over.

    Args:
        data_dir: the data folder, with the documents and perhaps the results folder.
        ledger: holds the campaign.
        campaign_id: which one.
        tell: told of the progress.
        known_head: of this log as somebody wrote it down earlier; it must still be in the chain.
    """
    stored = ledger.stored(campaign_id)
    with contextlib.closing(ReducerProcess(data_dir)) as reducer, Model() as model:
        return Check(data_dir, campaign_id, stored, reducer, model, tell, known_head).all()


@dataclass
class Check:
    """One look at one campaign."""

    data_dir: Path
    campaign_id: str
    stored: StoredCampaign
    reducer: Reducer
    model: Optimizer
    """Computes a proposal again by the method of its campaign."""
    tell: Tell = lambda _: None
    known_head: Head | None = None
    found: list[Divergence] = field(default_factory=list[Divergence])
    notes: list[str] = field(default_factory=list[str])
    _damaged: set[int] = field(default_factory=set[int])
    """Trials whose documents are not what they were."""
    _reduced: dict[tuple[str, str | None], Reduction | str] = field(
        default_factory=dict[tuple[str, str | None], Reduction | str]
    )

    def all(self) -> Verdict:
        """Everything, one after the other."""
        self.tell("chain and state")
        self.found += chain_divergences(self.stored)
        self.found += self._head_divergences()
        self.found += state_divergences(self.stored, self.reading)
        outcomes: Counter[Grade] = Counter()
        proposals: list[Checked] = []
        if self.spec is not None:
            self.found += self._folder_divergences()
            self._documents()
            outcomes = self._outcomes(self.spec)
            proposals = self._proposals(self.spec)
        places = {entry.id: place for place, entry in enumerate(self.stored.entries)}
        self.found.sort(key=lambda one: places.get(one.event_id, -1))
        proposals.sort(key=lambda one: places[one.question.event.id])
        return Verdict(
            campaign_id=self.campaign_id,
            head=str(self.stored.head),
            counts={
                "events": len(self.stored.entries),
                "read": len(self.reading.events),
                "trials": self.reading.state.counts(),
                "documents": len(list(self._acquired())),
                "outcomes": {str(grade): count for grade, count in outcomes.items()},
                "proposals": dict(Counter(str(one.grade) for one in proposals)),
            },
            divergences=self.found,
            proposals=proposals,
            notes=self.notes,
        )

    @cached_property
    def reading(self) -> Reading:
        """The log as far as it can be read."""
        return read(self.stored.entries)

    @cached_property
    def spec(self) -> CampaignSpec | None:
        """The campaign file as the log has it; None when it cannot be read, which is told."""
        if not self.reading.events:
            return None
        opening = self.reading.events[0]
        assert isinstance(opening, ev.Opened)  # noqa: S101  nothing else is read as the first
        if opening.campaign_id != self.campaign_id:
            what = ("campaign_id", repr(opening.campaign_id), repr(self.campaign_id))
            self.found.append(Divergence(opening.id, None, *what))
        try:
            return CampaignSpec.from_data(opening.spec)
        except ValidationError as error:
            why = "; ".join(one["msg"] for one in error.errors())
            self.found.append(Divergence(opening.id, None, "spec", "a campaign", "none", why))
            return None

    @property
    def _opening(self) -> ev.Opened:
        opening = self.reading.events[0]
        assert isinstance(opening, ev.Opened)  # noqa: S101  ``spec`` is None otherwise
        return opening

    # What was written down elsewhere

    def _head_divergences(self) -> Iterator[Divergence]:
        """Heads that somebody wrote down, and that are not in the chain any more."""
        chains = {entry.id: entry.chain for entry in self.stored.entries}
        written = [(self.known_head, "the head that was given")]
        summary = self._kept("summary.json")
        if isinstance(summary, dict) and "head" in summary:
            with contextlib.suppress(ValueError):
                written.append((Head.from_text(str(summary["head"])), "summary.json"))
        for head, where in written:
            if head is not None and chains.get(head.id) != head.chain:
                chain = chains.get(head.id) or "no such event"
                why = f"{where} has the first: the log was written anew, or cut"
                yield Divergence(head.id, None, "head", head.chain, chain, why)

    def _folder_divergences(self) -> Iterator[Divergence]:
        """Keys at which the results folder's copies of the two files are not what was opened."""
        opening = self._opening
        files = {"campaign.json": opening.spec, "instrument.json": opening.instrument_spec}
        for name, recorded in files.items():
            kept = self._kept(name)
            if kept is None:
                continue
            for path, one, other in spec_differences(recorded, kept):
                why = f"the log has the first, {name} in the results folder the second"
                what = f"{name.removesuffix('.json')} {path}".strip()
                yield Divergence(opening.id, None, what, repr(one), repr(other), why)

    def _kept(self, name: str) -> Any:
        """A file of the results folder; None when there is none."""
        path = self.data_dir / "campaigns" / self.campaign_id / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return f"cannot be read: {error}"

    # Documents

    def _acquired(self) -> Iterator[ev.Acquired]:
        return (one for one in self.reading.events if isinstance(one, ev.Acquired))

    def _documents(self) -> None:
        """Each document file that counts is what it was, and is about its trial."""
        self.tell("documents")
        for event in self._acquired():
            found = list(self._document_divergences(event))
            self.found += found
            if found:
                self._damaged.add(event.trial_id)

    def _document_divergences(self, event: ev.Acquired) -> Iterator[Divergence]:
        path = self.data_dir / event.documents
        told = (event.id, event.trial_id, "documents")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            starts = [document for name, document in read_documents(path) if name == "start"]
        except FileNotFoundError:
            yield Divergence(*told, event.documents, "no such file")
            return
        except (OSError, ValueError) as error:
            yield Divergence(*told, event.sha256, "unreadable", f"{event.documents}: {error}")
            return
        if digest != event.sha256:
            why = f"SHA-256 of {event.documents}: the file has changed"
            yield Divergence(*told, event.sha256, digest, why)
        if not starts or starts[0].get("uid") != event.run_uid:
            uid = starts[0].get("uid") if starts else None
            yield Divergence(event.id, event.trial_id, "run_uid", event.run_uid, str(uid))
        trial = self.reading.state.trials[event.trial_id]
        for start in starts:
            yield from start_divergences(event, trial, self.campaign_id, start)
            numbers = (event.trial_id, event.attempt, start.get("fence") or 0)
            expected = documents_of(self.campaign_id, *numbers)
            if expected != event.documents:
                why = f"its start document belongs into {expected}"
                yield Divergence(*told, event.documents, expected, why)

    # Outcomes

    def _outcomes(self, spec: CampaignSpec) -> Counter[Grade]:
        """Reduce every trial again, by the reducer that each event names."""
        settled = [one for one in self.reading.events if isinstance(one, Settled)]
        grades: Counter[Grade] = Counter()
        for place, event in enumerate(settled, 1):
            self.tell(f"outcomes {place} of {len(settled)}")
            grades[self._outcome(event, spec)] += 1
        return grades

    def _outcome(self, event: Settled, spec: CampaignSpec) -> Grade:
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
        if trial_id in self._damaged:
            return "its documents are not what they were"
        return "same reducer, same software: the record does not follow from its documents"

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
        told = self._opening.versions
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

    def _proposals(self, spec: CampaignSpec) -> list[Checked]:
        """Compute every proposal again."""
        events = self.reading.events
        total = sum(isinstance(one, ev.Proposed) for one in events)
        checked: list[Checked] = []
        for place, question in enumerate(questions(events, spec), 1):
            self.tell(f"proposals {place} of {total}")
            checked.append(self._proposal(question, spec))
        return checked

    def _proposal(self, question: Question, spec: CampaignSpec) -> Checked:
        event = question.event
        if question.is_given:
            return Checked(question, Grade.GIVEN, f"by a {event.source}: nothing to compute")
        told = (event.id, event.trial_id)
        seed = question.known.seed
        if event.seed != seed:
            why = "it follows from the campaign's seed and the trial's number"
            self.found.append(Divergence(*told, "seed", str(event.seed), str(seed), why))
        if not question.has_basis and not question.is_spread:
            self.found.append(Divergence(*told, "basis", event.basis, "no such event", LOST_BASIS))
            return Checked(question, Grade.OTHER, LOST_BASIS)
        found = self._suggestion(question)
        if isinstance(found, str):
            self.found.append(Divergence(*told, "proposal", "a point", "none", found))
            return Checked(question, Grade.OTHER, found)
        grade, name = compare_parameters(spec, event.parameters, found.parameters)
        why = ""
        if name is not None:
            why = software_changes(event.details, found.details) or SAME_SOFTWARE
            recorded = parameter_text(event.parameters, name)
            now = parameter_text(found.parameters, name)
            self.found.append(Divergence(*told, f"parameter {name}", recorded, now, why))
        if event.seed != seed and grade is not Grade.OTHER:
            grade, why = Grade.OTHER, "the recorded seed is not its own"
        return Checked(question, grade, why)

    def _suggestion(self, question: Question) -> Suggestion | str:
        """The point as it is computed now; in words why there is none."""
        try:
            if question.is_spread:
                return SobolOptimizer().suggest(question.known)
            return self.model.suggest(question.known)
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

    def suggest(self, known: Any) -> Suggestion:
        """See ports.Optimizer."""
        if self._process is None:
            self._process = OptimizerProcess(known.spec.optimizer.method)
        return self._process.suggest(known)


def _validity(broken_rule: str | None) -> str:
    return "valid" if broken_rule is None else f"invalid: {broken_rule}"
