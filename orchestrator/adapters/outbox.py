"""The outbox in the data folder: one small file for each result, safe before the ledger hears."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.adapters.durable import write_file
from orchestrator.adapters.room import is_full, lack_of_room
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import Acquired, to_json

log = logging.getLogger(__name__)


class FileOutbox:
    """Results as ``outbox/<campaign_id>/<trial>-<attempt>.json``, each with its own checksum.

    Args:
        data_dir: the data folder.
        wait: called with the campaign and the reason while the disk is full, before each further
            try; returns after a while.
    """

    def __init__(
        self, data_dir: Path, wait: Callable[[str, str], None] = lambda *_: time.sleep(1.0)
    ) -> None:
        self._data_dir = data_dir
        self._wait = wait

    def lack(self) -> str | None:
        """See ports.Outbox."""
        folders = (self._data_dir / name for name in ("outbox", "runs"))
        return next(filter(None, map(lack_of_room, folders)), None)

    def put(self, campaign_id: str, acquired: Acquired) -> None:
        """See ports.Outbox."""
        body = to_json(acquired)
        content = json.dumps({"acquired": body, "sha256": _digest(body)})
        path = self._path(campaign_id, acquired.trial_id, acquired.attempt)
        while True:
            try:
                return write_file(path, content.encode())
            except OSError as error:
                if not is_full(error):
                    raise
                why = f"the result of trial {acquired.trial_id} waits for room: {error}"
                log.error("%s", why)
                self._wait(campaign_id, why)

    def find(self, campaign_id: str, trial_id: int, attempt: int) -> Acquired | None:
        """What was stored for the attempt; None when nothing intact is there.

        A damaged file, or one whose documents are missing or changed, is set aside.
        """
        path = self._path(campaign_id, trial_id, attempt)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            acquired = _read(content)
            self._check(acquired, trial_id, attempt)
        except (ValueError, TypeError, KeyError, OSError) as error:
            aside = path.with_name(f"{path.name}.quarantined")
            path.replace(aside)
            log.warning("%s does not count and is now %s: %s", path, aside.name, error)
            return None
        return acquired

    def _check(self, acquired: Acquired, trial_id: int, attempt: int) -> None:
        if (acquired.trial_id, acquired.attempt) != (trial_id, attempt):
            raise ValueError(f"it is about attempt {acquired.attempt} of {acquired.trial_id}")
        with (self._data_dir / acquired.documents).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != acquired.sha256:
            raise ValueError(f"{acquired.documents} has changed")

    def _path(self, campaign_id: str, trial_id: int, attempt: int) -> Path:
        folder = self._data_dir / "outbox"
        path = folder / campaign_id / f"{trial_id}-{attempt}.json"
        if path.parent.parent != folder or campaign_id in ("", ".", ".."):
            raise LedgerError(f"{campaign_id!r} is no campaign id")
        return path


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(content: bytes) -> Acquired:
    stored = json.loads(content)
    if not isinstance(stored["acquired"], str):
        raise ValueError("it is no entry of an outbox")
    if _digest(stored["acquired"]) != stored["sha256"]:
        raise ValueError("its checksum is wrong")
    return Acquired(**json.loads(stored["acquired"]))
