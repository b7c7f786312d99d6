"""A file that remembers finished runs, a line of JSON for each: what is done is not done again."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class FinishedRuns:
    """The runs that are done.

    Args:
        file: where they are kept; None keeps them in memory alone.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._found: list[dict[str, Any]] = []
        if file is not None and file.exists():
            for line in file.read_text().splitlines():
                with contextlib.suppress(ValueError):  # a process may have died while it wrote it
                    self._found.append(json.loads(line))

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest run that has all of the key; None when there is none."""
        for found in reversed(self._found):
            if key.items() <= found.items():
                return found
        return None

    def add(self, found: dict[str, Any]) -> None:
        """Keep a run; once this returns, it is on disk."""
        self._found.append(found)
        if self._file is not None:
            with self._file.open("a") as file:
                is_torn = file.tell() and not self._file.read_bytes().endswith(b"\n")
                file.write("\n" * bool(is_torn) + json.dumps(found) + "\n")
                file.flush()
                os.fsync(file.fileno())
