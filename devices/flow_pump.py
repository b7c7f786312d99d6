"""Pumps and flow controllers: what flows must stop flowing when something goes wrong."""

from typing import Any

from ophyd import Component, EpicsSignalRO, Kind

from devices.setpoint_readback import SetpointReadback


class FlowPump(SetpointReadback):
    """A flow that is set as any setpoint, and ends when it is stopped.

    `{prefix}:SP`, `:RB` and `:STOP` as for `SetpointReadback`, but a 1 to `:STOP` must end the
    flow; `{prefix}:TOTAL` is the volume delivered. A plain `stop()`, as `quiet` gives it, ends the
    flow. The RunEngine's own stop after each plan ends it only on the way to a setpoint: a steady
    flow goes on, so that it can last from trial to trial. Arguments as for `SetpointReadback`.
    """

    total = Component(EpicsSignalRO, ":TOTAL", kind=Kind.normal, auto_monitor=False)

    def __init__(self, prefix: str, *, name: str, unit: str = "mL/min", **kwargs: Any) -> None:
        super().__init__(prefix, name=name, unit=unit, **kwargs)

    def stop(self, *, success: bool = False) -> None:
        """End the flow; one that is steady only without `success`.

        The RunEngine says `success` after every plan, whatever its end.
        """
        if self.moving:
            super().stop(success=success)  # which also ends the set that is under way
        elif not success:
            self.hold.put(1)

    def describe(self) -> dict[str, Any]:
        """Data keys of flow and setpoint with the unit, and of the volume with its server's."""
        keys = super().describe()
        return keys | self.total.describe()
