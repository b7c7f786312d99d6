"""Checks a campaign from the ground up: chain, state, documents, outcomes, proposals.

It reads what there is, computes it again, and compares. Nothing is changed, and nothing is believed
that can be computed: ``domain.verification`` says what counts as the same.
"""

import contextlib
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from orchestrator.adapters.documents.run_documents import read_documents
from orchestrator.adapters.outputs.results import as_csv
from orchestrator.adapters.reduction.reducer_process import ReducerProcess
from orchestrator.campaign import documents_of
from orchestrator.domain import events as ev
from orchestrator.domain.chain import Head, StoredCampaign
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.summary import columns, rows
from orchestrator.domain.trial import TrialState
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
from orchestrator.ports import Ledger, Optimizer, Reducer
from orchestrator.recomputation import Model, Recomputation, Tell


class WrittenHead(NamedTuple):
    """A head of the log that somebody wrote down, and where."""

    head: Head
    where: str


def verify(
    data_dir: Path, ledger: Ledger, campaign_id: str, tell: Tell, known: Head | None = None
) -> Verdict:
    """Check all that is there of a campaign, be it running or over.

    Args:
        data_dir: the data folder, with the documents and perhaps the results folder.
        ledger: holds the campaign.
        campaign_id: which one.
        tell: told of the progress.
        known: a head of this log that was written down earlier; it must still be in the chain.
    """
    heads = list(kept_heads(data_dir, campaign_id))  # before the log: it may grow meanwhile
    if known is not None:
        heads.append(WrittenHead(known, "--head"))
    stored = ledger.stored(campaign_id)
    with contextlib.closing(ReducerProcess(data_dir)) as reducer, Model() as model:
        return Check(data_dir, campaign_id, stored, heads, reducer, model, tell).all()


def kept_heads(data_dir: Path, campaign_id: str) -> Iterator[WrittenHead]:
    """The head in the results folder, if there is one."""
    summary = _kept(data_dir, campaign_id, "summary.json")
    if isinstance(summary, dict) and "head" in summary:
        with contextlib.suppress(ValueError):
            yield WrittenHead(Head.from_text(str(summary["head"])), "summary.json")


def _rows(table: str) -> dict[tuple[str, int], dict[str, str]]:
    """Of a CSV text by trial, and by which of its rows it is."""
    found: dict[tuple[str, int], dict[str, str]] = {}
    seen = Counter[str]()
    for row in csv.DictReader(table.splitlines()):
        number = row.get("trial_id") or ""
        found[number, seen[number]] = row
        seen[number] += 1
    return found


def _kept(data_dir: Path, campaign_id: str, name: str) -> Any:
    """What a file of the results folder holds, in words when it cannot be read; None without it."""
    path = data_dir / "campaigns" / campaign_id / name
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"


