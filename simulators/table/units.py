"""Units as people write them in the titles of columns."""

import re

SAME = (
    ("degC", "C", "°C", "deg C", "celsius"),
    ("degF", "F", "°F", "deg F", "fahrenheit"),
    ("K", "kelvin"),
    ("K/min", "degC/min", "°C/min", "C/min"),
    ("%", "percent", "pct"),
    ("s", "sec", "second", "seconds"),
    ("min", "mins", "minute", "minutes"),
    ("h", "hr", "hrs", "hour", "hours"),
    ("d", "day", "days"),
    ("rpm", "RPM", "r/min", "rev/min", "1/min", "min-1"),
    ("Hz", "1/s", "s-1"),
    ("mol/L", "M", "mol/l", "mol L-1", "mol/dm3", "mol dm-3", "kmol/m3"),
    ("mmol/L", "mM", "mmol/l", "mmol L-1", "mol/m3", "mol m-3"),
    ("umol/L", "uM", "umol/l", "umol L-1"),
    ("g/L", "g/l", "g L-1", "g/dm3", "mg/mL", "mg/ml", "kg/m3", "kg m-3"),
    ("mg/L", "mg/l", "mg L-1", "mg/dm3", "ug/mL", "ug/ml", "g/m3"),
    ("ug/L", "ug/l", "ug L-1", "ng/mL", "ng/ml", "mg/m3"),
    ("g/mL", "g/ml", "g/cm3", "kg/L", "kg/l"),
    ("m3",),
    ("L", "l", "dm3"),
    ("mL", "ml", "cm3"),
    ("uL", "ul", "mm3"),
    ("L/min", "l/min", "L min-1"),
    ("L/h", "l/h", "L h-1"),
    ("mL/min", "ml/min", "mL min-1", "cm3/min"),
    ("mL/h", "ml/h", "mL h-1", "cm3/h"),
    ("uL/min", "ul/min", "uL min-1"),
    ("sccm", "SCCM"),
    ("mol%", "mol %"),
    ("wt%", "wt %"),
    ("vol%", "vol %"),
    ("psi", "PSI", "psia"),
    ("psig", "PSIG"),
    ("mbar", "hPa"),
    ("Torr", "torr", "mmHg"),
    ("mTorr", "mtorr"),
    ("mPa s", "mPa*s", "cP"),
    ("deg", "°", "degree", "degrees"),
    ("angstrom", "Å"),
    ("1/cm", "cm-1"),
    ("equiv", "equiv.", "eq", "eq."),
    ("mAU*s", "mAU s"),
    *(
        (unit,)
        for unit in (
            "ns us ms kg g mg ug ng m cm mm um nm rad mrad urad "
            "m/s cm/s mm/s um/s nm/s nm/min nm/h urad/s %/s kg/h g/h g/min kg/m3/h "
            "mol mmol umol ppm ppb bar barg atm Pa kPa MPa GPa N kN "
            "MV kV V mV uV MA kA A mA uA MW kW W mW uW MJ kJ J mJ MeV keV eV "
            "kJ/mol J/mol kcal/mol GHz MHz kHz T mT mK bytes"
        ).split()
    ),
)
"""Spellings of one unit, or units of one value, the first of each line preferred.

`µ` and raised digits are left to ``_plain``.
"""

MOST_LIKE = 7
"""Longest text that may be a unit although it is not known, in characters."""

_PLAIN = str.maketrans({"µ": "u", "μ": "u", "¹": "1", "²": "2", "³": "3", "⁻": "-", "^": ""})


def _plain(unit: str) -> str:
    return unit.translate(_PLAIN)


_PREFERRED = {_plain(spelling): same[0] for same in SAME for spelling in same}


def unit_in(title: str) -> str | None:
    """The unit in the brackets that end a title, known or not; None when there is none.

    A text that is not known counts as one when it is a single word of at most ``MOST_LIKE``
    characters that begins with no digit, and not three or more capitals, as in "yield (HPLC)".
    """
    found = re.search(r"[(\[]\s*([^()\[\]]+?)\s*[)\]]\s*$", title)
    if found is None:
        return None
    text = found[1]
    like = len(text) <= MOST_LIKE and re.fullmatch(r"[^\s\d]\S*", text)
    method = re.fullmatch(r"[A-Z0-9-]{3,}", text)
    return text if known(text) or (like and not method) else None


def known(unit: str) -> bool:
    """True when it is a spelling of one of the units in ``SAME``."""
    return _plain(unit) in _PREFERRED


def differ(one: str, other: str) -> bool:
    """True when two units are not two spellings of the same."""
    one, other = _plain(one), _plain(other)
    return _PREFERRED.get(one, one) != _PREFERRED.get(other, other)
