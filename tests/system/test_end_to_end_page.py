"""The page that follows one trial shows what a run leaves behind, and names what is there."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
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
RECORD = [span for span in SPANS if span not in CODE and span not in TESTS]
STEPS = re.split(r"^## \d+\. ", PROSE, flags=re.MULTILINE)[1:]


@dataclass
class Run:
    """The run that the page's commands made."""

    folder: Path
    shown_and_said: list[tuple[str, str, str]]
    """Command, what the page shows, what it said."""

    @property
    def ledger(self) -> str:
        """The file in which the server keeps its log."""
        (log,) = self.folder.glob("labwright-data/ledger/appendonlydir/*.incr.aof")
        return log.read_text(errors="replace")

    @property
    def texts(self) -> Iterator[str]:
        """All that can be read in the data folder, and the names of its files."""
        for path in self.folder.rglob("*"):
            yield path.name
            if path.suffix in (".json", ".jsonl", ".csv"):
                yield path.read_text()


def type_in(command: str, folder: Path) -> str:
    """What a command says, typed in a folder."""
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=environment(
            COLUMNS="80", PATH=f"{Path(LABWRIGHT).parent}{os.pathsep}{os.environ['PATH']}"
        ),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trial")
    typed: list[tuple[str, str, str]] = []
    for block in blocks(PAGE, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            typed.append((command, shown, type_in(command, folder)))
    return Run(folder, typed)


def test_the_commands_say_what_the_page_shows(run: Run) -> None:
    assert len(run.shown_and_said) == 9
    for command, shown, said in run.shown_and_said:
        assert fits(shown, said), f"{command}\nshown:\n{shown}\nsaid:\n{said}"


@pytest.mark.parametrize("span", RECORD)
def test_what_the_page_names_is_in_the_run_or_in_the_code(span: str, run: Run) -> None:
    if span.startswith("labwright "):
        verb = span.split()[1]
        assert re.search(rf"^│ {verb} ", type_in("labwright --help", run.folder), re.MULTILINE)
    elif span.startswith("labwright-data/"):
        assert (run.folder / span).exists()
    elif span.startswith("{lab}:"):
        assert f"\n{span}\n" in run.ledger.replace("\r", "")
    else:
        assert _is_in_code(span) or any(span in text for text in run.texts)


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
