"""Process variables and dynamics of an instrument whose measurements come from a table."""

import math
from pathlib import Path

from simulators.detector import TriggeredChannels
from simulators.noise import TriggerNoise
from simulators.pv import Instrument, PutRefused, Pv, Sleep
from simulators.setpoint import SetpointPairs
from simulators.table.emulator import Emulator
from simulators.table.errors import BadTable
from simulators.table.header import Header, read_header
from simulators.table.reading import Table, read_table
from simulators.table.selector import SelectorPair

RESOLUTION = 1000.0
"""A readback is within its range divided by this when it counts as there."""


class TableInstrument:
    """Setpoints for the parameters, and a triggered detector with a channel for each outcome.

    A measurement is a pure function of the seed, the setpoints (as snapped by the readbacks), and
    how many triggers went before since a setpoint was last put. Where the data do not reach, the
    trigger is refused, and a PV says why.

    Args:
        twin: the table, and what was made of it.
        seed: of the measurement noise.
        sleep: waits for lab time.
    """

    def __init__(self, twin: "TableTwin", seed: int, sleep: Sleep) -> None:
        self._twin = twin
        self._noise = TriggerNoise(seed)
        header = twin.header
        self._setpoints = setpoints = SetpointPairs(twin.limits, on_set=self._begin_anew)
        self._selectors = {
            name: SelectorPair(
                f"{header.prefix}:{name.upper()}",
                choices,
                what=name.replace("_", " "),
                change_s=header.parameters[name].settle_s,
                on_set=self._begin_anew,
            )
            for name, choices in header.choices.items()
        }
        for name, (low, high) in twin.limits.items():
            if name in self._selectors:
                continue
            setpoints.add(
                name,
                f"{header.prefix}:{name.upper()}",
                start=(low + high) / 2.0,
                unit=header.parameters[name].unit,
                tolerance=(high - low) / RESOLUTION,
                tau=header.parameters[name].settle_s / math.log(RESOLUTION),
            )
        self._message = Pv(
            f"{header.prefix}:DETECTOR:MESSAGE", "", "", "why the last trigger was refused"
        )
        detector = TriggeredChannels(
            f"{header.prefix}:DETECTOR",
            channels={
                name.upper(): (outcome.unit, f"{name}, emulated from the table")
                for name, outcome in header.outcomes.items()
            },
            sample=self._sample,
            run_time=header.run_time_s,
            sleep=sleep,
            what="detector",
        )
        chosen = [pv for one in self._selectors.values() for pv in one.pvs]
        self.pvs = (*setpoints.pvs, *chosen, *detector.pvs, self._message)

    def step(self, seconds: float) -> bool:
        """Let so much lab time pass; True while a readback still moves."""
        for one in self._selectors.values():
            one.step(seconds)
        moves = self._setpoints.step(seconds)
        return moves or any(one.moving for one in self._selectors.values())

    def _begin_anew(self) -> None:
        self._noise.restart()
        self._message.post("")

    def _sample(self) -> list[float]:
        found = self._setpoints.readbacks
        found |= {name: one.readback for name, one in self._selectors.items()}
        settings = [found[name] for name in self._twin.header.parameters]
        emulator = self._twin.emulator
        distance = emulator.distance(settings)
        if distance > emulator.reach:
            # An EPICS string has 39 characters.
            far = f"nearest data {distance:.3g} away, reach {emulator.reach:.3g}"
            self._message.post(
                far if math.isfinite(distance) else "no data of these choices together"
            )
            raise PutRefused(str(self._message.value))
        self._message.post("")
        true = emulator.evaluate(settings)
        noise = self._noise.draw(settings, len(true))
        return [
            value + quality.noise_sd * z
            for value, quality, z in zip(true, emulator.quality, noise, strict=True)
        ]


class TableTwin:
    """A twin made from a table, in the place of a twin's `instrument` module.

    Args:
        file: the table.
        header_file: its header.

    Raises:
        BadTable: naming the file, column and row of what is wrong.
    """

    TIME_COMPRESSION = 600.0
    """Lab seconds per wall second, unless the server is told otherwise."""

    def __init__(self, file: Path, header_file: Path) -> None:
        self.file = file
        if not file.exists():
            raise BadTable(f"there is no table {file}")
        self.header = read_header(header_file, file)
        self.table = read_table(file, self.header)
        self.limits = limits(self.header, self.table)
        self.emulator = Emulator(
            self.table.x, self.table.y, self.header.emulator, names=self.header.names
        )

    def create(self, seed: int, sleep: Sleep) -> Instrument:
        """The instrument that the server serves."""
        return TableInstrument(self, seed, sleep)


def limits(header: Header, table: Table) -> dict[str, tuple[float, float]]:
    """Limits of each parameter's setpoint: those of the header, else all values of the column.

    Those of a choice are the numbers of its first and last position.
    """
    return {
        name: about.limits or (float(column.min()), float(column.max()))
        for (name, about), column in zip(header.parameters.items(), table.x.T, strict=True)
    }
