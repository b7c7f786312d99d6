"""Makes numbers of the cells of a table, and says what is wrong with those that are none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulators.arrays import Array
from simulators.table.errors import BadTable
from simulators.table.header import Header
from simulators.table.units import known

LARGEST = 1e100
"""Numbers from this on are refused: their squares would not be numbers."""


def numbers_of(file: Path, header: Header, piece: pd.DataFrame, before: int) -> Array:
    """The cells of a piece as numbers; ``before`` rows have been read before it."""
    numbers = np.empty(piece.shape)
    problems: list[str] = []
    for index, (name, column) in enumerate(header.columns.items()):
        cells = piece.iloc[:, index]
        if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
            numbers[:, index] = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            numbers[:, index] = _parsed(cells)
        bad = np.flatnonzero(~(np.abs(numbers[:, index]) < LARGEST))
        if len(bad):
            place = f"column {column!r}, row {before + int(bad[0]) + 1}"
            if len(bad) > 1:
                place += f" (and {len(bad) - 1} more up to row {before + len(piece)})"
            problems.append(f"{place}: {_why(header, name, cells, int(bad[0]), before)}")
    if problems:
        raise BadTable("\n".join(f"{file}: {problem}" for problem in problems))
    return numbers


def _parsed(cells: "pd.Series[Any]") -> Array:
    """Numbers where cells can be read as such, NaN elsewhere; true and false are no numbers."""
    text = cells.where(cells.map(lambda cell: not isinstance(cell, (bool, np.bool_))))
    return pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _why(header: Header, name: str, cells: "pd.Series[Any]", row: int, before: int) -> str:
    cell = cells.iloc[row]
    if pd.isna(cell):
        return "is empty or NaN, as n/a and the like are; leave such rows out"
    if not isinstance(cell, (str, bool, np.bool_)):
        return f"found {cell!s}, where a number below {LARGEST:g} is needed"
    is_text = not before and str(cell)[:1].isalpha() and not np.isfinite(_parsed(cells)).any()
    if name in header.parameters and is_text:
        return (
            f"found {str(cell)!r}: {name} is a choice, and a setpoint is a number; make a table of "
            "the rows of each choice, or replace the column by numbers that describe it"
        )
    if known(str(cell)):
        return f"found {str(cell)!r}, a unit; the titles take one row alone, so delete this one"
    return f"found {str(cell)!r}, where a number with a decimal point is needed"
