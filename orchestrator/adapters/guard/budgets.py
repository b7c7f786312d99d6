"""What an instrument has used up: doses, reagents. It outlives the worker and its campaigns.

An amount is on disk before the command that spends it: after a crash too much may be counted,
never too little. A line ``{"budget": NAME, "refilled": true}``, which `labwright refill` adds,
begins the count anew.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.durable import make_folder, sync_folder
from orchestrator.domain.errors import PlanFailed, Unusable, near
from orchestrator.domain.spec import InstrumentSpec, SpendSpec

SPENT = "budget_spent"
"""The reason of an attempt that would have needed more than is left."""


class Budgets:
    """The budgets of one instrument.

    Args:
        data_dir: the data folder; a file in it has a line of JSON for each amount.
        instrument: the instrument file.
    """

    def __init__(self, data_dir: Path, instrument: InstrumentSpec) -> None:
        self._path = data_dir / "budgets" / f"{instrument.name}-{instrument.mode}.jsonl"
        self._instrument = instrument.name
        self._specs = instrument.budgets
        self._spent = dict.fromkeys(self._specs, 0.0)
        self._needed = dict.fromkeys(self._specs, 0.0)
        self._size = 0
        """Of the file when it was read, or written here, last."""
        self._look()

    def left(self, name: str) -> float:
        """What may still be spent, in the budget's unit."""
        return self._specs[name].limit - self._spent[name]

    def lack(self) -> str | None:
        """Why no trial may start: too little is left; None when there is enough of all."""
        self._look()
        short = [self._short(name) for name in self._specs]
        return "; ".join(filter(None, short)) or None

    def spend(self, path: str, spends: Mapping[str, SpendSpec], command: str, size: float) -> None:
        """Write down what a command of a device will take, before it is given.

        Args:
            path: dotted name of the device.
            spends: of the device.
            command: ``set``, ``trigger`` or ``kickoff``.
            size: of the value that it is set to; 0 for a command without one.

        Raises:
            PlanFailed: that would be more than is left, or it cannot be written.
        """
        self._look()
        amounts = _amounts(spends, command, size)
        for name, amount in amounts.items():
            if self._spent[name] + amount > self._specs[name].limit:
                self._needed[name] = amount
                unit = self._specs[name].unit
                needs = f"{command} of {path} takes {amount:g} {unit}".rstrip()
                raise PlanFailed(f"{needs}, but {self._rest(name)}", SPENT)
        for name, amount in amounts.items():
            if amount:
                self._write({"budget": name, "amount": amount, "device": path})
                self._spent[name] += amount

    def refill(self, name: str, by: str) -> str:
        """Begin the count of a budget anew; gives the sentence to say.

        Args:
            name: of the budget.
            by: who says that it is there again.

        Raises:
            Unusable: there is no such budget.
            PlanFailed: it cannot be written.
        """
        if name not in self._specs:
            raise Unusable(
                f"instrument {self._instrument!r} has no budget {name!r}{near(name, self._specs)}"
            )
        before = self._part(name)
        self._write({"budget": name, "refilled": True, "by": by})
        return f"budget {name} is refilled; {before} was left"

    def _look(self) -> None:
        """Count anew when somebody else has written to the file."""
        size = self._path.stat().st_size if self._path.exists() else 0
        if size == self._size:
            return
        self._size, self._spent = size, dict.fromkeys(self._specs, 0.0)
        for entry in _entries(self._path):
            name = entry.get("budget")
            if name in self._spent:
                refilled = entry.get("refilled") is True
                self._spent[name] = (
                    0.0 if refilled else self._spent[name] + entry.get("amount", 0.0)
                )

    def _short(self, name: str) -> str | None:
        spec, left = self._specs[name], self.left(name)
        if left <= 0 or left < max(spec.reserve, self._needed[name]):
            return f"{self._rest(name)}; once it is refilled: labwright refill {name}"
        return None

    def _rest(self, name: str) -> str:
        return f"{self._part(name)} is left of budget {name}"

    def _part(self, name: str) -> str:
        spec = self._specs[name]
        return f"{max(self.left(name), 0.0):g} of {spec.limit:g} {spec.unit}".rstrip()

    def _write(self, entry: Mapping[str, Any]) -> None:
        told = json.dumps({"at": time.time(), **entry}).encode()
        try:
            make_folder(self._path.parent)
            with self._path.open("ab") as file:
                # On a line of its own: after a power cut the last one may have no end.
                self._size += file.write(b"\n" + told + b"\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except OSError as error:
            text = f"{self._path}, which counts what is spent, cannot be written: {error}"
            raise PlanFailed(text, "documents_not_saved") from error


class Tally:
    """Counts what a plan would take, without a limit: for a plan that is only looked at."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        """By budget, in its unit."""

    def spend(self, path: str, spends: Mapping[str, SpendSpec], command: str, size: float) -> None:
        """As Budgets.spend, but it only counts."""
        for name, amount in _amounts(spends, command, size).items():
            self.spent[name] = self.spent.get(name, 0.0) + amount


def _amounts(spends: Mapping[str, SpendSpec], command: str, size: float) -> dict[str, float]:
    return {
        name: one.set + one.per_unit * size if command == "set" else one.trigger
        for name, one in spends.items()
    }


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """All amounts; a line that was not written to its end was never followed by its command."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry
