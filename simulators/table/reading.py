"""Reads a table in pieces, checks every cell that is used, and keeps a sample of many rows."""

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulators.arrays import Array
from simulators.table.errors import BadTable
from simulators.table.header import Header
from simulators.table.units import differ, known, unit_in

PIECE = 200_000
"""Rows read at a time."""

MOST_ROWS = 100_000
"""Rows that are kept; of more, a seeded sample."""

LARGEST = 1e100
"""Numbers from this on are refused: their squares would not be numbers."""

ENCODING = "utf-8-sig"


@dataclass(frozen=True)
class Table:
    """The columns that a header names.

    Attributes:
        x: parameters, shape (rows, d), in the order of the header.
        y: outcomes, shape (rows, m).
        rows: in the file, of which these are a sample when there are more.
        warnings: units that a person should compare, a sentence each; empty when there are none.
    """

    x: Array
    y: Array
    rows: int
    warnings: tuple[str, ...] = ()


def read_table(file: Path, header: Header, *, seed: int = 0) -> Table:
    """Read a CSV file, or Parquet where its name ends in `.parquet`.

    Rows count from 1 below the titles.

    Args:
        file: the table.
        header: what its columns are.
        seed: of the sample of the rows.

    Raises:
        BadTable: naming column and row of what cannot be used.
    """
    pieces = _parquet(file, header) if file.suffix == ".parquet" else _csv(file, header)
    random = np.random.default_rng(seed)
    numbers = np.zeros((0, len(header.columns)))
    order = np.zeros(0)
    rows = 0
    with contextlib.closing(pieces):
        for piece in pieces:
            numbers = np.concatenate([numbers, _numbers(file, header, piece, rows)])
            order = np.concatenate([order, random.random(len(piece))])
            rows += len(piece)
            if len(order) > MOST_ROWS:
                kept = np.sort(np.argpartition(order, MOST_ROWS)[:MOST_ROWS])
                numbers, order = numbers[kept], order[kept]
    if not rows:
        raise BadTable(f"{file} has no rows below its titles")
    _check_columns(file, header, numbers)
    d = len(header.parameters)
    return Table(numbers[:, :d], numbers[:, d:], rows, tuple(_doubts(header)))


