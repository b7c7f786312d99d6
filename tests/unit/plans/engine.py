"""A bench whose detector sees any function of two axes, and a RunEngine that runs plans on it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from orchestrator.adapters.documents.run_documents import DocumentWriter, Run, read_runs
from simulators.soft.bench import Axis, Detector, SoftBench


class Bench(SoftBench):
    """``x`` in um, ``y`` in mm, ``det`` in counts, with seeded noise."""

    def __init__(self, function: Callable[[float, float], float], noise: float = 0.0) -> None:
        super().__init__("bench", None)
        random = np.random.default_rng(7)
        self.visited: list[tuple[float, float]] = []

        def see() -> float:
            at = (self.x.value, self.y.value)
            self.visited.append(at)
            return float(function(*at) + noise * random.standard_normal())

        self.x = Axis(self, "x", 0.0, (-100.0, 100.0))
        self.y = Axis(self, "y", 0.0, (-100.0, 100.0))
        self.det = Detector(self, "det", 0.0, see)
        for part, unit in ((self.x, "um"), (self.y, "mm"), (self.det, "counts")):
            self._give_unit(part, unit)

    def _give_unit(self, part: Any, unit: str) -> None:
        (key,) = part.describe().values()
        part.describe = lambda: {part.name: {**key, "units": unit}}


def run(plan: Any, folder: Path) -> list[Run]:
    """The runs of a plan, read back from its documents as a reducer gets them."""
    path = folder / "documents.jsonl"
    writer = DocumentWriter(path)
    engine = RunEngine({}, context_managers=[], during_task=None)
    try:
        engine(plan, writer.write)
    finally:
        writer.finish()
    return read_runs(path)


def documents(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """What ``run`` has saved."""
    lines = (folder / "documents.jsonl").read_text().splitlines()
    return [tuple(json.loads(line)) for line in lines]
