"""Readings that cannot be data: NaN, infinite, missing, or of another shape than announced."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from orchestrator.adapters.documents.run_documents import page_rows


class ReadingCheck:
    """Watches the hinted scalar numbers of all streams."""

    def __init__(self) -> None:
        self.problem: str | None = None
        """The first bad reading in one sentence; None when all were good."""
        self._keys: dict[str, tuple[str, ...]] = {}

    def look(self, name: str, document: Mapping[str, Any]) -> None:
        """Look at one document."""
        if name == "descriptor":
            self._keys[document["uid"]] = _hinted_scalars(document)
        elif name == "event":
            self._check(document["descriptor"], document["seq_num"], document["data"])
        elif name == "event_page":
            for seq_num, _, data in page_rows(document):
                self._check(document["descriptor"], seq_num, data)

    def _check(self, descriptor: str, seq_num: int, data: Mapping[str, Any]) -> None:
        if self.problem is not None:
            return
        for key in self._keys[descriptor]:
            value = data.get(key)
            if getattr(value, "shape", None) == ():
                value = value.item()  # pyright: ignore[reportOptionalMemberAccess]
            if not isinstance(value, Real) or not math.isfinite(value):
                self.problem = f"{key} reads {value!r} in event {seq_num}"
                return


def _hinted_scalars(descriptor: Mapping[str, Any]) -> tuple[str, ...]:
    hinted = {
        key for about in descriptor.get("hints", {}).values() for key in about.get("fields", ())
    }
    return tuple(
        key
        for key, about in descriptor["data_keys"].items()
        if key in hinted and about["dtype"] in ("number", "integer") and not about["shape"]
    )


def position(device: Any, reading: Mapping[str, Mapping[str, Any]]) -> float:
    """The readback in a reading: the key named as the device, else the first hinted one."""
    hints = getattr(device, "hints", None) or {}
    for key in (device.name, *hints.get("fields", ())):
        if key in reading:
            return float(reading[key]["value"])
    return math.nan