def _csv(file: Path, header: Header) -> Generator[pd.DataFrame, None, None]:
    columns = list(header.columns.values())
    try:
        first = pd.read_csv(file, header=None, nrows=1, dtype=str, encoding=ENCODING)
        titles = [str(title).strip() for title in first.iloc[0]]
        if header.titles is not None:
            if len(header.titles) != len(titles):
                given = len(header.titles)
                raise BadTable(f"{file} has {len(titles)} columns, and the header {given} titles")
            titles = list(header.titles)
        _check_titles(file, header, titles)
        wanted = [titles.index(column) for column in columns]
        with pd.read_csv(
            file,
            header=0 if header.titles is None else None,
            names=range(len(titles)),  # all of them: with some alone, longer rows would pass
            chunksize=PIECE,
            encoding=ENCODING,
            low_memory=False,  # so that a column has one type in the whole of a piece
        ) as reader:
            for piece in reader:
                if not isinstance(piece.index, pd.RangeIndex):  # made of cells without a title
                    more = f"row 1 has more cells than there are titles ({len(titles)})"
                    raise BadTable(f"{file}: {more}")
                yield piece[wanted]
    except pd.errors.EmptyDataError:
        raise BadTable(f"{file} is empty") from None
    except pd.errors.ParserError as error:
        raise BadTable(f"{file} is no CSV file that can be read: {error}") from error
    except UnicodeDecodeError as error:
        raise BadTable(f"{file} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise BadTable(f"cannot read {file}: {error.strerror or error}") from error


def _parquet(file: Path, header: Header) -> Generator[pd.DataFrame, None, None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            _check_titles(file, header, list(opened.schema_arrow.names))
            columns = list(header.columns.values())
            for batch in opened.iter_batches(batch_size=PIECE, columns=columns):
                yield batch.to_pandas()[columns]
    except pa.ArrowException as error:
        raise BadTable(f"{file} is no Parquet file that can be read: {error}") from error
    except OSError as error:
        raise BadTable(f"cannot read {file}: {error.strerror or error}") from error


def _check_titles(file: Path, header: Header, titles: list[str]) -> None:
    """Pass when every column of the header is there, once, and in its unit."""
    problems = [
        problem
        for name, column in header.columns.items()
        if (problem := _title_problem(header, name, column, titles))
    ]
    if problems:
        raise BadTable("\n".join(f"{file}: {problem}" for problem in problems))


def _title_problem(header: Header, name: str, column: str, titles: list[str]) -> str | None:
    if column not in titles:
        near = get_close_matches(column, titles) or titles
        hint = "" if len(titles) > 1 else "; are its cells parted by commas?"
        return f"has no column {column!r} for {name}; there is {', '.join(map(repr, near))}{hint}"
    if titles.count(column) > 1:
        return f"has {titles.count(column)} columns {column!r}; rename all but one"
    unit, told = _unit(header, name), unit_in(column)
    if unit and told and known(unit) and known(told) and differ(unit, told):
        return f"column {column!r} is in {told}, and the header says that {name} is in {unit}"
    return None


def _doubts(header: Header) -> Iterator[str]:
    """Where title and header have two units, one of them unknown, so that none can be refused."""
    for name, column in header.columns.items():
        unit, told = _unit(header, name), unit_in(column)
        if unit and told and differ(unit, told) and not (known(unit) and known(told)):
            unknown = unit if known(told) else told
            yield (
                f"the title of column {column!r} may say that it is in {told}, and the header says "
                f"that {name} is in {unit}; {unknown!r} is no unit that is known here, so compare "
                "them yourself: nothing is converted"
            )


def _unit(header: Header, name: str) -> str:
    return {**header.parameters, **header.outcomes}[name].unit


def _numbers(file: Path, header: Header, piece: pd.DataFrame, before: int) -> Array:
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
            problems.append(f"{place}: {_why(header, name, cells, int(bad[0]))}")
    if problems:
        raise BadTable("\n".join(f"{file}: {problem}" for problem in problems))
    return numbers


def _parsed(cells: "pd.Series[Any]") -> Array:
    """Numbers where cells can be read as such, NaN elsewhere; true and false are no numbers."""
    text = cells.where(cells.map(lambda cell: not isinstance(cell, (bool, np.bool_))))
    return pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _why(header: Header, name: str, cells: "pd.Series[Any]", row: int) -> str:
    cell = cells.iloc[row]
    if pd.isna(cell):
        return "is empty or NaN; leave such rows out"
    if not isinstance(cell, (str, bool, np.bool_)):
        return f"found {cell!s}, where a number below {LARGEST:g} is needed"
    if name in header.parameters and not np.isfinite(_parsed(cells)).any():
        return (
            f"found {str(cell)!r}: {name} is a choice, and a setpoint is a number; make a table of "
            "the rows of each choice, or replace the column by numbers that describe it"
        )
    return f"found {str(cell)!r}, where a number with a decimal point is needed"


def _check_columns(file: Path, header: Header, numbers: Array) -> None:
    """Pass when every column varies and has the limits that the header gives it."""
    problems: list[str] = []
    for index, (name, column) in enumerate(header.columns.items()):
        low, high = float(numbers[:, index].min()), float(numbers[:, index].max())
        limits = header.parameters[name].limits if name in header.parameters else None
        if low == high:
            problems.append(f"column {column!r} is {low:g} in every row; leave {name} out")
        elif limits and not (low <= limits[0] and limits[1] <= high):
            problems.append(
                f"column {column!r} goes from {low:g} to {high:g}, and the header gives {name} the "
                f"limits {list(limits)}; they must lie inside"
            )
    if problems:
        raise BadTable("\n".join(f"{file}: {problem}" for problem in problems))
