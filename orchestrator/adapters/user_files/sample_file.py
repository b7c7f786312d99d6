"""Reads the list of samples that a campaign file names: CSV, one sample a line."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_SAMPLES = 5000
"""A list with more is refused: all of it goes into the log."""
COLUMNS: Sequence[str] = ("position", "amount", "uses left")


class BadSamples(Exception):
    """The list cannot be used; the message says where and why."""


def read_samples(file: Path) -> list[dict[str, Any]]:
    """The samples in the order of the file, as ``samples.list`` of a campaign has them.

    Raises:
        BadSamples: there is no such file, or a column, position or number that cannot be.
    """
    try:
        rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines(), skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadSamples(f"cannot read {file}: {error}") from error
    if not rows:
        raise BadSamples(f"{file} lists no sample; its first line names the columns {COLUMNS}")
    if missing := [one for one in ("position", "uses left") if one not in rows[0]]:
        found = [one for one in rows[0] if one]
        raise BadSamples(f"{file} has no column {missing[0]!r}; it has {found}")
    if len(rows) > MOST_SAMPLES:
        raise BadSamples(f"{file} lists {len(rows)} samples, more than {MOST_SAMPLES}")
    samples = [_sample(file, line, row) for line, row in enumerate(rows, 2)]
    seen: set[str] = set()
    for line, one in enumerate(samples, 2):
        if one["position"] in seen:
            raise BadSamples(f"{file}:{line}: position {one['position']!r} is there twice")
        seen.add(one["position"])
    return samples


def written(samples: Iterable[Mapping[str, Any]]) -> str:
    """The list as ``read_samples`` reads it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(samples)
    return text.getvalue()


def _sample(file: Path, line: int, row: dict[str, Any]) -> dict[str, Any]:
    position, uses = str(row["position"] or "").strip(), str(row["uses left"] or "").strip()
    if not position:
        raise BadSamples(f"{file}:{line}: a sample without a position")
    if not uses.isdecimal():
        raise BadSamples(f"{file}:{line}: 'uses left' is {uses!r}; must be 0, 1, 2, ...")
    return {"position": position, "amount": str(row.get("amount") or "").strip(), "uses": int(uses)}
