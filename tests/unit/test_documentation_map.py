"""Every page can be found, and no page tells of a verb that there is not."""

import re
from pathlib import Path

import pytest

from orchestrator.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
PAGES = sorted(DOCS.rglob("*.md"))
VERB = re.compile(r"labwright (?!labwright)([a-z][a-z-]*)\b")  # it is a user's name, too
CODE = re.compile(r"^```[^\n]*\n.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)


def linked_from(page: Path) -> set[Path]:
    """The files that a page links to."""
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    return {(page.parent / one).resolve() for one in targets if not one.startswith("http")}


def verbs(text: str) -> set[str]:
    """What follows ``labwright`` in code."""
    return {verb for code in CODE.findall(text) for verb in VERB.findall(code)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_page_is_linked_from_the_index(page: Path) -> None:
    assert page == INDEX or page.resolve() in linked_from(INDEX)


def test_the_readme_leads_to_every_how_to_page() -> None:
    missing = set((DOCS / "how-to").glob("*.md")) - linked_from(ROOT / "README.md")
    assert not {page.name for page in missing}


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.name
)
def test_every_verb_that_a_page_tells_of_is_there(page: Path) -> None:
    assert verbs(page.read_text()) <= set(app)


def test_the_readme_shows_the_verbs_of_a_campaign() -> None:
    shown = verbs((ROOT / "README.md").read_text())
    assert {"new", "check", "run", "status", "answer", "samples", "results", "verify"} <= shown


def test_a_verb_that_is_not_there_is_noticed() -> None:
    assert verbs("say `labwright propose 3`, not labwright levitate") == {"propose"}
    assert "propose" not in set(app)
