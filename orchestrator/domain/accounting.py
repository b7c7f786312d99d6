"""Where the time went: measured from the events, never from a stopwatch of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from orchestrator.domain import events as ev
from orchestrator.domain.state import CampaignState, CampaignStatus, Trials, asking, fold
from orchestrator.domain.trial import TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec

Part = Literal[
    "paused_s",
    "suspended_s",
    "needs_person_s",
    "recovery_s",
    "measuring_s",
    "ledger_gap_s",
    "idle_s",
    "closing_s",
]
PARTS: tuple[Part, ...] = get_args(Part)
"""Fields of ``Times`` that exclude each other and add up to the span."""

_HELD: Mapping[CampaignStatus, Part] = {
    CampaignStatus.PAUSED: "paused_s",
    CampaignStatus.SUSPENDED: "suspended_s",
    CampaignStatus.NEEDS_PERSON: "needs_person_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A campaign's seconds. ``PARTS`` exclude each other and add up to ``span_s``.

    Where two could be meant, the first in the order of ``PARTS`` is: the end of a trial that was
    running when a person paused counts as paused, as it does for the beam hours.
    """

    wall_s: float = 0.0
    """From the opening to the end, or to the last event."""
    instrument_busy_s: float = 0.0
    """Sum of started to measured, or failed, over all attempts: the next trial may overlap."""
    span_s: float = 0.0
    """From the first start to the last result."""
    paused_s: float = 0.0
    """A person has paused the campaign."""
    suspended_s: float = 0.0
    """A condition is out of its range, or there is no room for data."""
    needs_person_s: float = 0.0
    """Only a person could decide what happens next, or answer the plan, and had not yet."""
    recovery_s: float = 0.0
    """Instrument unknown, in recovery or in fault, or the evidence of a lost trial looked at."""
    measuring_s: float = 0.0
    """An attempt runs: from its start to its data being safe, its failure, or its lease's end."""
    ledger_gap_s: float = 0.0
    """A trial is queued and the instrument ready, but nothing runs yet: the hand-over."""
    idle_s: float = 0.0
    """Instrument ready, campaign running, budget left, and nothing queued: no proposal.

    Reduction counts only here, while it keeps the next proposal waiting; beside a trial that
    runs it costs nothing.
    """
    closing_s: float = 0.0
    """Nothing is left to start: the last results are being reduced."""

    @property
    def held_s(self) -> float:
        """Paused, suspended or waiting for a person."""
        return self.paused_s + self.suspended_s + self.needs_person_s

    @property
    def idle_fraction(self) -> float:
        """Idle time over the span less the held time; 0 when nothing was measured."""
        return fraction(self.idle_s, self.span_s - self.held_s)


def fraction(seconds: float, available: float) -> float:
    """The part of the available seconds; 0 when there are none."""
    return seconds / available if available > 0 else 0.0


def times(log: Sequence[ev.Event], spec: CampaignSpec) -> Times:
    """The times of one campaign, from its whole log."""
    log = until_the_end(log)
    timed = list(_in_order(log))
    starts = [at for at, event in timed if isinstance(event, ev.Started)]
    results = [at for at, event in timed if isinstance(event, (ev.Measured, ev.Invalidated))]
    first, last = (starts[0], results[-1]) if starts and results else (0.0, 0.0)
    parts = dict.fromkeys(PARTS, 0.0)
    course = _Course(spec)
    for (at, event), (until, _) in pairwise(timed):
        course.take(event)
        parts[course.part()] += max(0.0, min(until, last) - max(at, first))
    return Times(
        wall_s=log[-1].at - log[0].at if log else 0.0,
        instrument_busy_s=_busy(log),
        span_s=max(0.0, last - first),
        **parts,
    )


class _Course:
    """The course of a campaign, event by event: what its instrument's time goes into."""

    def __init__(self, spec: CampaignSpec) -> None:
        self._budget = spec.budget.trials
        self._campaign = CampaignState()
        self._trials = Trials()
        self._is_unknown = False

    def take(self, event: ev.Event) -> None:
        if isinstance(event, ev.LateResult):
            return
        if isinstance(event, ev.TrialEvent):
            self._trials.take(event)
        else:  # not the whole state at each event: that would copy all trials each time
            self._campaign = fold([event], self._campaign)
        if isinstance(event, ev.InstrumentChanged):
            self._is_unknown = event.state in ("unknown", "recovering", "fault")

    def part(self) -> Part:
        """The name of the part of ``Times`` that the time until the next event belongs to."""
        status, count = self._campaign.status, self._trials.count
        if status in _HELD:
            return _HELD[status]
        if asking(self._trials.live):
            return "needs_person_s"
        if self._is_unknown or count(TrialState.SUSPECT):
            return "recovery_s"
        if count(TrialState.RUNNING):
            return "measuring_s"
        if count(TrialState.LEASED):
            return "ledger_gap_s"
        if status is not CampaignStatus.RUNNING:
            return "closing_s"
        if count(TrialState.QUEUED):
            return "ledger_gap_s"
        return "idle_s" if len(self._trials.by_id) < self._budget else "closing_s"


def _in_order(log: Sequence[ev.Event]) -> Iterator[tuple[float, ev.Event]]:
    """The events with their times, which a clock that was set back does not set back."""
    latest = 0.0
    for event in log:
        latest = max(latest, event.at)
        yield latest, event


def until_the_end(log: Sequence[ev.Event]) -> Sequence[ev.Event]:
    """The log without what came after the campaign: a late reduction takes no lab time."""
    for index, event in enumerate(log):
        if isinstance(event, ev.Ended):
            return log[: index + 1]
    return log


def _busy(log: Sequence[ev.Event]) -> float:
    began: dict[int, float] = {}
    total = 0.0
    for event in log:
        match event:
            case ev.Started():
                began[event.trial_id] = event.at
            case ev.Measured() | ev.Invalidated() | ev.Failed() | ev.Unreduced():
                total += max(0.0, event.at - began.pop(event.trial_id, event.at))
            case _:
                pass
    return total


def beam_seconds(state: CampaignState, now: float) -> float:
    """Seconds of beam spent up to Unix time ``now``: since the first start, held time left out."""
    if state.first_start is None:
        return 0.0
    held = state.held_s
    if state.held_since is not None:
        held += now - max(state.held_since, state.first_start)
    return max(0.0, now - state.first_start - held)
