"""Two mirrors one after the other as one pitch and their difference."""

from typing import Any

from ophyd import EpicsMotor, FormattedComponent, PseudoPositioner, PseudoSingle
from ophyd.pseudopos import pseudo_position_argument, real_position_argument


class MirrorPair(PseudoPositioner):
    """Two mirrors that deflect a beam away and back, driven by their pitch and its difference.

    With equal pitches the beam leaves parallel to where it came from, at an offset that grows with
    `pitch`; a `difference` tilts it by twice as much.

    Args:
        prefix: start of the names of both motor records.
        name: of the device; its axes are `{name}.pitch` (mean of both), `{name}.difference`
            (first less second), `{name}.first`, `{name}.second`.
        mirrors: what follows the prefix in the names of the first and of the second record.
        unit: of all axes.
    """

    pitch = FormattedComponent(PseudoSingle, egu="{_unit}", add_prefix=("egu",))
    difference = FormattedComponent(PseudoSingle, egu="{_unit}", add_prefix=("egu",))
    first = FormattedComponent(EpicsMotor, "{prefix}{_mirrors[0]}")
    second = FormattedComponent(EpicsMotor, "{prefix}{_mirrors[1]}")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        mirrors: tuple[str, str] = (":PITCH1", ":PITCH2"),
        unit: str = "mrad",
        **kwargs: Any,
    ) -> None:
        self._mirrors = tuple(mirrors)
        self._unit = unit
        super().__init__(prefix, name=name, **kwargs)

    @pseudo_position_argument
    def forward(self, pseudo_pos: Any) -> Any:
        """Pitch of each mirror for their mean and difference."""
        half = pseudo_pos.difference / 2.0
        return self.RealPosition(first=pseudo_pos.pitch + half, second=pseudo_pos.pitch - half)

    @real_position_argument
    def inverse(self, real_pos: Any) -> Any:
        """Mean and difference for the pitch of each mirror."""
        first, second = real_pos.first, real_pos.second
        return self.PseudoPosition(pitch=(first + second) / 2.0, difference=first - second)
