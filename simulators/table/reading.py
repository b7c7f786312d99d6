"""Reads a table in pieces, checks every cell that is used, and keeps a sample of many rows."""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from simulators.arrays import Array
from simulators.table.cells import numbers_of
from simulators.table.emulator import FEWEST_POINTS, Points, TooFew
from simulators.table.errors import BadTable
from simulators.table.header import Header
from simulators.table.sample import Sample
from simulators.table.titles import check_titles, doubts

PIECE = 200_000
"""Rows read at a time."""

MOST_ROWS = 100_000
"""Rows that are kept; of more, a seeded sample with the ends of each column."""

ENCODING = "utf-8-sig"

MISSING = ("", "NaN", "nan", "NA", "N/A", "n/a", "NULL", "null", "None")
"""What stands for a number that is not there. Among names it is one, such as no additive."""


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
    named = [at for at, count in enumerate(header.names) if count]
    sample = Sample(MOST_ROWS, len(header.columns), seed, named)
    with contextlib.closing(pieces):
        for piece in pieces:
            sample.add(numbers_of(file, header, piece, sample.rows))
    if not sample.rows:
        raise BadTable(f"{file} has no rows below its titles")
    numbers, d = sample.kept(), len(header.parameters)
    if sample.rows >= FEWEST_POINTS:
        _check_columns(file, header, numbers)
    try:
        Points.of(numbers[:, :d], numbers[:, d:])
    except TooFew as error:
        raise BadTable(f"{file} {error}") from error
    return Table(numbers[:, :d], numbers[:, d:], sample.rows, tuple(doubts(header)))


def _csv(file: Path, header: Header) -> Generator[pd.DataFrame, None, None]:
    columns = list(header.columns.values())
    try:
        first = pd.read_csv(
            file,
            header=None,
            nrows=1,
            dtype=str,
            encoding=ENCODING,
            keep_default_na=False,  # for a title such as NA
        )
        titles = [title.strip() for title in first.iloc[0]]
        if header.titles is not None:
            if len(header.titles) != len(titles):
                given = len(header.titles)
                raise BadTable(f"{file} has {len(titles)} columns, and the header {given} titles")
            titles = list(header.titles)
        check_titles(file, header, titles)
        wanted = [titles.index(column) for column in columns]
        names = [titles.index(header.columns[name]) for name in header.choices]
        missing: Any = {at: MISSING for at in wanted if at not in names}
        with pd.read_csv(
            file,
            header=0 if header.titles is None else None,
            names=range(len(titles)),  # all of them: with some alone, longer rows would pass
            dtype=dict.fromkeys(names, str),
            keep_default_na=False,
            na_values=missing,
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
        is_book = file.suffix.lower() in (".xlsx", ".xls", ".ods")
        found = (
            "a workbook; save its sheet as CSV" if is_book else "not UTF-8 text; save it as UTF-8"
        )
        raise BadTable(f"{file} is {found}") from error
    except OSError as error:
        raise BadTable(f"cannot read {file}: {error.strerror or error}") from error


def _parquet(file: Path, header: Header) -> Generator[pd.DataFrame, None, None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            check_titles(file, header, list(opened.schema_arrow.names))
            columns = list(header.columns.values())
            for batch in opened.iter_batches(batch_size=PIECE, columns=columns):
                yield batch.to_pandas()[columns]
    except pa.ArrowException as error:
        raise BadTable(f"{file} is no Parquet file that can be read: {error}") from error
    except OSError as error:
        raise BadTable(f"cannot read {file}: {error.strerror or error}") from error


def _check_columns(file: Path, header: Header, numbers: Array) -> None:
    """Pass when every column varies and has the limits or the choices of the header."""
    problems: list[str] = []
    for index, (name, column) in enumerate(header.columns.items()):
        if choices := header.choices.get(name):
            seen = set(numbers[:, index].astype(int))
            problems += [
                f"no row that is used has {one!r} in column {column!r}; leave it out of the choices"
                for number, one in enumerate(choices)
                if number not in seen
            ]
            continue
        low, high = float(numbers[:, index].min()), float(numbers[:, index].max())
        limits = header.parameters[name].limits if name in header.parameters else None
        if low == high:
            problems.append(
                f"column {column!r} is {low:g} in every row; leave {name} out of the header"
            )
        elif limits and not (low <= limits[0] and limits[1] <= high):
            problems.append(
                f"column {column!r} goes from {low:g} to {high:g}, and the header gives {name} the "
                f"limits {list(limits)}; they must lie inside"
            )
    if problems:
        raise BadTable("\n".join(f"{file}: {problem}" for problem in problems))
