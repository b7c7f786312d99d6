"""Units as people write them in the titles of columns."""

import re

SAME = (
    ("degC", "C", "°C", "deg C", "celsius"),
    ("K", "kelvin"),
    ("%", "percent", "pct"),
    ("s", "sec", "second", "seconds"),
    ("min", "mins", "minute", "minutes"),
    ("h", "hr", "hrs", "hour", "hours"),
    ("mol/L", "M", "mol/l", "mol dm-3"),
    ("mmol/L", "mM", "mmol/l"),
    ("mL", "ml"),
    ("uL", "ul", "µL", "µl", "μL", "μl"),
    ("L", "l"),
    ("mL/min", "ml/min"),
    ("uL/min", "ul/min", "µL/min", "µl/min", "μL/min", "μl/min"),
    ("mol%", "mol %"),
    ("wt%", "wt %"),
    ("um", "µm", "μm"),
    *(
        (unit,)
        for unit in "g kg mg m cm mm nm bar mbar Pa kPa MPa V mV A mA W kW eV keV Hz".split()
    ),
)
"""Spellings of one unit, the first of each line preferred."""

_PREFERRED = {spelling: same[0] for same in SAME for spelling in same}


def unit_in(title: str) -> str | None:
    """The unit in the brackets that end a title; None when there is none that is known."""
    found = re.search(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$", title)
    return found[1] if found and found[1] in _PREFERRED else None


def differ(one: str, other: str) -> bool:
    """True when two units are not two spellings of the same."""
    return _PREFERRED.get(one, one) != _PREFERRED.get(other, other)
