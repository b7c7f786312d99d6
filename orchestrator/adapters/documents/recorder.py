"""Takes every document of one attempt: saves it, looks at it, and shows it to whoever watches."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.adapters.documents.file_references import DETECTOR_FILES, FileReferences
from orchestrator.adapters.documents.readings import ReadingCheck
from orchestrator.adapters.documents.run_documents import DocumentWriter, read_documents, read_runs
from orchestrator.domain.errors import PlanFailed, ReductionError
from orchestrator.ports import Evidence

log = logging.getLogger(__name__)

Publisher = Callable[[str, Mapping[str, Any]], None]


def evidence_in(data_dir: Path, documents: str) -> Evidence:
    """The evidence in a document file whose writer has ended, complete and with good readings.

    Raises:
        ReductionError: it is not complete, holds a bad reading, or refers to a file that is not
            there or has too few frames; the message says what.
    """
    path = data_dir / documents
    runs = read_runs(path)
    check, references = ReadingCheck(), FileReferences(data_dir)
    for name, document in read_documents(path):
        check.look(name, document)
        references.look(name, document)
    if problem := check.problem or references.problem():
        raise ReductionError(f"{path}: {problem}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Evidence(str(runs[0].start["uid"]), documents, digest)


def has_evidence(data_dir: Path, documents: str) -> bool:
    """True when there is evidence in a document file whose writer has ended."""
    try:
        evidence_in(data_dir, documents)
    except ReductionError:
        return False
    return True


class Recorder:
    """The one subscriber of the RunEngine.

    Args:
        data_dir: the data folder.
        documents: file for the documents, relative to it.
        publisher: told of each document after it was saved; what it raises ends nothing.
        files_wait_s: how long a detector's file may take to appear complete, seconds.

    Raises:
        PlanFailed: the file cannot be created (reason ``documents_not_saved``).
    """

    def __init__(
        self,
        data_dir: Path,
        documents: str,
        publisher: Publisher | None,
        files_wait_s: float = 0.0,
    ) -> None:
        self._documents = documents
        self._publisher = publisher
        self._writer = DocumentWriter(data_dir / documents)
        self._check = ReadingCheck()
        self.references = FileReferences(data_dir)
        """The files that the documents refer to."""
        self._files_wait_s = files_wait_s
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
        self.references.look(name, document)
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
            PlanFailed: they are incomplete, not saved, or hold a bad reading; or a file that they
                refer to is missing or has too few frames (reason ``detector_files``).
        """
        if self._first is None or self._open or self._failed:
            raise PlanFailed("the plan ended without a run that was a success")
        if self._check.problem is not None:
            raise PlanFailed(self._check.problem, "bad_reading")
        if (problem := self.references.problem(self._files_wait_s)) is not None:
            raise PlanFailed(problem, DETECTOR_FILES)
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
