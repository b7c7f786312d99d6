"""Checks the titles of a table against its header: every column is there, once, in its unit."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from simulators.table.errors import BadTable
from simulators.table.header import Header
from simulators.table.units import differ, known, unit_in

MOST_TOLD = 12
"""Titles that are listed where one is missing."""


def check_titles(file: Path, header: Header, titles: list[str]) -> None:
    """Pass when every column of the header is there, once, and in its unit."""
    columns = list(header.columns.values())
    if len(titles) == 1 < len(columns):
        raise BadTable(
            f"{file} has one column, {titles[0]!r}, and the header needs {len(columns)}; are its "
            "cells parted by commas?"
        )
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
        more = f" and {len(near) - MOST_TOLD} more" if len(near) > MOST_TOLD else ""
        there = ", ".join(map(repr, near[:MOST_TOLD]))
        return f"has no column {column!r} for {name}; there is {there}{more}"
    if titles.count(column) > 1:
        return f"has {titles.count(column)} columns {column!r}; rename all but one"
    unit, told = _unit(header, name), unit_in(column)
    if unit and told and known(unit) and known(told) and differ(unit, told):
        return f"column {column!r} is in {told}, and the header says that {name} is in {unit}"
    return None


def doubts(header: Header) -> Iterator[str]:
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
