"""A log that was cut off is told from one that is damaged, and no file is touched."""

from pathlib import Path

import pytest

from orchestrator.adapters.ledgers.append_only import damage, whole_commands


def command(*words: str) -> bytes:
    parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
    return "".join(parts).encode()


COMMANDS = [command("SET", f"key{number}", '{"a": [1, 2]}') for number in range(20)]
LOG = b"".join(COMMANDS)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    manifest = "file a.base.rdb seq 1 type b\nfile a.incr.aof seq 1 type i\n"
    (folder / "appendonly.aof.manifest").write_text(manifest)
    return tmp_path


def put(ledger: Path, data: bytes) -> Path:
    path = ledger / "appendonlydir" / "a.incr.aof"
    path.write_bytes(data)
    return path


def test_a_whole_log(ledger: Path) -> None:
    put(ledger, LOG)
    assert whole_commands(LOG) == len(LOG)
    assert damage(ledger) is None


@pytest.mark.parametrize("cut", range(1, len(COMMANDS[-1])))
def test_a_last_write_that_was_cut_off_anywhere(ledger: Path, cut: int) -> None:
    put(ledger, LOG[:-cut])
    assert damage(ledger) is None


@pytest.mark.parametrize("place", range(len(COMMANDS[0]) * 10, len(COMMANDS[0]) * 10 + 8))
def test_a_flipped_byte_in_the_frame_of_a_command(ledger: Path, place: int) -> None:
    flipped = LOG[:place] + bytes([LOG[place] ^ 0xFF]) + LOG[place + 1 :]
    path = put(ledger, flipped)
    assert damage(ledger) == (path, len(COMMANDS[0]) * 10)
    assert path.read_bytes() == flipped


def test_a_length_that_reaches_beyond_the_end(ledger: Path) -> None:
    """The server takes this for a log that was cut off, and would throw the rest away."""
    before = b"".join(COMMANDS[:5])
    path = put(ledger, before + b"*3\r\n$99999\r\nSET\r\n" + b"".join(COMMANDS[6:]))
    assert damage(ledger) == (path, len(before))


def test_no_log_at_all(tmp_path: Path) -> None:
    assert damage(tmp_path) is None
