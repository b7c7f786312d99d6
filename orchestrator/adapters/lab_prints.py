"""What a lab's code prints, on standard error and labelled: standard output is for answers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase

LABEL = "printed by the lab's code: "


class LabPrints(TextIOBase):
    """Takes the place of ``sys.stdout``. A line that comes again, with each trial, is told once."""

    def __init__(self) -> None:
        self._begun = ""
        self._told: set[str] = set()

    def write(self, text: str, /) -> int:
        """Keep what has no end of line yet; tell the rest."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def close(self) -> None:
        """Tell what has no end of line."""
        self._tell(self._begun)
        self._begun = ""

    def _tell(self, line: str) -> None:
        if line and line not in self._told:
            self._told.add(line)
            sys.stderr.write(f"{LABEL}{line}\n")


@contextmanager
def prints_told() -> Iterator[None]:
    """What is printed inside goes to standard error."""
    prints = LabPrints()
    try:
        with redirect_stdout(prints):
            yield
    finally:
        prints.close()
