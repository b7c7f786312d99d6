"""The pages about limits and conditions: their files and commands are run as they stand there."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.lab import LABWRIGHT, environment, finish, wait_for
from tests.system.test_documentation import blocks, fits

pytestmark = pytest.mark.system


def begin(shown: str, folder: Path) -> "tuple[subprocess.Popen[str], str]":
    """Start what a console block shows; gives also the output that it shows."""
    command, _, output = shown.partition("\n")
    process = subprocess.Popen(
        [LABWRIGHT, *command.removeprefix("$ labwright ").split()],
        cwd=folder,
        env=environment(COLUMNS="300", PYTHONPATH=f"{folder}:{os.getcwd()}"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return process, output


@contextmanager
def stopped(process: "subprocess.Popen[str]") -> Iterator[None]:
    """Leave nothing running when a test fails."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()


def run(shown: str, folder: Path, code: int) -> None:
    process, output = begin(shown, folder)
    ended, said, _ = finish(process)
    assert ended == code, said
    assert fits(output, said), f"shown:\n{output}\nsaid:\n{said}"


def test_put_limits_on_everything(tmp_path: Path) -> None:
    page = "how-to/put-limits-on-everything.md"
    instrument, campaign = blocks(page, "yaml")
    (module,) = blocks(page, "python")
    (refill,) = blocks(page, "bash")
    good, astray, spent = blocks(page, "console")
    (tmp_path / "bench.yaml").write_text(instrument)
    (tmp_path / "valley.yaml").write_text(campaign)
    (tmp_path / "astray.py").write_text(module)
    lines = [line for line in campaign.splitlines() if not line.startswith(("plan:", "reduce:"))]
    plan = "plan: {name: astray.scan_around, args: {detector: bench.det, width: 8}}"
    (tmp_path / "around.yaml").write_text("\n".join([*lines, plan]))
    run(good, tmp_path, 0)
    run(astray, tmp_path, 1)
    process, output = begin(spent, tmp_path)
    with process, stopped(process):
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if line.startswith("suspended"):
                break
        assert fits(output, said), f"shown:\n{output}\nsaid:\n{said}"
        path = os.pathsep.join([str(Path(LABWRIGHT).parent), os.environ["PATH"]])
        told = environment(PATH=path)
        subprocess.run(["bash", "-euc", refill], cwd=tmp_path, env=told, check=True)
        code, said, _ = finish(process)
    assert code == 0, said
    assert "done: budget of trials spent" in said


def test_conditions_quiet_and_park(tmp_path: Path) -> None:
    page = "how-to/conditions-quiet-and-park.md"
    instrument, campaign = blocks(page, "yaml")
    (module,) = blocks(page, "python")
    (shown,) = blocks(page, "console")
    (tmp_path / "lab.yaml").write_text(instrument)
    (tmp_path / "dump.yaml").write_text(campaign)
    (tmp_path / "dump.py").write_text(module)
    run(shown, tmp_path, 1)
    documents = tmp_path / "labwright-data" / "runs" / "dump"
    assert wait_for(lambda: list(documents.iterdir()), "there are documents")
