"""The documents of an attempt: one file with a JSON line ``[name, document]`` for each.

The writer makes them durable, the reader gives them back as runs with pandas tables.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.disk.durable import make_folder, sync_folder
from orchestrator.adapters.documents.file_references import FileReferences
from orchestrator.adapters.documents.plain import number, to_json
from orchestrator.adapters.documents.run_arrays import StoredArray, dataset, stored
from orchestrator.domain.errors import PlanFailed, ReductionError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_NUMERIC = ("number", "integer", "array")

_DISK = ThreadPoolExecutor(1, "documents")
"""Waits for the disk while a plan runs."""


class DocumentWriter:
    """Writes the documents of one attempt.

    Args:
        path: file that does not exist yet; its folder is created.

    Raises:
        PlanFailed: the file cannot be created (reason ``documents_not_saved``).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self._size = 0
        self._durable = 0
        """How much of the file is durable once all that was begun has succeeded."""
        self._under_way: list[Future[None]] = []
        self.error: PlanFailed | None = None
        """The first failure to write; the documents are no evidence then."""
        try:
            make_folder(path.parent)
            self._file = path.open("xb")
        except OSError as error:
            raise self._not_saved(error) from error
        # The file's name becomes durable while the plan runs, not after it.
        self._begin(sync_folder, path.parent)

    def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Append one document.

        Raises:
            PlanFailed: it was not saved.
        """
        try:
            line = to_json([name, document]).encode() + b"\n"
            self._file.write(line)
            self._file.flush()
        except (OSError, TypeError, ValueError) as error:
            self.error = self.error or self._not_saved(error)
            raise self.error from error
        self._hash.update(line)
        self._size += len(line)

    def settle(self) -> None:
        """Begin to make durable what there is; ``finish`` then has less to wait for."""
        size = self._size
        self._begin(os.fsync, self._file.fileno())
        self._durable = size

    def finish(self) -> str:
        """Make the file durable, close it, and give its SHA-256.

        Raises:
            PlanFailed: something was not saved.
        """
        if self._durable < self._size:
            self.settle()
        self.close()
        if self.error is not None:
            raise self.error
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file as it is: it is kept for people and counts for nothing."""
        for step in [*(begun.result for begun in self._under_way), self._file.close]:
            try:
                step()
            except OSError as error:
                self.error = self.error or self._not_saved(error)

    def _begin(self, step: Callable[[Any], None], *args: Any) -> None:
        self._under_way.append(_DISK.submit(step, *args))

    def _not_saved(self, error: Exception) -> PlanFailed:
        return PlanFailed(f"documents not saved in {self._path}: {error}", "documents_not_saved")


