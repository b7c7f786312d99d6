"""Two axes and a detector that sees them, in one device: `bench.x`, `bench.y`, `bench.det`.

Benches with other axes and another function are made of the same parts.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ophyd.status import Status

from simulators.soft.model import BOUNDS, evaluate

Fault = Literal["hang", "fail", "nan"]

PARTS = ("x", "y", "det")


class SimulatedFault(Exception):
    """A part of the bench was told to fail."""


class Done:
    """The status of what was done before it was asked for; cheaper than one with a thread."""

    done = True
    success = True

    def add_callback(self, callback: Callable[[Any], None]) -> None:
        """Call it at once."""
        callback(self)

    def exception(self, timeout: float | None = None) -> None:
        """There is none."""

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""


class Faults:
    """Which part does what wrong now.

    Args:
        fixed: by name of the part; holds for good.
        path: a JSON file of the same form, looked at each time, so that another process can
            trip and clear a fault. An absent or empty file means none.
    """

    def __init__(self, fixed: Mapping[str, Fault], path: str | None) -> None:
        self._fixed = self._checked(fixed)
        self._path = Path(path) if path else None

    def of(self, part: str) -> Fault | None:
        """The fault of a part, None if it works."""
        if self._path is None:
            return self._fixed.get(part)
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            text = ""
        return (self._fixed | self._checked(json.loads(text or "{}"))).get(part)

    @staticmethod
    def _checked(faults: Mapping[str, Any]) -> dict[str, Fault]:
        for part, fault in faults.items():
            if part not in PARTS or fault not in ("hang", "fail", "nan"):
                raise ValueError(f"{part}: {fault} is no fault; x, y, det can hang, fail or nan")
        return dict(faults)


class SoftBench:
    """What all benches have in common: parts that act, and may fail to.

    Args:
        name: of the device; its parts are `{name}_{part}`.
        timeout_s: seconds after which an action fails, that hangs, for example; None never.
        faults: what goes wrong, by part; see `Bench`.
        fault_file: JSON file with further faults, read each time; see `Faults`.
    """

    parent = None

    def __init__(
        self,
        name: str,
        timeout_s: float | None,
        faults: Mapping[str, Fault] | None = None,
        fault_file: str | None = None,
    ) -> None:
        self.name = name
        self._faults = Faults(faults or {}, fault_file)
        self._timeout_s = timeout_s

    def fault(self, part: str) -> Fault | None:
        """What is wrong with a part now; None if it works."""
        return self._faults.of(part)

    def perform(self, part: str, seconds: float, effect: Callable[[], None]) -> Any:
        """Status of an action of a part that takes so long and then has its effect."""
        fault = self.fault(part)
        if fault is None and not seconds:
            effect()
            return Done()
        options: dict[str, Any] = {"timeout": self._timeout_s, "settle_time": seconds}
        status = Status(self, **options)
        if fault == "fail":
            status.set_exception(SimulatedFault(f"{self.name}.{part} was told to fail"))
        elif fault != "hang":
            effect()
            status.set_finished()
        return status


class Bench(SoftBench):
    """The soft instrument.

    Args:
        name: of the device; its parts are `{name}_x`, `{name}_y`, `{name}_det`.
        move_s: seconds of each move; 0 for none.
        read_s: seconds of each trigger; 0 for none.
        timeout_s: seconds after which a move or trigger fails, that hangs, for example; None never.
        faults: what goes wrong, by part (x, y, det): `hang` never ends, `fail` ends with
            an error and does not move, `nan` reads not-a-number.
        fault_file: JSON file with further faults, read each time; see `Faults`.
    """

    def __init__(
        self,
        *,
        name: str,
        move_s: float = 0.0,
        read_s: float = 0.0,
        timeout_s: float | None = 10.0,
        faults: Mapping[str, Fault] | None = None,
        fault_file: str | None = None,
    ) -> None:
        super().__init__(name, timeout_s, faults, fault_file)
        self.x = Axis(self, "x", move_s, BOUNDS["x"])
        self.y = Axis(self, "y", move_s, BOUNDS["y"])
        self.det = Detector(self, "det", read_s, self._branin)

    def _branin(self) -> float:
        return float(evaluate(x=self.x.value, y=self.y.value)["branin"])


class Part:
    """What axes and the detector have in common: one value that can be read.

    Args:
        bench: that it belongs to.
        part: its name there.
        seconds: that one action takes.
    """

    def __init__(self, bench: SoftBench, part: str, seconds: float) -> None:
        self.parent = bench
        self.name = f"{bench.name}_{part}"
        self._part = part
        self._seconds = seconds
        self.value = 0.0
        self._time = time.time()

    @property
    def hints(self) -> dict[str, list[str]]:
        """The value is worth showing."""
        return {"fields": [self.name]}

    def read(self) -> dict[str, Any]:
        """The value, or not-a-number under the fault `nan`."""
        broken = self.parent.fault(self._part) == "nan"
        return {self.name: {"value": math.nan if broken else self.value, "timestamp": self._time}}

    def describe(self) -> dict[str, Any]:
        """One number."""
        return {self.name: {"source": f"soft:{self.name}", "dtype": "number", "shape": []}}

    def read_configuration(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def post(self, value: float) -> None:
        """Take this value from now on."""
        self.value = value
        self._time = time.time()


class Axis(Part):
    """Moves within its limits, lowest and highest position."""

    def __init__(
        self, bench: SoftBench, part: str, seconds: float, limits: tuple[float, float]
    ) -> None:
        super().__init__(bench, part, seconds)
        self.limits = limits

    @property
    def position(self) -> float:
        """Where it is."""
        return self.read()[self.name]["value"]

    def check_value(self, value: float) -> None:
        """Pass when it may go there.

        Raises:
            ValueError: outside the limits or not finite.
        """
        low, high = self.limits
        if not low <= value <= high:  # False for NaN, too
            raise ValueError(f"{self.name}: {value} is outside {low} to {high}")

    def set(self, value: float) -> Any:
        """Go there; the status is done on arrival.

        Raises:
            ValueError: outside the limits or not finite.
        """
        self.check_value(value)
        return self.parent.perform(self._part, self._seconds, lambda: self.post(float(value)))

    def stop(self, *, success: bool = False) -> None:
        """Stay; there is nothing to stop."""


class Detector(Part):
    """Reads a function of where the axes are."""

    def __init__(
        self, bench: SoftBench, part: str, seconds: float, function: Callable[[], float]
    ) -> None:
        super().__init__(bench, part, seconds)
        self._function = function

    def trigger(self) -> Any:
        """Measure; the status is done when the value is there."""
        return self.parent.perform(self._part, self._seconds, lambda: self.post(self._function()))
