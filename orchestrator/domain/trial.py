"""A trial: one proposed and executed point, and the states it may go through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.domain.errors import IllegalTransition

ParameterValue = float | int | str | bool


class TrialState(StrEnum):
    """Where a trial stands. Starred states are terminal: nothing leaves them.

    ::

        queued ─► leased ─► running ─► acquired ─► measured*
           ▲        │          │           ├─────► invalid*     a validity rule says no
           ├────────┘ lease    │           └─────► unreduced ─► measured* | invalid*
           │          over,    │                   the reducer failed: reduce again,
           │          unmoved  │                   never measure again
           ├───────────────────┤ attempt failed, attempts left
           │                   ├─► abandoned*      attempts spent
           │                   ├─► cancelled*      aborted by a person
           │                   └─► suspect         its worker died after moving
           │                          ├─► acquired     durable documents were found
           ├──────────────────────────┤ none found, crashes left
           │                          └─► abandoned* | cancelled*
           └─► cancelled* | abandoned*
    """

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    SUSPECT = "suspect"
    ACQUIRED = "acquired"
    UNREDUCED = "unreduced"
    MEASURED = "measured"
    INVALID = "invalid"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"


_S = TrialState

TERMINAL = frozenset({_S.MEASURED, _S.INVALID, _S.ABANDONED, _S.CANCELLED})
UNDER_WAY = frozenset(_S) - TERMINAL - {_S.UNREDUCED}
"""What goes on by itself. An unreduced trial does not: its reducer has failed."""

ARROWS: Mapping[TrialState, frozenset[TrialState]] = {
    _S.QUEUED: frozenset({_S.LEASED, _S.CANCELLED, _S.ABANDONED}),
    _S.LEASED: frozenset({_S.RUNNING, _S.QUEUED, _S.ABANDONED, _S.CANCELLED}),
    _S.RUNNING: frozenset({_S.ACQUIRED, _S.QUEUED, _S.ABANDONED, _S.CANCELLED, _S.SUSPECT}),
    _S.SUSPECT: frozenset({_S.ACQUIRED, _S.QUEUED, _S.ABANDONED, _S.CANCELLED}),
    _S.ACQUIRED: frozenset({_S.MEASURED, _S.INVALID, _S.UNREDUCED}),
    _S.UNREDUCED: frozenset({_S.MEASURED, _S.INVALID, _S.UNREDUCED}),
    **{state: frozenset[TrialState]() for state in TERMINAL},
}
"""From each state, the states that may follow."""


def check_transition(trial_id: int, old: TrialState, new: TrialState) -> None:
    """Pass when ``old -> new`` is an arrow of the state machine.

    Raises:
        IllegalTransition: it is not.
    """
    if new not in ARROWS[old]:
        raise IllegalTransition(f"trial {trial_id} cannot go from {old} to {new}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Something measured."""

    mean: float
    sem: float | None = None
    """Standard error of the mean, in the outcome's unit; None when unknown, 0 when exact."""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a running plan wants to know of a person."""

    question: str
    """Its id, unique in the campaign."""
    text: str
    asked_at: float
    """Unix time in seconds."""


_PENDING = frozenset({_S.QUEUED, _S.LEASED, _S.RUNNING, _S.SUSPECT, _S.ACQUIRED, _S.UNREDUCED})
"""States after which outcomes may still come."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One earlier trial, as the optimizer is told of it."""

    trial_id: int
    parameters: Mapping[str, ParameterValue]
    outcomes: Mapping[str, Outcome] | None
    """None while it is pending, or when it gave nothing that may be told; see ``pending``."""
    pending: bool
    """True when its outcomes may still come."""


@dataclass(frozen=True, slots=True)
class Trial:
    """All that the ledger says about one trial. Times are Unix seconds; None means not yet."""

    trial_id: int
    state: TrialState
    parameters: Mapping[str, ParameterValue]
    source: str
    """Who proposed it: initial, model, fallback, sentinel, realignment, person or agent."""
    basis: str
    """Id of the last ledger event that the proposal knew; ``0`` when it knew none."""
    seed: int
    """Seed of the random draws behind this proposal."""
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    """How the proposal was made: method, software versions."""
    told: int = 0
    """How many measured trials the proposal knew."""
    suggestion_s: float = 0.0
    """Seconds that the optimizer took for it; 0 for a point that was there at once."""
    asked_for: int | None = None
    """Earlier trial that the optimizer was asked for; None: for this one."""
    revision: int = 0
    """How often its parameters were replaced while it was still queued."""
    attempts: int = 0
    """Times it was started."""
    crashes: int = 0
    """Attempts ended by a condition, or the death of a process, a server or an IOC."""
    outcomes: Mapping[str, Outcome] = field(default_factory=dict[str, Outcome])
    run_uid: str | None = None
    documents: str | None = None
    """Document file that counts, relative to the data folder; None until there is one."""
    reason: str | None = None
    """Why it last failed, was refused, invalidated or cancelled."""
    worker: str | None = None
    fence: int | None = None
    question: Question | None = None
    """What its plan waits to be told by a person; None when it waits for nobody."""
    approved_by: str | None = None
    """Who let it start; None when nobody has since its last start or change."""
    proposed_at: float | None = None
    started_at: float | None = None
    acquired_at: float | None = None
    measured_at: float | None = None
    observation: Observation = field(init=False, repr=False, compare=False)
    """What an optimizer is told of it: made once, because every proposal asks it of every trial."""

    def __post_init__(self) -> None:
        """Make the observation."""
        is_measured = self.state is TrialState.MEASURED
        told = Observation(
            trial_id=self.trial_id,
            parameters=self.parameters,
            outcomes=self.outcomes if is_measured else None,
            pending=self.state in _PENDING,
        )
        object.__setattr__(self, "observation", told)

    @property
    def measuring_s(self) -> float | None:
        """Seconds from the newest start to the data being safe; None while either is missing."""
        if self.started_at is None or self.acquired_at is None:
            return None
        return self.acquired_at - self.started_at if self.acquired_at >= self.started_at else None

    @property
    def is_terminal(self) -> bool:
        """True when nothing can change it any more."""
        return self.state in TERMINAL

    @property
    def is_revisable(self) -> bool:
        """True while its parameters may still be replaced: it waits, and was never started."""
        return self.state is TrialState.QUEUED and self.attempts == 0


def without_model(details: Mapping[str, object]) -> str:
    """Why a proposal with these details is none of a model; empty when that is not known."""
    return str(details.get("reason") or details.get("because") or "")
