"""A kept result depends on what its code does, not on where that stands or what is said of it."""

import textwrap
from pathlib import Path

import pytest

from orchestrator.adapters.disk.code_digest import code_digest

WRITTEN = '''
"""About it."""
import math
from typing import TYPE_CHECKING
from orchestrator.far import away
if TYPE_CHECKING:
    from elsewhere import Length

def area(radius):
    """In square metres."""
    return math.pi * away(radius) ** 2
'''
TOLD_OTHERWISE = """
import math

def area(radius):  # round
    from orchestrator.near.by import away
    return (math.pi
            * away(radius) ** 2)
"""


def digest(folder: Path, **files: str) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return code_digest(folder.glob("*.py"))


def test_remarks_layout_and_where_something_of_ours_stands_decide_nothing(tmp_path):
    before = digest(tmp_path / "before", circle=WRITTEN, other="B = 2\n")
    assert digest(tmp_path / "after", a="B = 2\n", round=TOLD_OTHERWISE) == before


@pytest.mark.parametrize(
    ("old", "new"), [("** 2", "** 3"), ("area", "volume"), ("import math", "import cmath as math")]
)
def test_what_the_code_does_decides(tmp_path, old, new):
    before = digest(tmp_path / "before", circle=WRITTEN)
    assert digest(tmp_path / "after", circle=WRITTEN.replace(old, new)) != before


def test_a_change_within_the_same_process_is_seen(tmp_path):
    before = digest(tmp_path / "code", circle="A = 1\n")
    (tmp_path / "code" / "circle.py").write_text("A = 2\nB = 3\n")
    assert code_digest((tmp_path / "code").glob("*.py")) != before


def test_a_compiled_module_counts_by_its_bytes(tmp_path):
    module = tmp_path / "fast.so"
    module.write_bytes(b"\x7fELF\x00\xff")
    first = code_digest([module])
    module.write_bytes(b"\x7fELF\x00\xff\x01")
    assert code_digest([module]) != first