@dataclass
class Stream:
    """The events of one stream as they came, and the keys they may have."""

    data_keys: dict[str, Any] = field(default_factory=dict)
    rows: list[tuple[int, float, Mapping[str, Any]]] = field(default_factory=list)
    """Sequence number, Unix time and data of each event."""
    descriptors: list[str] = field(default_factory=list)
    references: FileReferences | None = None
    """What the documents say about files outside."""

    def add(self, seq_num: int, time: float, data: Mapping[str, Any]) -> None:
        """Add one event."""
        self.rows.append((seq_num, time, data))

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row for each event, by ``seq_num``; its columns are ``time`` and the data keys.

        ``table.attrs["units"]`` has the unit of each column whose device states one.
        """
        import pandas as pd

        rows = self.complete_rows()
        columns: dict[str, list[Any]] = {"time": [time for _, time, _ in rows]}
        for key, about in self.data_keys.items():
            values = [data.get(key) for _, _, data in rows]
            if about.get("external"):
                columns[key] = values
                continue
            numeric = about.get("dtype") in _NUMERIC
            columns[key] = _cells([number(value) for value in values] if numeric else values)
        index = pd.Index([seq_num for seq_num, _, _ in rows], name="seq_num")
        table = pd.DataFrame(columns, index=index)
        units = {key: about.get("units") for key, about in self.data_keys.items()}
        table.attrs["units"] = {key: unit for key, unit in units.items() if unit}
        return table

    def complete_rows(self) -> list[tuple[int, float, Mapping[str, Any]]]:
        """In the order of their numbers, with arrays in the place of references to files.

        After a pause a RunEngine repeats events under their numbers: the last of each counts.
        """
        return sorted({row[0]: row for row in self._with_files()}.values(), key=lambda row: row[0])

    def _with_files(self) -> Iterator[tuple[int, float, Mapping[str, Any]]]:
        """The rows with arrays in the place of references to them, and those that are only there.

        A detector that runs by itself has no events: its arrays have sequence numbers, but no time.
        """
        references = self.references
        if references is None:
            yield from self.rows
            return
        streamed: dict[int, dict[str, Any]] = {}
        for descriptor in self.descriptors:
            for key, seq_num, frames in references.streamed(descriptor):
                streamed.setdefault(seq_num, {})[key] = frames
        for seq_num, time, data in self.rows:
            found = {key: references.datum(value) or value for key, value in data.items()}
            yield seq_num, time, found | streamed.pop(seq_num, {})
        for seq_num, found in streamed.items():
            yield seq_num, math.nan, found


def _cells(values: list[Any]) -> Any:
    """A column in which arrays stay what they are: each in one cell, not yet read."""
    if not any(isinstance(value, StoredArray) for value in values):
        return values
    import numpy as np

    cells = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        cells[index] = value
    return cells


class NoSuchStream(KeyError):
    """A run has no stream of this name."""

    def __init__(self, name: str, there: Sequence[str]) -> None:
        super().__init__(f"{name!r} is no stream of this run; there are {[*there]}")
        self.name = name


class Run:
    """One run, complete from its start to its stop document.

    ``run["primary"]`` is the table of a stream: a row for each event, a column for each data key
    and ``time`` (Unix seconds), indexed by ``seq_num``. An array in it is read when it is looked
    at. ``run.dataset("primary")`` is the same stream as an ``xarray.Dataset``. Arrays that a
    detector wrote to a file are ``Frames``, which open the file when they are touched.
    """

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start: Mapping[str, Any] = start
        self.stop: Mapping[str, Any] = {}
        self._streams: dict[str, Stream] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams, as they first appeared."""
        return tuple(self._streams)

    def __getitem__(self, name: str) -> "pd.DataFrame":
        """The table of a stream.

        Raises:
            KeyError: there is none of this name; the message lists those there are.
        """
        return self._known(name).table

    def dataset(self, name: str) -> "xr.Dataset":
        """A stream along ``seq_num``; arrays get further dimensions, and are read when needed.

        A variable's ``attrs["units"]`` is its unit, where its device states one.

        Raises:
            KeyError: as for the table.
        """
        stream = self._known(name)
        return dataset(stream.complete_rows(), stream.data_keys)

    def __contains__(self, name: object) -> bool:
        return name in self._streams

    def stream(self, name: str) -> Stream:
        """The stream of this name, empty when it is new."""
        return self._streams.setdefault(name, Stream())

    def _known(self, name: str) -> Stream:
        if name not in self._streams:
            raise NoSuchStream(name, self.streams)
        return self._streams[name]


def read_runs(path: Path) -> list[Run]:
    """All runs in a document file, in the order in which they started.

    Raises:
        ReductionError: the file is missing, damaged or truncated, or a run did not succeed.
    """
    runs: dict[str, Run] = {}
    streams: dict[str, Stream] = {}
    references = FileReferences(path.parent.parent.parent)  # data folder/runs/campaign/file
    try:
        for offset, name, document in _located(path):
            references.look(name, document)
            _take(name, document, runs, streams, (path, offset))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReductionError(f"{path} cannot be read: {error!r}") from error
    if not runs:
        raise ReductionError(f"{path} holds no run")
    for uid, run in runs.items():
        if run.stop.get("exit_status") != "success":
            status = run.stop.get("exit_status", "has no end")
            raise ReductionError(f"{path}: run {uid} is no evidence ({status})")
    for stream in streams.values():
        stream.references = references
    return list(runs.values())


def _take(
    name: str,
    document: Mapping[str, Any],
    runs: dict[str, Run],
    streams: dict[str, Stream],
    place: tuple[Path, int],
) -> None:
    match name:
        case "start":
            runs[document["uid"]] = Run(document)
        case "stop":
            runs[document["run_start"]].stop = document
        case "descriptor":
            stream = runs[document["run_start"]].stream(document.get("name", "primary"))
            stream.data_keys.update(document["data_keys"])
            stream.descriptors.append(document["uid"])
            streams[document["uid"]] = stream
        case "event":
            stream = streams[document["descriptor"]]
            data = stored(document["data"], stream.data_keys, *place)
            stream.add(document["seq_num"], document["time"], data)
        case "event_page":
            stream = streams[document["descriptor"]]
            for row, (seq_num, time, data) in enumerate(page_rows(document)):
                stream.add(seq_num, time, stored(data, stream.data_keys, *place, row))
        case _:
            pass  # references to files outside are taken together, for the whole attempt


def page_rows(page: Mapping[str, Any]) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Sequence number, time and data of each event of an event page."""
    for index, seq_num in enumerate(page["seq_num"]):
        data = {key: values[index] for key, values in page["data"].items()}
        yield seq_num, page["time"][index], data


def read_documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each document in the file with its name, as it was written."""
    for _, name, document in _located(path):
        yield name, document


def _located(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Each document with the place where its line begins, in bytes."""
    offset = 0
    with path.open("rb") as file:
        for line in file:
            name, document = json.loads(line)
            yield offset, name, document
            offset += len(line)
