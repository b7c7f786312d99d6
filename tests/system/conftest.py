from collections.abc import Iterator

import pytest

from tests.system.lab import end_all


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    end_all()
