"""What the tests of the ledger's machine of rules share."""

import pytest

from orchestrator.adapters import memory_ledger, redis_ledger
from tests.contract.ledger_machine import MOST_GRANTS


@pytest.fixture
def few_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers that give a trial up after few leases."""
    for module in (memory_ledger, redis_ledger):
        monkeypatch.setattr(module, "MOST_GRANTS", MOST_GRANTS)
