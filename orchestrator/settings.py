"""One tree of settings: from ``LABWRIGHT_*`` in the environment, then the command line.

A plain dataclass: importing pydantic-settings would cost every verb a quarter of a second.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from orchestrator.domain.errors import Unusable

PREFIX = "LABWRIGHT_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ between a laptop, a test and a beamline. All times in seconds."""

    data_dir: Path = Path("labwright-data")
    """Folder of everything that Labwright keeps."""
    redis_url: str | None = None
    """An existing server; None starts one of our own inside the data folder."""
    lab: str = "lab"
    """Prefix of all keys, so that several labs may share one server."""
    allow_unsafe_server: bool = False
    """True to use a server that may lose data; for tests."""
    lease_s: float = 30.0
    """Seconds that a lease lasts without renewal."""
    beat_s: float = 5.0
    """Seconds between renewals."""
    hung_s: float = 120.0
    """How long after its deadline a worker may still come to an end by itself; then it is hung."""
    ledger_patience_s: float = 30.0
    """How long a process waits for a server that does not answer."""
    connect_timeout_s: float = 10.0
    """Longest time that the devices may take to connect."""
    plan_deadline_s: float = 3600.0
    """Longest time one plan may take before it is aborted."""
    suggestion_deadline_s: float = 60.0
    """Longest time the instrument may wait for a suggestion, at lookahead 1 or more."""
    time_compression: float | None = None
    """Lab seconds that pass on a twin in one second; None takes the twin's own."""
    log_level: str = "WARNING"
    """Least level of what goes into the log files."""

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """The settings of this process; ``given`` ones come before the environment.

        Raises:
            Unusable: a variable whose value cannot be used; the message names it.
        """
        found = {
            field.name: _read(PREFIX + field.name.upper(), str(field.type))
            for field in fields(cls)
            if PREFIX + field.name.upper() in os.environ
        }
        return replace(cls(), **{**found, **given})


def _read(variable: str, kind: str) -> Any:
    text = os.environ[variable]
    if kind.startswith("bool"):
        if text.lower() not in ("0", "1", "true", "false"):
            raise Unusable(f"{variable}={text!r} must be 1 or 0")
        return text.lower() in ("1", "true")
    if not kind.startswith("float"):
        return Path(text) if kind == "Path" else text
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise Unusable(f"{variable}={text!r} must be a number above 0")
    return seconds
