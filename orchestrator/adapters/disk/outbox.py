"""The outbox in the data folder: one small file for each result, safe before the ledger hears."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.durable import write_file
from orchestrator.adapters.disk.room import is_full, lack_of_room
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.events import Acquired, Proposed, to_json
from orchestrator.ports import Result

log = logging.getLogger(__name__)


SHARED_BY = 100
"""Trials whose results lie in one folder: a look at a trial reads the names of these alone."""


class FileOutbox:
    """Results as ``outbox/<campaign_id>/<hundred>/<trial>-<fence>.json``, with checksums.

    The hundred is the trial's number without its last two digits.

    Args:
        data_dir: the data folder.
        wait: called with the campaign and the reason while the disk is full, before each further
            try; returns after a while.
        files_lack: says why the files of detectors would have no room; None when they have.
    """

    def __init__(
        self,
        data_dir: Path,
        wait: Callable[[str, str], None] = lambda *_: time.sleep(1.0),
        files_lack: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._data_dir = data_dir
        self._wait = wait
        self._files_lack = files_lack

    def lack(self) -> str | None:
        """See ports.Outbox."""
        folders = (self._data_dir / name for name in ("outbox", "runs"))
        return next(filter(None, map(lack_of_room, folders)), None) or self._files_lack()

    def put(self, campaign_id: str, result: Result) -> None:
        """See ports.Outbox."""
        trial_id = result.acquired.trial_id
        path = self._folder(campaign_id, trial_id) / f"{trial_id}-{result.fence}.json"
        while True:
            try:
                return write_file(path, _content(result))
            except OSError as error:
                if not is_full(error):
                    raise
                why = f"the result of trial {trial_id} waits for room: {error}"
                log.error("%s", why)
                self._wait(campaign_id, why)

    def results(self, campaign_id: str, trial_id: int) -> list[Result]:
        """What attempts at the trial have delivered, in the order of their fences; mostly empty.

        A damaged file, or one whose documents are missing or changed, is set aside.
        """
        paths = self._folder(campaign_id, trial_id).glob(f"{trial_id}-*.json")
        found = [self._read(path) for path in paths]
        return sorted((one for one in found if one is not None), key=lambda one: one.fence)

    def _read(self, path: Path) -> Result | None:
        try:
            result = _result(json.loads(path.read_bytes()))
            self._check(result, path)
        except (ValueError, TypeError, KeyError, OSError) as error:
            aside = path.with_name(f"{path.name}.quarantined")
            with contextlib.suppress(FileNotFoundError):  # another process has set it aside
                path.replace(aside)
            log.warning("%s does not count and is now %s: %s", path, aside.name, error)
            return None
        return result

    def _check(self, result: Result, path: Path) -> None:
        acquired = result.acquired
        if path.stem != f"{acquired.trial_id}-{result.fence}":
            raise ValueError(f"it is about trial {acquired.trial_id} under fence {result.fence}")
        with (self._data_dir / acquired.documents).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != acquired.sha256:
            raise ValueError(f"{acquired.documents} has changed")

    def _folder(self, campaign_id: str, trial_id: int) -> Path:
        outbox = self._data_dir / "outbox"
        folder = outbox / campaign_id
        if folder.parent != outbox or campaign_id in ("", ".", ".."):
            raise LedgerError(f"{campaign_id!r} is no campaign id")
        return folder / str(trial_id // SHARED_BY)


def _content(result: Result) -> bytes:
    parts = {"proposal": result.proposal, "acquired": result.acquired}
    events = {name: json.loads(to_json(event)) for name, event in parts.items()}
    body = json.dumps({"fence": result.fence, **events})
    return json.dumps({"result": body, "sha256": _digest(body)}).encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _result(stored: Any) -> Result:
    if not isinstance(stored["result"], str):
        raise ValueError("it is no entry of an outbox")
    if _digest(stored["result"]) != stored["sha256"]:
        raise ValueError("its checksum is wrong")
    parts = json.loads(stored["result"])
    proposal, acquired = Proposed(**parts["proposal"]), Acquired(**parts["acquired"])
    if proposal.trial_id != acquired.trial_id:
        raise ValueError(f"it mixes trials {proposal.trial_id} and {acquired.trial_id}")
    return Result(proposal, acquired, parts["fence"])
