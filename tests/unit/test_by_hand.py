"""What a person may do to a lab that runs, or does not."""

from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.by_hand import cause_fault
from orchestrator.domain.errors import Unusable
from orchestrator.settings import Settings


def test_a_fault_without_a_twin_is_told_that_none_runs() -> None:
    ledger: Any = SimpleNamespace(processes=dict)
    with pytest.raises(Unusable, match="no twin runs here"):
        cause_fault(Settings(), ledger, None, {})
