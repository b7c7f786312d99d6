"""A pair of blades as gap and centre."""

from typing import Any

from ophyd import EpicsMotor, FormattedComponent, PseudoPositioner, PseudoSingle
from ophyd.pseudopos import pseudo_position_argument, real_position_argument
from ophyd.utils import LimitError


class Slits(PseudoPositioner):
    """Two blades that face each other, driven by their gap and its centre.

    Both motors count in the same direction: the gap is `upper` less `lower`. Limits of the blades
    are those of their motor records, and of the instrument file for all axes of the device.

    Args:
        prefix: start of the names of both motor records.
        name: of the device; its axes are `{name}.gap`, `{name}.centre`, `{name}.lower`,
            `{name}.upper`.
        blades: what follows the prefix in the names of the lower and of the upper blade's record.
        unit: of all axes.
    """

    gap = FormattedComponent(PseudoSingle, egu="{_unit}", add_prefix=("egu",))
    centre = FormattedComponent(PseudoSingle, egu="{_unit}", add_prefix=("egu",))
    lower = FormattedComponent(EpicsMotor, "{prefix}{_blades[0]}")
    upper = FormattedComponent(EpicsMotor, "{prefix}{_blades[1]}")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        blades: tuple[str, str] = (":LOWER", ":UPPER"),
        unit: str = "mm",
        **kwargs: Any,
    ) -> None:
        self._blades = tuple(blades)
        self._unit = unit
        super().__init__(prefix, name=name, **kwargs)

    def check_value(self, pseudo_pos: Any) -> None:
        """Pass when both blades may go there.

        Raises:
            LimitError: a blade's limits forbid it, or the blades would cross.
        """
        if pseudo_pos[0] < 0:
            raise LimitError(f"{self.name}: a gap of {pseudo_pos[0]} {self._unit} is none")
        super().check_value(pseudo_pos)

    @pseudo_position_argument
    def forward(self, pseudo_pos: Any) -> Any:
        """Positions of the blades for a gap and a centre."""
        half = pseudo_pos.gap / 2.0
        return self.RealPosition(lower=pseudo_pos.centre - half, upper=pseudo_pos.centre + half)

    @real_position_argument
    def inverse(self, real_pos: Any) -> Any:
        """Gap and centre for positions of the blades."""
        lower, upper = real_pos.lower, real_pos.upper
        return self.PseudoPosition(gap=upper - lower, centre=(upper + lower) / 2.0)
