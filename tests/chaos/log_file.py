"""The server's append-only file, and what a power cut leaves of it."""

import random
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

UNSAFE_S = (1.0, 2.0)
"""Age of what ``everysec`` may lose, in seconds before the cut: the end lies in this span."""


class LogFile:
    """The file of one data folder. It is looked at often, to know what it held a second ago.

    Args:
        data_dir: whose embedded server writes it.
    """

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "ledger" / "appendonlydir"
        self._sizes: deque[tuple[float, Path, int]] = deque()

    def look(self) -> None:
        """Remember how long the file is now."""
        now, path = time.monotonic(), self._path()
        if path is None:
            return
        self._sizes.append((now, path, path.stat().st_size))
        while self._sizes[0][0] < now - 2 * UNSAFE_S[1]:
            self._sizes.popleft()

    @property
    def is_known(self) -> bool:
        """True when its length of long enough ago is known."""
        path = self._path()
        ages = (time.monotonic() - at for at, known, _ in self._sizes if known == path)
        return max(ages, default=0.0) > UNSAFE_S[1]

    def tear(self, draw: random.Random) -> None:
        """Leave half of a further command at the end, or nothing, as ``always`` may."""
        path = self._existing()
        command = path.read_bytes()[: _first_end(path.read_bytes())]
        with path.open("ab") as file:
            file.write(command[: draw.randrange(len(command))])

    def roll_back(self, draw: random.Random) -> int:
        """Cut it at any byte written one to two seconds ago; gives the number of events lost."""
        path, now = self._existing(), time.monotonic()
        content = path.read_bytes()
        newest, oldest = (self._size_at(path, now - age) for age in UNSAFE_S)
        end = draw.randint(oldest, newest)
        with path.open("r+b") as file:
            file.truncate(end)
        self._sizes.clear()
        return whole_events(content) - whole_events(content[:end])

    def _size_at(self, path: Path, moment: float) -> int:
        return max(size for at, known, size in self._sizes if known == path and at <= moment)

    def _existing(self) -> Path:
        path = self._path()
        if path is None:
            raise FileNotFoundError(f"{self._folder} holds no append-only file")
        return path

    def _path(self) -> Path | None:
        return max(self._folder.glob("*.incr.aof"), default=None)


def whole_events(content: bytes) -> int:
    """Events in an append-only file that a server takes: an unfinished transaction is dropped."""
    found, open_ones, is_open = 0, 0, False
    for command, _ in _commands(content):
        name = command[0].upper()
        open_ones += name == b"XADD"
        is_open = (is_open or name == b"MULTI") and name != b"EXEC"
        if not is_open:
            found, open_ones = found + open_ones, 0
    return found


def _first_end(content: bytes) -> int:
    return next(end for _, end in _commands(content))


def _commands(content: bytes) -> Iterator[tuple[list[bytes], int]]:
    """Each complete command, and where it ends."""
    place = 0
    try:
        while content[place : place + 1] == b"*":
            head = content.index(b"\r\n", place)
            words, at = [], head + 2
            for _ in range(int(content[place + 1 : head])):
                head = content.index(b"\r\n", at)
                begin = head + 2
                end = begin + int(content[at + 1 : head])
                words.append(content[begin:end])
                at = end + 2
            if at > len(content):
                return
            place = at
            yield words, place
    except ValueError:
        return  # cut in the middle of a length
