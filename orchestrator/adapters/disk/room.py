"""Whether a folder has room for what must be written next: asked of the disk, not computed."""

import errno
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

LEAST_ROOM = 16 * 2**20
"""Bytes that must be free before something is begun that will have to be saved."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full(error: OSError) -> bool:
    """True when the error says that the disk, or a quota on it, is full."""
    return error.errno in _FULL


def lack_of_room(folder: Path, wanted: int = LEAST_ROOM) -> str | None:
    """Why so many bytes cannot be saved in the folder, in one sentence; None when they can.

    The bytes are reserved and given back at once: that costs no writing, and sees quotas too.
    A folder that is not there has room.

    Raises:
        OSError: another reason than room.
    """
    path = folder / f".room-{os.getpid()}"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        if is_full(error):
            return _sentence(folder, wanted)
        raise
    try:
        path.unlink()  # at once: whatever happens now, the room comes back
        return None if _reserve(descriptor, folder, wanted) else _sentence(folder, wanted)
    finally:
        os.close(descriptor)


class FileRoom:
    """Whether the files of area detectors have room: as much as those of the largest attempt.

    Nothing is reserved for them, as that would mean to write them on some network file systems.

    Args:
        least: bytes that an attempt's files need at least; 0 when unknown.
        folder: somewhere on the disk that they go to; None when that is not known yet.
    """

    def __init__(self, least: int = 0, folder: Path | None = None) -> None:
        self._least = least
        self._folder = folder
        self._largest = 0

    def use(self, folder: Path) -> None:
        """Files go into this folder, or one on the same disk, from now on."""
        self._folder = folder

    def learn(self, sizes: Mapping[Path, int]) -> None:
        """An attempt has written files of so many bytes."""
        total: Counter[Path] = Counter()
        for path, size in sizes.items():
            total[path.parent] += size
        for folder, size in total.items():
            if size >= self._largest:
                self._folder, self._largest = folder, size

    def lack(self) -> str | None:
        """Why the next attempt's files would not fit, in one sentence; None when they do."""
        wanted = max(self._least, self._largest)
        if self._folder is None or not wanted:
            return None
        at = next(one for one in (self._folder, *self._folder.parents) if one.exists())
        about = os.statvfs(at)
        wanted += LEAST_ROOM
        return None if about.f_bavail * about.f_frsize >= wanted else _sentence(at, wanted)


def _reserve(descriptor: int, folder: Path, wanted: int) -> bool:
    if not hasattr(os, "posix_fallocate"):  # macOS
        about = os.statvfs(folder)
        return about.f_bavail * about.f_frsize >= wanted
    try:
        os.posix_fallocate(descriptor, 0, wanted)
    except OSError as error:
        if is_full(error):
            return False
        raise
    return True


def _sentence(folder: Path, wanted: int) -> str:
    return f"the disk of {folder} has less than {wanted // 2**20} MB free; make room"
