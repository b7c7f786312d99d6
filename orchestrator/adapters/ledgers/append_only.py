"""The server's append-only file when the server does not start on it: what is wrong, and where.

Looked at, never mended: a server that is allowed to cut a file at the first byte which it does not
understand would throw away all that follows. Only a last write that was cut off in its middle, as
a power cut leaves it, may go: nobody was told that it had been saved.
"""

import re
from pathlib import Path

HOW_TO = "docs/how-to/repair-a-damaged-ledger.md"

_HEAD = re.compile(rb"\*(\d{1,9})\r\n")
_LENGTH = re.compile(rb"\$(\d{1,10})\r\n")
_ANOTHER = re.compile(rb"\r\n\*\d{1,9}\r\n\$\d{1,10}\r\n")
"""The start of a further command. No text that Labwright stores has a line end."""


def is_cut_off(said: str) -> bool:
    """True when the server says that the file ends too early."""
    return "Unexpected end of file reading the append only file" in said


def damage(ledger: Path) -> tuple[Path, int] | None:
    """File and offset of the first byte that is no log; None with only a last write cut off."""
    files = _files(ledger)
    for file in files:
        data = file.read_bytes()
        end = whole_commands(data)
        rest = data[end:]
        is_torn = file == files[-1] and rest.startswith(b"*") and not _ANOTHER.search(rest)
        if rest and not is_torn:
            return file, end
    return None


def whole_commands(data: bytes) -> int:
    """How many bytes from the start hold whole commands."""
    end = 0
    while (after := _command(data, end)) is not None:
        end = after
    return end


def refusal(ledger: Path, said: str, log: Path) -> str:
    """Why the server does not start, for the person at the screen."""
    complaint = next(
        (line for line in said.splitlines() if re.search(r" # .*(AOF|append|DB|RDB|CRC)", line)), ""
    )
    if not complaint:
        return f"the embedded server did not start; see {log}"
    found = damage(ledger)
    where = f"{found[0]} is no log from byte {found[1]} on" if found else f"see {log}"
    told = complaint.partition(" # ")[2].split(":")[0].rstrip(". ")
    return (
        f"the ledger in {ledger} is damaged: {where}. Nothing starts, and nothing was changed. "
        f"{HOW_TO} shows how to repair a copy (the server says: {told})"
    )


def _files(ledger: Path) -> list[Path]:
    """The files with commands, in their order, as the manifest lists them."""
    folder = ledger / "appendonlydir"
    try:
        lines = (folder / "appendonly.aof.manifest").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    names = [words[1] for words in map(str.split, lines) if words[-1:] == ["i"] and len(words) > 1]
    return [folder / name for name in names if (folder / name).is_file()]


def _command(data: bytes, start: int) -> int | None:
    """Where the command that starts here ends; None when it is not whole."""
    head = _HEAD.match(data, start)
    if head is None:
        return None
    end = head.end()
    for _ in range(int(head[1])):
        length = _LENGTH.match(data, end)
        if length is None:
            return None
        end = length.end() + int(length[1]) + 2
        if data[end - 2 : end] != b"\r\n":
            return None
    return end
