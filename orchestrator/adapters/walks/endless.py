"""Interrupts a lab's code that does not end by itself."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Endless(BaseException):
    """A lab's code has not ended by itself. It goes through code that goes on after any error."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the code inside when it takes longer, also a loop without a message.

    An alarm that the process has set for itself is put off meanwhile. For the main thread only.
    """

    def interrupt(*_: Any) -> None:
        raise Endless(f"{seconds:g} s and no end")

    before = signal.signal(signal.SIGALRM, interrupt)
    alarm = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *alarm)
