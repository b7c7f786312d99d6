"""What a power cut leaves of an append-only file."""

import random

import pytest

from tests.chaos import log_file
from tests.chaos.log_file import LogFile, whole_events


def command(*words):
    bulks = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{bulks}".encode()


ALONE = command("XADD", "lab:c:a:log", "1-0", "type", "opened")
TWO = command("MULTI") + command("XADD", "log", "2-0") + command("XADD", "log", "2-1")
TWO += command("EXEC")
CONTENT = command("SELECT", "0") + ALONE + TWO + command("HSET", "k", "f", "v")


@pytest.fixture
def file(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(log_file.time, "monotonic", lambda: now[0])
    folder = tmp_path / "ledger" / "appendonlydir"
    folder.mkdir(parents=True)
    path = folder / "appendonly.aof.1.incr.aof"
    looked_at = LogFile(tmp_path)
    looked_at.look()  # before there is one
    for _ in range(6):
        with path.open("ab") as appended:
            appended.write(ALONE)
        looked_at.look()
        now[0] += 0.5
    return looked_at, path


def test_events_of_whole_commands_and_transactions():
    counts = [whole_events(CONTENT[:end]) for end in range(len(CONTENT) + 1)]
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 3}  # both events of a transaction, or none
    assert whole_events(CONTENT) == 3
    assert counts.index(3) == len(CONTENT) - len(command("HSET", "k", "f", "v"))


def test_what_is_older_than_two_seconds_stays_and_the_last_second_goes(file):
    looked_at, path = file
    assert looked_at.is_known
    whole = path.stat().st_size
    lost = looked_at.roll_back(random.Random(0))
    # Written at 0.0, 0.5, … 2.5 s; now it is 3.0 s.
    assert 3 * len(ALONE) <= path.stat().st_size <= 5 * len(ALONE) < whole
    assert lost == 6 - path.stat().st_size // len(ALONE)


def test_after_a_cut_the_past_is_unknown(file):
    looked_at, _ = file
    looked_at.roll_back(random.Random(0))
    assert not looked_at.is_known


def test_a_torn_end_takes_nothing(file):
    looked_at, path = file
    whole = path.read_bytes()
    for seed in range(20):
        path.write_bytes(whole)
        looked_at.tear(random.Random(seed))
        left = path.read_bytes()
        assert left.startswith(whole)
        assert len(left) < len(whole) + len(ALONE)
        assert whole_events(left) == 6
