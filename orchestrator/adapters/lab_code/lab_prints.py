"""What a lab's code prints, on standard error and labelled: standard output is for answers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import RawIOBase, TextIOWrapper
from typing import IO, Any, cast

LABEL = "printed by the lab's code: "


class _Lines(RawIOBase):
    """Tells each line once: one that comes again, with each trial say, is no news."""

    def __init__(self) -> None:
        self._begun = b""
        self._told: set[bytes] = set()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any, /) -> int:
        """Keep what has no end of line yet; tell the rest."""
        added = bytes(content)
        *lines, self._begun = (self._begun + added).split(b"\n")
        for line in lines:
            self._tell(line)
        return len(added)

    def flush(self) -> None:
        """Tell what has no end of line."""
        if not self.closed:
            self._tell(self._begun)
            self._begun = b""

    def _tell(self, line: bytes) -> None:
        if line and line not in self._told:
            self._told.add(line)
            sys.stderr.write(f"{LABEL}{line.decode(errors='replace')}\n")


def lab_prints() -> TextIOWrapper:
    """What takes the place of ``sys.stdout``, with all that a script may ask of that."""
    return TextIOWrapper(cast(IO[bytes], _Lines()), "utf-8", write_through=True)


@contextmanager
def prints_told() -> Iterator[None]:
    """What is printed inside goes to standard error.

    So does later what keeps this ``sys.stdout``, such as a log handler that is made inside.
    """
    prints = lab_prints()
    try:
        with redirect_stdout(prints):
            yield
    finally:
        prints.flush()
