"""Devices within this process that read, move and acquire by the process variables of a twin."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from simulators.pv import Pv


class TwinDevice:
    """What reads process variables of a twin."""

    parent = None

    def __init__(self, name: str, keys: Mapping[str, Pv], hinted: Sequence[str]) -> None:
        self.name = name
        self._keys = keys
        self.hints = {"fields": [*hinted]}

    def __repr__(self) -> str:
        return self.name

    def read(self) -> dict[str, Any]:
        """The values now. Their time stamps are 0: there is no clock."""
        return {key: {"value": pv.value, "timestamp": 0.0} for key, pv in self._keys.items()}

    def describe(self) -> dict[str, Any]:
        """The data keys."""
        number = {"dtype": "number", "shape": []}
        return {
            key: {"source": pv.name, **number, "units": pv.unit} for key, pv in self._keys.items()
        }


class TwinAxis(TwinDevice):
    """What is moved."""

    def __init__(self, name: str, setpoint: Pv, readback: Pv, called: str) -> None:
        super().__init__(name, {name: readback, f"{name}_{called}": setpoint}, [name])
        self.setpoint, self.readback = setpoint, readback

    @property
    def position(self) -> float:
        """Where it stands."""
        return float(self.readback.value)

    def set(self, value: float) -> NoReturn:
        """Never called: bluesky asks whether it is there, and the walk obeys the message."""
        raise NotImplementedError(value)


class TwinDetector(TwinDevice):
    """What is triggered, as ``devices.TriggeredDetector`` is."""

    def __init__(self, name: str, acquire: Pv, channels: Mapping[str, Pv]) -> None:
        keys = {f"{name}_{channel.lower()}": pv for channel, pv in channels.items()}
        super().__init__(name, keys, [*keys])
        self.acquire = acquire

    async def take(self) -> None:
        """Acquire."""
        await self.acquire.accept(1)

    def trigger(self) -> NoReturn:
        """Never called: bluesky asks whether it is there, and the walk obeys the message."""
        raise NotImplementedError
