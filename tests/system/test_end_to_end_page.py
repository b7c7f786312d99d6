"""The page that follows one trial shows what a run leaves behind, and names what is there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.system.lab import LABWRIGHT, environment
from tests.system.test_documentation import BLOCK, DOCS, blocks, fits

pytestmark = pytest.mark.system

ROOT = DOCS.parent
PROGRAMS = Path(LABWRIGHT).parent
PAGE = "explanations/one-trial-end-to-end.md"
PROSE = BLOCK.sub("", (DOCS / PAGE).read_text())
SPANS = sorted({" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)})
CODE = [span for span in SPANS if re.fullmatch(r"[\w/]+\.(py|lua)", span)]
TESTS = [span for span in SPANS if "::" in span]
VERBS = [span for span in SPANS if span.startswith("labwright ")]
"""That these are there is tested for all pages together."""
RECORD = sorted({*SPANS} - {*CODE, *TESTS, *VERBS})
STEPS = re.split(r"^## \d+\. ", PROSE, flags=re.MULTILINE)[1:]


def type_in(command: str, folder: Path) -> str:
    """What a command says, typed in a folder."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=environment(PATH=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_run_leaves_behind_what_the_page_shows_and_names(tmp_path: Path) -> None:
    shown = [
        part.partition("\n")
        for block in blocks(PAGE, "console")
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    ]
    assert len(shown) == 9
    for command, _, output in shown:
        said = type_in(command, tmp_path)
        assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"
    (log,) = tmp_path.glob("labwright-data/ledger/appendonlydir/*.incr.aof")
    ledger = log.read_bytes().decode(errors="replace").split("\r\n")
    texts = _texts(tmp_path)
    for span in RECORD:
        if span.startswith("labwright-data/"):
            assert (tmp_path / span).exists(), span
        elif span.startswith("{lab}:"):
            assert span in ledger
        else:
            assert any(span in text for text in texts) or _is_in_code(span), span


def _texts(folder: Path) -> list[str]:
    """The names of all files in a folder, and what those hold that people may read."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    readable = [path for path in files if path.suffix in (".json", ".jsonl", ".csv")]
    return [path.name for path in files] + [path.read_text() for path in readable]


def _is_in_code(name: str) -> bool:
    """True for a function, or a word between quotes, of a file that the page names."""
    word = re.escape(name)
    wanted = re.compile(rf"""(def|function) {word}\(|["']{word}["']""")
    return any(wanted.search((ROOT / file).read_text()) for file in CODE)


@pytest.mark.parametrize("file", CODE)
def test_the_code_that_the_page_names_is_there(file: str) -> None:
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_that_the_page_names_are_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text()


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.partition("\n")[0])
def test_each_step_says_where_what_is_safe_and_what_follows_a_death(step: str) -> None:
    for label in ("- *Code*: ", "- *Safe on disk*: ", "- *If "):
        assert label in step


def test_the_page_is_read() -> None:
    assert len(STEPS) == 12
    assert len(CODE) > 25
    assert len(TESTS) > 12
    assert len(RECORD) > 40
    assert not _is_in_code("no_such_thing")
