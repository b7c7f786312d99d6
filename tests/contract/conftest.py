"""What the tests of ledgers share."""

from collections.abc import Iterator

import pytest

from orchestrator.adapters.ledgers import memory_ledger, redis_ledger
from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.ports import Ledger
from tests.contract.ledger_machine import MOST_GRANTS


@pytest.fixture(params=["memory", "redis"])
def ledger(request: pytest.FixtureRequest, lab_name: str) -> Iterator[Ledger]:
    """Each adapter in turn: what holds for the one in memory holds for the real one."""
    if request.param == "memory":
        yield MemoryLedger(request.getfixturevalue("clock"))
        return
    real = RedisLedger(request.getfixturevalue("server").url, lab=lab_name, patience_s=5)
    yield real
    real.close()


@pytest.fixture
def few_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers that give a trial up after few leases."""
    for module in (memory_ledger, redis_ledger):
        monkeypatch.setattr(module, "MOST_GRANTS", MOST_GRANTS)
