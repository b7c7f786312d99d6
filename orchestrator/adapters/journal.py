"""The journal of an instrument: each command of the present attempt, written before it is given.

Its file says what a worker that died may have done. Lines that only say where something was sent
are left to the operating system, which outlives the worker; what staging is about to change is on
disk before it is changed, so that even after a power cut it can be put back.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.durable import make_folder
from orchestrator.adapters.plain import to_json
from orchestrator.domain.errors import PlanFailed
from orchestrator.ports import Traces


class Journal:
    """Writes one attempt's commands over those of the attempt before.

    Args:
        path: the instrument's journal.
        about: ``campaign_id``, ``trial_id``, ``attempt`` and ``fence`` of the attempt, and
            ``documents``, its document file.

    Raises:
        PlanFailed: it cannot be written, so nothing may be commanded.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path = path
        try:
            make_folder(path.parent)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._not_written(error) from error
        self._write(about, durable=False)

    def note(self, command: str, device: str, **details: Any) -> None:
        """Write a command down. What it is about to change (``staged``) is durable afterwards.

        Raises:
            PlanFailed: it cannot be written, so the command must not be given.
        """
        entry = {"command": command, "device": device, **details}
        self._write(entry, durable=bool(details.get("staged")))

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _write(self, entry: Mapping[str, Any], *, durable: bool) -> None:
        try:
            self._file.write(to_json(entry).encode() + b"\n")
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> PlanFailed:
        text = f"the journal {self._path} cannot be written: {error.strerror}"
        return PlanFailed(text, "documents_not_saved")


def read_traces(path: Path) -> Traces | None:
    """What the journal tells; None when there is none, or when it is damaged at its beginning.

    A last line that was not written to its end counts for nothing: its command was not given.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
        about, *entries = [json.loads(line) for line in lines]
        return Traces(
            campaign_id=about["campaign_id"],
            trial_id=about["trial_id"],
            attempt=about["attempt"],
            fence=about["fence"],
            documents=about["documents"],
            commands=tuple(f"{one['command']} {one['device']}" for one in entries),
            setpoints={name: to for one in entries for name, to in one.get("to", {}).items()},
            staged=_staged(entries),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _staged(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What staging has changed and nothing has put back, in the order to put it back."""
    found: dict[str, dict[str, Any]] = {}
    for one in entries:
        if one["command"] == "stage":
            found[one["device"]] = one.get("staged", {})
        elif one["command"] == "unstaged":
            found.pop(one["device"], None)
    kept = [item for signals in found.values() for item in signals.items()]
    return dict(reversed(kept))
