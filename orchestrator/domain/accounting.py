"""Where the time went: measured from the events, never from a stopwatch of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from orchestrator.domain import events as ev
from orchestrator.domain.state import CampaignState, CampaignStatus, fold, trial_after
from orchestrator.domain.trial import Trial, TrialState

if TYPE_CHECKING:
    from orchestrator.domain.spec import CampaignSpec

_OCCUPIED = (TrialState.QUEUED, TrialState.LEASED, TrialState.RUNNING, TrialState.ACQUIRED)
_HELD = (CampaignStatus.PAUSED, CampaignStatus.SUSPENDED, CampaignStatus.NEEDS_PERSON)


@dataclass(frozen=True, slots=True)
class Times:
    """A campaign's seconds."""

    wall_s: float
    """From the opening to the end, or to the last event."""
    instrument_busy_s: float
    """Sum of started to measured, or failed, over all attempts."""
    idle_s: float
    """Instrument ready, campaign running, budget left, and nothing queued."""
    recovery_s: float
    """Instrument unknown or in recovery."""
    held_s: float
    """Paused, suspended or waiting for a person, between the first start and the last result."""
    span_s: float
    """From the first start to the last result."""

    @property
    def idle_fraction(self) -> float:
        """Idle time over the span less the held time; 0 when nothing was measured."""
        available = self.span_s - self.held_s
        return self.idle_s / available if available > 0 else 0.0


@dataclass(slots=True)
class _Trials:
    """The trials of a campaign, event by event."""

    known: dict[int, Trial] = field(default_factory=dict[int, Trial])
    occupied: set[int] = field(default_factory=set[int])
    """Those that give the worker something to do: reduction does so too."""

    def take(self, event: ev.TrialEvent) -> None:
        """Let it happen."""
        if isinstance(event, ev.LateResult):
            return
        trial = self.known[event.trial_id] = trial_after(event, self.known)
        if trial.state in _OCCUPIED:
            self.occupied.add(trial.trial_id)
        else:
            self.occupied.discard(trial.trial_id)

    def leave_idle(self, spec: CampaignSpec) -> bool:
        """True when there is nothing to do and the budget has room for more."""
        return not self.occupied and len(self.known) < spec.budget.trials


def times(log: Sequence[ev.Event], spec: CampaignSpec) -> Times:
    """The times of one campaign, from its whole log."""
    log = _until_the_end(log)
    starts = [event.at for event in log if isinstance(event, ev.Started)]
    results = [event.at for event in log if isinstance(event, (ev.Measured, ev.Invalidated))]
    first, last = (starts[0], results[-1]) if starts and results else (0.0, 0.0)
    idle = recovery = held = 0.0
    campaign, unknown = CampaignState(), False
    trials = _Trials()
    for event, following in pairwise(log):
        if isinstance(event, ev.TrialEvent):
            trials.take(event)
        else:  # not the whole state at each event: that would copy all trials each time
            campaign = fold([event], campaign)
        if isinstance(event, ev.InstrumentChanged):
            unknown = event.state in ("unknown", "recovering", "fault")
        seconds = max(0.0, min(following.at, last) - max(event.at, first))
        if campaign.status in _HELD:
            held += seconds
        elif unknown:
            recovery += seconds
        elif campaign.status is CampaignStatus.RUNNING and trials.leave_idle(spec):
            idle += seconds
    return Times(
        wall_s=log[-1].at - log[0].at if log else 0.0,
        instrument_busy_s=_busy(log),
        idle_s=idle,
        recovery_s=recovery,
        held_s=held,
        span_s=max(0.0, last - first),
    )


def _until_the_end(log: Sequence[ev.Event]) -> Sequence[ev.Event]:
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
