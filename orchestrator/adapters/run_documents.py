"""The documents of an attempt: one file with a JSON line ``[name, document]`` for each.

The writer makes them durable, the reader gives them back as runs with pandas tables.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.durable import make_folder, sync_folder
from orchestrator.adapters.plain import number, to_json
from orchestrator.domain.errors import PlanFailed, ReductionError

if TYPE_CHECKING:
    import pandas as pd

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

    def add(self, seq_num: int, time: float, data: Mapping[str, Any]) -> None:
        """Add one event."""
        self.rows.append((seq_num, time, data))

    @cached_property
    def table(self) -> "pd.DataFrame":
        """One row for each event, by ``seq_num``; its columns are ``time`` and the data keys.

        ``table.attrs["units"]`` has the unit of each column whose device states one.
        """
        import pandas as pd

        # After a pause a RunEngine repeats events under their numbers: the last of each counts.
        rows = sorted({row[0]: row for row in self.rows}.values(), key=lambda row: row[0])
        columns: dict[str, list[Any]] = {"time": [time for _, time, _ in rows]}
        for key, about in self.data_keys.items():
            values = [data.get(key) for _, _, data in rows]
            numeric = about.get("dtype") in _NUMERIC
            columns[key] = [number(value) for value in values] if numeric else values
        index = pd.Index([seq_num for seq_num, _, _ in rows], name="seq_num")
        table = pd.DataFrame(columns, index=index)
        units = {key: about.get("units") for key, about in self.data_keys.items()}
        table.attrs["units"] = {key: unit for key, unit in units.items() if unit}
        return table


class Run:
    """One run, complete from its start to its stop document.

    ``run["primary"]`` is the table of a stream: a row for each event, a column for each data key
    and ``time`` (Unix seconds), indexed by ``seq_num``.
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
        if name not in self._streams:
            raise KeyError(f"{name!r} is no stream of this run; there are {list(self._streams)}")
        return self._streams[name].table

    def __contains__(self, name: object) -> bool:
        return name in self._streams

    def stream(self, name: str) -> Stream:
        """The stream of this name, empty when it is new."""
        return self._streams.setdefault(name, Stream())


def read_runs(path: Path) -> list[Run]:
    """All runs in a document file, in the order in which they started.

    Raises:
        ReductionError: the file is missing, damaged or truncated, or a run did not succeed.
    """
    runs: dict[str, Run] = {}
    streams: dict[str, Stream] = {}
    try:
        for name, document in read_documents(path):
            _take(name, document, runs, streams)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReductionError(f"{path} cannot be read: {error!r}") from error
    if not runs:
        raise ReductionError(f"{path} holds no run")
    for uid, run in runs.items():
        if run.stop.get("exit_status") != "success":
            status = run.stop.get("exit_status", "has no end")
            raise ReductionError(f"{path}: run {uid} is no evidence ({status})")
    return list(runs.values())


def _take(
    name: str, document: Mapping[str, Any], runs: dict[str, Run], streams: dict[str, Stream]
) -> None:
    match name:
        case "start":
            runs[document["uid"]] = Run(document)
        case "stop":
            runs[document["run_start"]].stop = document
        case "descriptor":
            stream = runs[document["run_start"]].stream(document.get("name", "primary"))
            stream.data_keys.update(document["data_keys"])
            streams[document["uid"]] = stream
        case "event":
            stream = streams[document["descriptor"]]
            stream.add(document["seq_num"], document["time"], document["data"])
        case "event_page":
            for seq_num, time, data in page_rows(document):
                streams[document["descriptor"]].add(seq_num, time, data)
        case _:
            pass  # references to files outside: a reducer that needs them reads them itself


def page_rows(page: Mapping[str, Any]) -> Iterator[tuple[int, float, dict[str, Any]]]:
    """Sequence number, time and data of each event of an event page."""
    for index, seq_num in enumerate(page["seq_num"]):
        data = {key: values[index] for key, values in page["data"].items()}
        yield seq_num, page["time"][index], data


def read_documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each document in the file with its name, as it was written."""
    with path.open("rb") as file:
        for line in file:
            name, document = json.loads(line)
            yield name, document
