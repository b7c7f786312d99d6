"""The file of finished labs: what is in it is not run again, unless anything of it has changed."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from tests.chaos.lab import Terms

HOME = Path(__file__).resolve().parents[2]
CODE = ("orchestrator", "plans", "devices", "simulators", "tests/chaos")


class Results:
    """Finished labs by their terms and by the code that ran them, the harness included.

    Args:
        file: one JSON object a line; None remembers nothing.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def known_or(self, terms: Terms, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is known of these terms; else runs them, and writes it down once they are done."""
        key = {**asdict(terms), "code": code_digest()}
        for line in self._lines():
            if line.get("key") == key:
                return line["found"]
        found = run()
        if self._file is not None:
            with self._file.open("a") as file:
                file.write(json.dumps({"key": key, "found": found}) + "\n")
        return found

    def _lines(self) -> Iterator[dict[str, Any]]:
        if self._file is None or not self._file.exists():
            return
        for line in self._file.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the machine may have died while it was written
                yield json.loads(line)


@cache
def code_digest() -> str:
    """Changes with any line of the code, the rates of the blows and the timings among them."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (HOME / folder).rglob("*.*")):
        if path.suffix in (".py", ".lua", ".yaml"):
            digest.update(f"{path.relative_to(HOME)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]
