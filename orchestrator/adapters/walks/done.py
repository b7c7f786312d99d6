"""The status of an order that is only noted, or carried out at once."""

from collections.abc import Callable
from typing import Any


class Done:
    """The status of what is done at once."""

    done = True
    success = True

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it at once."""
        callback(self)

    def exception(self, timeout: float | None = None) -> None:
        """There is none."""

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""
