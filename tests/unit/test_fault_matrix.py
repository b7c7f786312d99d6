"""The page on reliability names a test for each case: there it is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanations/reliability.md"
HEAD = "| what happens | what follows | test |"


def rows() -> list[list[str]]:
    table = PAGE.read_text().split(HEAD)[1].strip().splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_case_has_its_test_or_a_reason(row: list[str]) -> None:
    case, follows, test = row
    assert case
    if test == "none":
        assert "not" in follows or "no test:" in follows, "a reason is given instead"
        return
    file, _, name = test.strip("`").partition("::")
    module = ast.parse((ROOT / "tests" / file).read_text())
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_the_table_is_read() -> None:
    assert len(rows()) > 50
