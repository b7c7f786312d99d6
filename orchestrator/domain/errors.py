"""Every error that Labwright raises on purpose.

LabError
├── SpecError             a campaign or instrument file is wrong; lists every problem found
├── EnvelopeError         a proposal lies outside the safety envelope
├── IllegalTransition     a trial cannot go from its state to the one asked for
├── OptimizerError        no proposal could be made
│   └── SuggestionLate    the suggestion missed its deadline; a fallback point serves
├── LedgerError           the ledger refused an operation
│   ├── LeaseLost         the caller no longer holds the instrument
│   ├── LogWentBack       the log has lost events that were read before
│   ├── LedgerUnavailable the server does not answer
│   │   └── LedgerFull    it cannot save what it is told: no room
│   └── UnsafeServer      the server's persistence settings could lose data
├── ExecutionError        an attempt at a trial did not deliver data
│   ├── DeviceUnavailable devices that do not connect, each with its reason
│   ├── PlanFailed        the plan ended with an error
│   └── PlanAborted       a person ordered abort or halt while the plan ran
├── ReductionError        the data are safe, but the reducer gave no usable outcomes
├── NotDelivered          a notice did not reach the people on duty
└── Unusable              a port, folder, process or option that cannot be used as asked
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of a process says; stable for scripts."""

    DONE = 0
    FAILED = 1
    """The campaign failed, or nothing was measured."""
    WRONG = 2
    """Wrong input or an unusable resource; the message says what to change."""
    NEEDS_PERSON = 3
    INTERRUPTED = 130


class LabError(Exception):
    """Base of all errors raised on purpose; its text is meant for the person at the screen."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file: where, what was found, what would be right."""

    place: str
    """Dotted path of the key, such as ``parameters.temperature.range``; empty for the file."""
    message: str
    line: int | None = None
    """Line in the file, from 1; None when the place has no line of its own."""


def near(name: str, known: Iterable[str]) -> str:
    """A closing half-sentence that helps with a wrong name: near names, or all there are."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; there are {names}" if names else ""


class SpecError(LabError):
    """A file that cannot be used; ``problems`` lists all that is wrong with it."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(self._text(problem) for problem in self.problems))

    def _text(self, problem: Problem) -> str:
        line = f":{problem.line}" if problem.line is not None else ""
        place = f" {problem.place}:" if problem.place else ""
        return f"{self.file}{line}:{place} {problem.message}"


class EnvelopeError(LabError):
    """A proposal outside the envelope; ``violations`` has one sentence for each breach."""

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("outside the safety envelope: " + "; ".join(self.violations))


class IllegalTransition(LabError):
    """A trial was asked to go where the state machine has no arrow."""


class OptimizerError(LabError):
    """No proposal could be made."""


class SuggestionLate(OptimizerError):
    """The suggestion missed its deadline."""


class LedgerError(LabError):
    """The ledger refused an operation."""


class LeaseLost(LedgerError):
    """The caller no longer holds the instrument; it must stop writing."""


class LogWentBack(LedgerError):
    """The log has lost events that were read before: its server came back without them."""


class LedgerUnavailable(LedgerError):
    """The ledger's server does not answer."""


class LedgerFull(LedgerUnavailable):
    """The log cannot be saved: no room on the server's disk or in its memory."""


class UnsafeServer(LedgerError):
    """The server's persistence settings could lose data; the message names the line to change."""


class ExecutionError(LabError):
    """An attempt at a trial did not deliver data."""

    def __init__(self, message: str, reason: str = "plan_failed") -> None:
        super().__init__(message)
        self.reason = reason
        """A short fixed word, such as ``device_timeout`` or ``bad_reading``."""


class DeviceUnavailable(ExecutionError):
    """Devices that could not be connected; the message lists all of them."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "device_unavailable")


class PlanFailed(ExecutionError):
    """The plan ended with an error."""


class PlanStopped(PlanFailed):
    """Somebody has ended the plan at the instrument: only a person can say what follows."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "stopped_by_person")


class PlanAborted(ExecutionError):
    """A person ordered abort or halt while the plan ran."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "aborted")


class ReductionError(LabError):
    """The reducer raised, or gave outcomes that cannot be used."""


class NotDelivered(LabError):
    """A notice was not taken by the server that should carry it."""


class Unusable(LabError):
    """A port, folder, process or option that cannot be used as asked (exit code 2)."""


def told(error: BaseException) -> str:
    """An error in words: our own speak for themselves, all others need the name of their class."""
    return str(error) if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
