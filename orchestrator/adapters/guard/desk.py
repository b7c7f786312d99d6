"""Where a plan's question waits for a person: put by the plan, answered from the worker's thread.

The RunEngine's own ``input`` reads from a terminal that a worker does not have.
"""

import time
from collections.abc import Generator
from typing import Any

from bluesky.utils import Msg

from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.one_line import one_line
from orchestrator.ports import Ask

LOOK_S = 0.1
"""Seconds between two looks for the answer; the plan can be interrupted at each."""


class Desk:
    """Takes one question after another from one plan. Made with False, it takes none."""

    def __init__(self, *, attended: bool) -> None:
        self._attended = attended
        self._number = 0
        self._text: str | None = None
        self._answer: str | None = None

    @property
    def is_waiting(self) -> bool:
        """True while the plan waits for an answer."""
        return self._text is not None and self._answer is None

    def put(self, message: Msg) -> Generator[Msg, Any, str]:
        """What stands for an ``input`` message: waits, and gives the answer.

        Raises:
            PlanFailed: nobody attends.
        """
        if not self._attended:
            raise PlanFailed("the plan asks for a person ('input'), but nobody attends")
        given = message.args[0] if message.args else message.kwargs.get("prompt")
        self._number, self._answer = self._number + 1, None
        self._text = one_line(str(given or "")) or "go on?"
        while self._answer is None:
            yield Msg("sleep", None, LOOK_S)
        self._text = None
        return self._answer

    def attend(self, ask: Ask) -> None:
        """Put the open question, if there is one, to people; take their answer.

        Raises:
            PlanFailed: by ``ask``, when nobody will answer.
        """
        if (text := self._text) is not None and self._answer is None:
            self._answer = ask(self._number, text)


class Attendance:
    """Sees to what one plan asks while it is followed."""

    def __init__(self, desk: Desk, ask: Ask | None) -> None:
        self._desk = desk
        self._ask = ask
        self._looked = time.monotonic()

    def waited_s(self) -> float:
        """Seconds since the last look that the plan spent waiting for a person: not its own."""
        passed, self._looked = time.monotonic() - self._looked, time.monotonic()
        return passed if self._desk.is_waiting else 0.0

    def trouble(self) -> PlanFailed | None:
        """Put what the plan asks to people; why the plan must end when nobody will answer."""
        try:
            if self._ask is not None:
                self._desk.attend(self._ask)
        except PlanFailed as unanswered:
            return unanswered
        return None


class Presumed(Desk):
    """Answers at once, with nothing: for a plan that is only looked at."""

    def __init__(self) -> None:
        super().__init__(attended=True)

    def put(self, message: Msg) -> Generator[Msg, Any, str]:
        """The empty answer."""
        yield Msg("null")
        return ""
