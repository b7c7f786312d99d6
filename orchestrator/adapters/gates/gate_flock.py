"""One driver per instrument by a lock of the operating system, held as long as the process lives.

The kernel frees the lock when the process dies, however it dies, and never while it is merely
frozen. The locked file also keeps the highest fence.
"""

import fcntl
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orchestrator.adapters.disk.durable import make_folder, sync_folder
from orchestrator.domain.errors import LeaseLost, Unusable

_SLOT = 64
"""Bytes of one record. The file has two and each write replaces the older one, so that a power
cut in the middle of a write leaves the other."""


class _Record(NamedTuple):
    serial: int
    fence: int
    pid: int


class FlockGate:
    """The lock file of one instrument.

    Args:
        path: the same for every process that may drive this instrument on this host.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def enter(self) -> bool:
        """Become the only driver; False when another process is. Held until the process ends.

        Raises:
            Unusable: the lock file cannot be opened, or it is damaged.
        """
        if self._descriptor is not None:
            return True
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        os.register_at_fork(after_in_child=self._leave)
        self._write(self._last().fence)
        sync_folder(self._path.parent)
        return True

    @property
    def yields(self) -> bool:
        """False: the lock is held until this process ends."""
        return False

    @property
    def floor(self) -> int:
        """Highest fence ever claimed here; 0 when none was."""
        return self._last().fence

    @property
    def holder(self) -> int | None:
        """Process that entered last, for messages; None when none ever did."""
        return self._last().pid or None

    def claim(self, fence: int) -> None:
        """Remember the fence before the first command under it.

        Raises:
            LeaseLost: a higher fence was claimed before, or this process is not the driver.
        """
        if self._descriptor is None:
            raise LeaseLost(f"this process does not hold {self._path}")
        floor = self.floor
        if fence < floor:
            raise LeaseLost(f"fence {fence} is below {floor}, which was claimed before")
        if fence > floor:
            self._write(fence)

    def confirm(self, fence: int) -> None:
        """Pass when no higher fence was claimed since; nobody else can while the lock is held.

        Raises:
            LeaseLost: one was.
        """
        if self.floor > fence:
            raise LeaseLost(f"fence {self.floor} was claimed after {fence}")

    def leave(self) -> None:
        """Let others drive; for a process that lives on and drives no more."""
        self._leave()

    def _open(self) -> int:
        try:
            make_folder(self._path.parent)
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unusable(f"lock file {self._path} cannot be opened: {error.strerror}") from error

    def _leave(self) -> None:
        """Keep a forked child from holding the lock on after its parent's death."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _last(self) -> _Record:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        if not content:
            return _Record(0, 0, 0)
        slots = (content[:_SLOT], content[_SLOT:])
        records = [record for slot in slots if (record := _parse(slot)) is not None]
        if not records:
            raise Unusable(
                f"lock file {self._path} is damaged; when nothing drives the instrument, remove it"
            )
        return max(records)

    def _write(self, fence: int) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise LeaseLost(f"this process does not hold {self._path}")
        record = _Record(self._last().serial + 1, fence, os.getpid())
        os.pwrite(descriptor, _format(record), _SLOT * (record.serial % 2))
        os.fsync(descriptor)


def _format(record: _Record) -> bytes:
    body = " ".join(map(str, record))
    return f"{body} {zlib.crc32(body.encode())}".ljust(_SLOT - 1).encode() + b"\n"


def _parse(slot: bytes) -> _Record | None:
    """The record in a slot; None when none was ever written there, or not to its end."""
    try:
        serial, fence, pid, check = slot.split()
        if zlib.crc32(b" ".join((serial, fence, pid))) != int(check):
            return None
        return _Record(int(serial), int(fence), int(pid))
    except ValueError:
        return None


class FlockGates:
    """Several locks as one gate: entered when all are, claimed on all."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Takes the locks in the order given, which should be the same everywhere."""
        self._gates = [FlockGate(path) for path in paths]

    def enter(self) -> bool:
        """See ports.Gate."""
        return all(gate.enter() for gate in self._gates)

    @property
    def yields(self) -> bool:
        """See ports.Gate."""
        return False

    @property
    def floor(self) -> int:
        """See ports.Gate."""
        return max(gate.floor for gate in self._gates)

    def claim(self, fence: int) -> None:
        """See ports.Gate."""
        for gate in self._gates:
            gate.claim(fence)

    def confirm(self, fence: int) -> None:
        """See ports.Gate."""
        for gate in self._gates:
            gate.confirm(fence)

    def leave(self) -> None:
        """Let others drive; for a process that lives on and drives no more."""
        for gate in self._gates:
            gate.leave()
