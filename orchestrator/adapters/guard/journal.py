"""The journal of an instrument: each command of the present attempt, written before it is given.

Its file says what a worker that died may have done. Lines that only say where something was sent
are left to the operating system, which outlives the worker; what staging is about to change is on
disk before it is changed, so that even after a power cut it can be put back.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.durable import make_folder, sync_folder
from orchestrator.adapters.documents.plain import to_json
from orchestrator.domain.errors import PlanFailed
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.ports import Traces


def journal_file(data_dir: Path, instrument: InstrumentSpec) -> Path:
    """The journal of an instrument: that of the hardware and that of its twin are two."""
    return data_dir / "journal" / f"{instrument.name}-{instrument.mode}.jsonl"


class Journal:
    """Writes one attempt's commands over those of the attempt before.

    Args:
        path: the instrument's journal.
        about: ``campaign_id``, ``trial_id``, ``attempt`` and ``fence`` of the attempt, and
            ``documents``, its document file.
        durable: True when even a power cut must not hide that a first command was given.

    Raises:
        PlanFailed: it cannot be written, so nothing may be commanded.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], *, durable: bool = False) -> None:
        self._path = path
        self._is_first = durable
        try:
            make_folder(path.parent)
            is_new = not path.exists()
            self._file = path.open("wb")
            if is_new:
                sync_folder(path.parent)
        except OSError as error:
            raise self._not_written(error) from error
        self._write(about, durable=False)

    def note(self, command: str, device: str, **details: Any) -> None:
        """Write a command down. What it is about to change (``staged``) is durable afterwards.

        Raises:
            PlanFailed: it cannot be written, so the command must not be given.
        """
        entry = {"command": command, "device": device, **details}
        self._write(entry, durable=self._is_first or bool(details.get("staged")))
        self._is_first = False

    def close(self) -> None:
        """Write no more."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, entry: Mapping[str, Any], *, durable: bool) -> None:
        try:
            self._file.write(to_json(entry).encode() + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())
        except (OSError, ValueError) as error:  # ValueError: it was closed
            raise self._not_written(error) from error

    def _not_written(self, error: Exception) -> PlanFailed:
        text = f"the journal {self._path} cannot be written: {error}"
        return PlanFailed(text, "documents_not_saved")


def accept(path: Path) -> None:
    """Mark that nothing that the journal tells of is to be put back any more; none: nothing is."""
    if path.exists():
        with path.open("ab") as file:
            file.write(to_json({"accepted": True}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_traces(path: Path) -> Traces | None:
    """What the journal tells; None when there is none, or when it is damaged at its beginning.

    What comes after a line that cannot be read counts for nothing. A last line without its end was
    not written before its command was given, for the command waits for that.
    """
    try:
        about, *entries = _entries(path)
        commands = [one for one in entries if "command" in one]
        return Traces(
            campaign_id=about["campaign_id"],
            trial_id=about["trial_id"],
            attempt=about["attempt"],
            fence=about["fence"],
            documents=about["documents"],
            commands=tuple(f"{one['command']} {one['device']}" for one in commands),
            setpoints={name: to for one in commands for name, to in one.get("to", {}).items()},
            staged=_staged(entries),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _entries(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _staged(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What staging has changed and nothing has put back, in the order to put it back."""
    found: dict[str, dict[str, Any]] = {}
    for one in entries:
        if "accepted" in one:
            found.clear()
        elif one["command"] == "stage":
            found.setdefault(one["device"], one.get("staged", {}))
        elif one["command"] == "unstaged":
            found.pop(one["device"], None)
    kept = [item for signals in found.values() for item in signals.items()]
    return dict(reversed(kept))