@dataclass
class Check:
    """One look at one campaign."""

    data_dir: Path
    campaign_id: str
    stored: StoredCampaign
    heads: Sequence[WrittenHead]
    """They must all be in the chain."""
    reducer: Reducer
    model: Optimizer
    """Makes proposals by the method of the campaign."""
    tell: Tell = lambda _: None
    _damaged: set[int] = field(default_factory=set[int])
    """Trials whose documents are not what they were."""

    def all(self) -> Verdict:
        """Everything, one after the other."""
        self.tell("chain and state")
        found = [
            *chain_divergences(self.stored),
            *self._lost_heads(),
            *state_divergences(self.stored, self.reading),
        ]
        again = None
        try:
            spec = CampaignSpec.from_data(self._opening.spec) if self.reading.events else None
        except ValidationError as error:
            spec, why = None, "; ".join(one["msg"] for one in error.errors())
            found.append(Divergence(self._opening.id, None, "spec", "a campaign", "none", why))
        if spec is not None:
            found += [*self._opened_otherwise(), *self._all_documents(), *self._table(spec)]
            state = (self.reading, spec, self.reducer, self.model, self.tell)
            again = Recomputation(*state, self._damaged)
            again.all()
        return self._verdict(found, again)

    def _verdict(self, found: list[Divergence], again: Recomputation | None) -> Verdict:
        outcomes = again.outcomes if again else []
        proposals = again.proposals if again else []
        found += again.found if again else []
        places = {entry.id: place for place, entry in enumerate(self.stored.entries)}
        return Verdict(
            campaign_id=self.campaign_id,
            head=str(self.stored.head),
            counts={
                "events": len(self.stored.entries),
                "read": len(self.reading.events),
                "trials": self.reading.state.counts(),
                "documents": len(list(self._acquired())),
                "outcomes": dict(Counter(map(str, outcomes))),
                "proposals": dict(Counter(str(one.grade) for one in proposals)),
            },
            divergences=sorted(found, key=lambda one: places.get(one.event_id, len(places))),
            proposals=sorted(proposals, key=lambda one: places[one.question.event.id]),
            notes=[*(again.notes if again else []), *self._remarks()],
        )

    @cached_property
    def reading(self) -> Reading:
        """The log as far as it can be read."""
        return read(self.stored.entries)

    @property
    def _opening(self) -> ev.Opened:
        opening = self.reading.events[0]
        assert isinstance(opening, ev.Opened)  # noqa: S101  nothing else is read as the first
        return opening

    # What was written down elsewhere

    def _lost_heads(self) -> Iterator[Divergence]:
        chains = {entry.id: entry.chain for entry in self.stored.entries}
        for head, where in self.heads:
            if chains.get(head.id) != head.chain:
                chain = chains.get(head.id) or "no such event"
                why = f"{where} has the first: the log was written anew, or cut"
                yield Divergence(head.id, None, "head", head.chain, chain, why)

    def _opened_otherwise(self) -> Iterator[Divergence]:
        """What the log opens and is not what it should be, or what the results folder says."""
        opening = self._opening
        if opening.campaign_id != self.campaign_id:
            both = repr(opening.campaign_id), repr(self.campaign_id)
            yield Divergence(opening.id, None, "campaign_id", *both)
        files = {"campaign": opening.spec, "instrument": opening.instrument_spec}
        for name, recorded in files.items():
            kept = _kept(self.data_dir, self.campaign_id, f"{name}.json")
            for path, one, other in spec_differences(recorded, kept) if kept is not None else ():
                why = f"the log has the first, {name}.json in the results folder the second"
                what = f"{name} {path}".strip()
                yield Divergence(opening.id, None, what, repr(one), repr(other), why)

    def _table(self, spec: CampaignSpec) -> Iterator[Divergence]:
        """The first row of the table in the results folder that says what the log does not.

        Rows count of which either says that the trial is measured. A column that only one of them
        has is of another version. Of a campaign that goes on the table may be older than the log,
        and nothing is said.
        """
        state, path = self.reading.state, self._folder / "results.csv"
        if not state.is_over or not path.exists():
            return
        rightful = as_csv(columns(state, spec), rows(state, spec))
        wanted, given = _rows(rightful), _rows(path.read_text(errors="replace"))
        for number in sorted(wanted.keys() | given.keys()):
            right, found = wanted.get(number, {}), given.get(number, {})
            if TrialState.MEASURED not in (right.get("state"), found.get("state")):
                continue
            both = [name for name in right if name in found] if right and found else ["state"]
            for name in both:
                one, other = right.get(name, "no row"), found.get(name, "no row")
                if one != other:
                    place = f"results.csv, {name} of trial {number[0]}"
                    why = "'labwright report' writes the table again"
                    yield Divergence(self.reading.events[-1].id, None, place, one, other, why)
                    return

    def _remarks(self) -> Iterator[str]:
        """What was not compared, because there is nothing to compare with."""
        if not self.heads:
            yield "no head of this log was kept elsewhere: one that was cut looks the same"
        if self.reading.state.is_over and not (self._folder / "results.csv").exists():
            yield "there is no table of results to compare with the log"

    @property
    def _folder(self) -> Path:
        return self.data_dir / "campaigns" / self.campaign_id

    # Documents

    def _acquired(self) -> Iterator[ev.Acquired]:
        return (one for one in self.reading.events if isinstance(one, ev.Acquired))

    def _all_documents(self) -> Iterator[Divergence]:
        """Each document file that counts is what it was, and is about its trial."""
        self.tell("documents")
        for event in self._acquired():
            found = list(self._document_divergences(event))
            if found:
                self._damaged.add(event.trial_id)
            yield from found

    def _document_divergences(self, event: ev.Acquired) -> Iterator[Divergence]:
        path = self.data_dir / event.documents
        told = (event.id, event.trial_id, "documents")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            yield Divergence(*told, event.documents, "no such file", error.strerror or "")
            return
        if digest != event.sha256:
            why = f"SHA-256 of {event.documents}: the file has changed"
            yield Divergence(*told, event.sha256, digest, why)
        try:
            starts = [document for name, document in read_documents(path) if name == "start"]
        except (ValueError, TypeError) as error:
            if digest == event.sha256:  # else it is no wonder
                yield Divergence(*told, "documents", "unreadable", str(error))
            return
        yield from self._start_divergences(event, starts)

    def _start_divergences(
        self, event: ev.Acquired, starts: Sequence[Mapping[str, Any]]
    ) -> Iterator[Divergence]:
        first = starts[0].get("uid") if starts else None
        if first != event.run_uid:
            yield Divergence(event.id, event.trial_id, "run_uid", event.run_uid, str(first))
        trial = self.reading.state.trials[event.trial_id]
        for start in starts:
            yield from start_divergences(event, trial, self.campaign_id, start)
            numbers = (event.trial_id, event.attempt, start.get("fence") or 0)
            belongs = documents_of(self.campaign_id, *numbers)
            if belongs != event.documents:
                names = (event.documents, belongs)
                yield Divergence(event.id, event.trial_id, "documents", *names, "as it says itself")
