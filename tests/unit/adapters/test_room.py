"""Room on a disk."""

import errno
import os
from pathlib import Path

import pytest

from orchestrator.adapters.disk.outbox import FileOutbox
from orchestrator.adapters.disk.room import is_full, lack_of_room
from orchestrator.domain.events import Acquired, Proposed
from orchestrator.ports import Result


def test_there_is_room_and_nothing_is_left_behind(tmp_path: Path) -> None:
    assert lack_of_room(tmp_path, 4096) is None
    assert list(tmp_path.iterdir()) == []
    assert lack_of_room(tmp_path / "nowhere") is None


def test_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    assert lack_of_room(tmp_path) == f"the disk of {tmp_path} has less than 16 MB free; make room"
    assert list(tmp_path.iterdir()) == []


def test_a_quota_is_a_full_disk_and_a_missing_right_is_not() -> None:
    assert is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EACCES, ""))


def test_a_result_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not lost, no half file is seen, and somebody is told."""
    told: list[tuple[str, str]] = []
    sync = os.fsync

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def wait(campaign_id: str, why: str) -> None:
        told.append((campaign_id, why))
        assert list((tmp_path / "outbox" / "c" / "0").iterdir()) == []
        monkeypatch.setattr(os, "fsync", sync)

    (tmp_path / "outbox" / "c" / "0").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", full)
    acquired = Acquired(trial_id=3, attempt=1, run_uid="u", documents="d", sha256="s")
    proposal = Proposed(trial_id=3, parameters={"x": 1.0}, source="model", basis="0", seed=1)
    FileOutbox(tmp_path, wait).put("c", Result(proposal, acquired, fence=7))
    assert [one for one, _ in told] == ["c"]
    assert "the result of trial 3 waits for room" in told[0][1]
    assert [path.name for path in (tmp_path / "outbox" / "c" / "0").iterdir()] == ["3-7.json"]
