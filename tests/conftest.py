"""Fixtures that several kinds of tests share: a real server, a lab on it, a clock that is told."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.ledgers.embedded_server import LiveServer, ensure_server
from orchestrator.adapters.processes import child

_labs = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A real embedded server; each test uses a lab prefix of its own on it."""
    live = ensure_server(tmp_path_factory.mktemp("server"))
    yield live
    assert live.process is not None
    child.end(live.process, 5.0)


@pytest.fixture
def lab_name() -> str:
    """A key prefix that no other test uses."""
    return f"test{next(_labs)}"


class ToldClock:
    """A clock that moves only when it is told to, or when somebody sleeps on it."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"
