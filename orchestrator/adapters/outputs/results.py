"""The results table as CSV, Parquet or JSON. Floats survive the round trip."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def as_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Comma-separated values with a header; empty cells where there is nothing."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(row[name]) for name in columns})
    return text.getvalue()


def _cell(value: Any) -> Any:
    # repr keeps every digit of a float; csv would call str, which does so too, but says it less.
    return "" if value is None else repr(value) if isinstance(value, float) else value


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """A JSON list of objects; null where there is nothing."""
    return json.dumps(list(rows), allow_nan=False)


def write_parquet(
    file: Path | IO[bytes], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """A Parquet file; null where there is nothing."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({name: _column([row[name] for row in rows]) for name in columns})
    pyarrow.parquet.write_table(table, file)


def _column(values: list[Any]) -> list[Any]:
    """Values of one type: a column that mixes numbers and words becomes text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [float(v) if float in kinds and v is not None else v for v in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values
