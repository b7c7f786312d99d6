"""Makes numbers of the cells of a table, and says what is wrong with those that are none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulators.arrays import Array
from simulators.table.errors import BadTable
from simulators.table.header import MOST_CHOICES, Header
from simulators.table.units import known

LARGEST = 1e100
"""Numbers from this on are refused: their squares would not be numbers."""


def numbers_of(file: Path, header: Header, piece: pd.DataFrame, before: int) -> Array:
    """The cells of a piece as numbers; ``before`` rows have been read before it."""
    numbers = np.empty(piece.shape)
    problems: list[str] = []
    for index, (name, column) in enumerate(header.columns.items()):
        cells = piece.iloc[:, index]
        choices = header.choices.get(name)
        if choices:
            numbers[:, index] = _positions(cells, choices)
        elif pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
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


def _positions(cells: "pd.Series[Any]", choices: tuple[str, ...]) -> Array:
    """The number of each name among the choices, NaN elsewhere."""
    found = pd.Index(choices).get_indexer(pd.Index(cells.astype(str).str.strip()))
    return np.where(found < 0, np.nan, found.astype(np.float64))


def _parsed(cells: "pd.Series[Any]") -> Array:
    """Numbers where cells can be read as such, NaN elsewhere; true and false are no numbers."""
    text = cells.where(cells.map(lambda cell: not isinstance(cell, (bool, np.bool_))))
    return pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _why(header: Header, name: str, cells: "pd.Series[Any]", row: int, before: int) -> str:
    cell = cells.iloc[row]
    if choices := header.choices.get(name):
        if pd.isna(cell) or not str(cell).strip():
            return "is empty; leave such rows out"
        known_names = ", ".join(choices)
        return f"found {str(cell)!r}, which is none of the header's choices: {known_names}"
    if pd.isna(cell):
        return "is empty or NaN, as n/a and the like are; leave such rows out"
    if not isinstance(cell, (str, bool, np.bool_)):
        return f"found {cell!s}, where a number below {LARGEST:g} is needed"
    is_text = not before and str(cell)[:1].isalpha() and not np.isfinite(_parsed(cells)).any()
    if name in header.parameters and is_text:
        return f"found {str(cell)!r}, which is no number; {_as_choice(name, cells)}"
    if known(str(cell)):
        return f"found {str(cell)!r}, a unit; the titles take one row alone, so delete this one"
    return f"found {str(cell)!r}, where a number with a decimal point is needed"


def _as_choice(name: str, cells: "pd.Series[Any]") -> str:
    """How a column of names is declared, for a person who has not."""
    found = sorted({str(cell).strip() for cell in cells if not pd.isna(cell)})
    if len(found) > MOST_CHOICES:
        return (
            f"{len(found)} different texts are too many for a choice, which has at most "
            f"{MOST_CHOICES}; replace the column by numbers that describe it"
        )
    names = json.dumps(found, ensure_ascii=False)
    return f"if {name} is a choice, write into the header: {name}: {{choices: {names}}}"
