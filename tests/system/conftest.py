import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.branin_lab import measure
from tests.system.lab import end_all


@pytest.fixture(scope="session")
def branin_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ``lab_reducers.py``, importable, and the data of a campaign in ``data``.

    Whoever would change the data makes a copy.
    """
    folder = tmp_path_factory.mktemp("branin")
    measure(folder)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    yield
    end_all()
