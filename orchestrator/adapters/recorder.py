"""Takes every document of one attempt: saves it, looks at it, and shows it to whoever watches."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.readings import ReadingCheck
from orchestrator.adapters.run_documents import DocumentWriter, read_documents, read_runs
from orchestrator.domain.errors import PlanFailed, ReductionError
from orchestrator.ports import Evidence

log = logging.getLogger(__name__)

Publisher = Callable[[str, Mapping[str, Any]], None]


def evidence_in(data_dir: Path, documents: str) -> Evidence:
    """The evidence in a document file whose writer has ended, complete and with good readings.

    Raises:
        ReductionError: it is not complete, or holds a bad reading; the message says what.
    """
    path = data_dir / documents
    runs = read_runs(path)
    check = ReadingCheck()
    for name, document in read_documents(path):
        check.look(name, document)
    if check.problem is not None:
        raise ReductionError(f"{path}: {check.problem}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Evidence(str(runs[0].start["uid"]), documents, digest)


class Recorder:
    """The one subscriber of the RunEngine.

    Args:
        data_dir: the data folder.
        documents: file for the documents, relative to it.
        publisher: told of each document after it was saved; what it raises ends nothing.

    Raises:
        PlanFailed: the file cannot be created (reason ``documents_not_saved``).
    """

    def __init__(self, data_dir: Path, documents: str, publisher: Publisher | None) -> None:
        self._documents = documents
        self._publisher = publisher
        self._writer = DocumentWriter(data_dir / documents)
        self._check = ReadingCheck()
        self._open: set[str] = set()
        self._first: str | None = None
        self._failed = False

    @property
    def error(self) -> PlanFailed | None:
        """Why the documents could not be saved; None when they were."""
        return self._writer.error

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take one document.

        Raises:
            PlanFailed: it could not be saved, so there is no point in measuring on.
        """
        self._writer.write(name, document)
        if name == "start":
            self._first = self._first or document["uid"]
            self._open.add(document["uid"])
        elif name == "stop":
            self._open.discard(document["run_start"])
            self._failed |= document["exit_status"] != "success"
            if not self._open:
                self._writer.settle()
        else:
            self._check.look(name, document)
        self._publish(name, document)

    def evidence(self) -> Evidence:
        """Make the documents durable and say where they are.

        Raises:
            PlanFailed: they are incomplete, not saved, or hold a bad reading.
        """
        if self._first is None or self._open or self._failed:
            raise PlanFailed("the plan ended without a run that was a success")
        if self._check.problem is not None:
            raise PlanFailed(self._check.problem, "bad_reading")
        return Evidence(self._first, self._documents, self._writer.finish())

    def close(self) -> None:
        """Keep what there is, for people; it counts for nothing unless it was given as evidence."""
        self._writer.close()

    def _publish(self, name: str, document: Mapping[str, Any]) -> None:
        if self._publisher is None:
            return
        try:
            self._publisher(name, document)
        except Exception:  # a live view is not worth a measurement
            log.exception("publisher raised; documents of this attempt are shown no more")
            self._publisher = None
