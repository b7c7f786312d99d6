"""A selector, of whose named positions one is chosen: valves, turrets, lamps, stocks."""

from typing import Any

from ophyd.utils import LimitError

from devices.setpoint_readback import SetpointReadback


class Selector(SetpointReadback):
    """Goes to one of the positions that the server names.

    `{prefix}:SP`, `:RB` and `:STOP` as for `SetpointReadback`, but `:SP` and `:RB` are EPICS
    enumerations. It is set to and read as the number of a position, from 0. The names are in the
    data key of the documents, as `enum_strs`. Arguments as for `SetpointReadback`.
    """

    def __init__(self, prefix: str, *, name: str, tolerance: float = 0.0, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, tolerance=tolerance, **kwargs)

    @property
    def choices(self) -> tuple[str, ...]:
        """The names of the positions, in their order; empty when the server has none."""
        names: Any = self.setpoint.enum_strs
        return tuple(names or ())

    def check_value(self, value: float, **_: Any) -> None:
        """Pass when it is the number of a position within the limits.

        Raises:
            LimitError: it is not; the message has the names that there are.
        """
        names = self.choices
        if names and value not in range(len(names)):
            known = ", ".join(f"{number} {one}" for number, one in enumerate(names))
            raise LimitError(f"{self.name}: there is no position {value:g}; there are {known}")
        super().check_value(value)
