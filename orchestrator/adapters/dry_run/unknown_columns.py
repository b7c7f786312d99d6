"""Tells a reducer that asks for what no run of its plan has from one that made-up values upset.

A column or a stream that is misspelt fails in every trial; a fit to made-up values may fail alone.
"""

import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from orchestrator.adapters.documents.run_documents import NoSuchStream, Run
from orchestrator.domain.errors import near


def asked_in_vain(error: BaseException | None, runs: Sequence[Run]) -> str | None:
    """What a reducer asked its runs for in vain, and what there is; None when it did not.

    Args:
        error: that it raised.
        runs: that it was given; each stream has all the columns that it has in a real run.
    """
    if isinstance(error, NoSuchStream):
        streams = {stream for run in runs for stream in run.streams}
        # By other readings the plan may take a way that has this stream, unless it is misspelt.
        return str(error.args[0]) if get_close_matches(error.name, streams) else None
    name = _column(error)
    columns = {str(column) for run in runs for stream in run.streams for column in run[stream]}
    if name is None or name in columns:
        return None
    return f"{name!r} is no column of these runs{near(name, columns)}"


def _column(error: BaseException | None) -> str | None:
    """The column that a table was asked for; None when the error is about something else."""
    if isinstance(error, AttributeError):
        return error.name if type(error.obj).__name__ == "DataFrame" else None
    if not isinstance(error, KeyError) or not error.args:
        return None
    name = error.args[0]
    return name if isinstance(name, str) and _is_of_a_table(error) else None


def _is_of_a_table(error: BaseException) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return not {"pandas", "xarray"}.isdisjoint(Path(frame.f_code.co_filename).parts)
