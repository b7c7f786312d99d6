"""The pages about people, samples, sentinels and external reducers show what happens."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.system.lab import (
    LABWRIGHT,
    count,
    environment,
    live_state,
    wait_for,
    with_code_of,
    write,
)
from tests.system.test_documentation import blocks, fits

pytestmark = pytest.mark.system


class Page:
    """One page, and a folder in which its commands are typed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.yaml, self.python, self.bash = (blocks(name, x) for x in ("yaml", "python", "bash"))
        self.console = blocks(name, "console")
        self.text = blocks(name, "text")
        (folder / "mylab").mkdir()
        self.environment = environment(COLUMNS="200", NO_COLOR="1", **with_code_of(folder))

    @property
    def data_dir(self) -> Path:
        return self.folder / "labwright-data"

    def start(self, command: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [LABWRIGHT, *shlex.split(command)[1:]],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def type(self, block: str, *codes: int) -> None:
        """Type the commands of a console block, and compare what they say."""
        for part, code in zip(block.split("$ labwright ")[1:], codes, strict=True):
            command, _, output = part.partition("\n")
            with self.start(f"labwright {command}") as done:
                said = done.communicate(timeout=90)[0]
            assert done.returncode == code, f"{command}: {done.returncode}\n{said}"
            assert fits(output, said), f"{command}\nshown:\n{output}\nsaid:\n{said}"


def test_have_people_in_the_loop(tmp_path: Path) -> None:
    page = Page("how-to/ask-and-answer.md", tmp_path)
    status, reply, approve = page.console
    write(tmp_path / "mylab", "loading.py", page.python[0])
    write(tmp_path, "loading.yaml", page.yaml[0])
    with page.start("labwright run loading.yaml --id loading-1") as running:
        wait_for(lambda: live_state(page.data_dir).asking, "the plan asks")
        page.type(status, 3)
        page.type(reply, 0)
        said = running.communicate(timeout=90)[0]
    assert running.returncode == 0, said
    with page.start(page.bash[0]) as running:
        wait_for(lambda: live_state(page.data_dir).awaits_approval, "trial 1 is to be approved")
        page.type(approve, 3, 0)
        wait_for(lambda: count(page.data_dir, "measured"), "it is measured")
        wait_for(lambda: live_state(page.data_dir).awaits_approval, "trial 2 is to be approved")
        page.type("$ labwright approve first-look\ntrial 2 may start at ...", 0)
        said = running.communicate(timeout=90)[0]
    assert running.returncode == 0, said


def test_work_through_samples(tmp_path: Path) -> None:
    page = Page("how-to/samples-and-sentinels.md", tmp_path)
    write(tmp_path, "samples.csv", page.text[0])
    write(tmp_path, "plate.yaml", page.yaml[0])
    write(tmp_path / "mylab", "plate.py", page.python[0])
    page.type(page.console[0], 0, 0)


def test_watch_for_drift(tmp_path: Path) -> None:
    page = Page("how-to/samples-and-sentinels.md", tmp_path)
    write(tmp_path, "watched.yaml", page.yaml[1])
    write(tmp_path / "mylab", "drifting.py", page.python[1])
    with page.start(page.bash[0].partition("#")[0]) as running:
        said = running.communicate(timeout=90)[0]
    assert running.returncode == 3, said
    page.type(page.console[1], 3, 0)


def test_realign_by_a_plan(tmp_path: Path) -> None:
    page = Page("how-to/samples-and-sentinels.md", tmp_path)
    write(tmp_path, "realigned.yaml", page.yaml[2])
    write(tmp_path / "mylab", "aligning.py", page.python[2])
    page.type(page.console[2], 0)


def test_reduce_elsewhere(tmp_path: Path) -> None:
    page = Page("how-to/samples-and-sentinels.md", tmp_path)
    write(tmp_path, "elsewhere.yaml", page.yaml[3])
    with page.start("labwright run elsewhere.yaml") as running:
        wait_for(lambda: count(page.data_dir, "acquired"), "the trial waits for its outcome")
        delivery = page.bash[1].replace("labwright", LABWRIGHT)
        subprocess.run(
            ["bash", "-c", delivery], cwd=tmp_path, env=page.environment, timeout=60, check=True
        )
        said = running.communicate(timeout=90)[0]
    assert running.returncode == 0, said
