"""A part that the campaign goes on without may fail as often as it likes; any other may not."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.domain.errors import Unusable
from orchestrator.supervisor import Part, Supervisor
from tests.conftest import ToldClock

REFUSES = "import sys; open(sys.argv[1], 'w').write('no such server'); sys.exit(2)"


@pytest.fixture
def supervisor(tmp_path: Path, clock: ToldClock) -> Supervisor:
    return Supervisor(tmp_path, MemoryLedger(clock), embedded=False)


def part(folder: Path, program: str, *, is_bystander: bool) -> Part:
    error_file = folder / "notifier-lab.error"

    def start() -> "tuple[subprocess.Popen[bytes], Mapping[str, Any]]":
        return subprocess.Popen([sys.executable, "-c", program, str(error_file)]), {}

    return Part("notifier", "lab", start, error_file=error_file, is_bystander=is_bystander)


def step_for(supervisor: Supervisor, what: Any, patience_s: float = 20.0) -> None:
    give_up = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < give_up
        supervisor.step()
        time.sleep(0.01)


def test_a_bystander_that_cannot_work_stops_nothing(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.parts.append(part(tmp_path, REFUSES, is_bystander=True))
    step_for(supervisor, lambda: "going on without notifier: no such server" in caplog.text)
    assert not supervisor.has_lost, "nor does it make others look as if they had been lost"
    supervisor.stop()


def test_any_other_part_that_cannot_work_ends_the_run(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.parts.append(part(tmp_path, REFUSES, is_bystander=False))
    with pytest.raises(Unusable, match="no such server"):
        step_for(supervisor, lambda: False)
    (said,) = caplog.messages  # of the first refusal: the second is the error
    assert said.startswith("notifier lab ended with code 2 after ")
    assert said.endswith(" s: no such server")
    supervisor.stop()


def test_a_bystander_that_died_has_a_last_word(supervisor: Supervisor, tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = f"open({str(said)!r}, 'a').write('word '); import time; time.sleep(60)"
    bystander = part(tmp_path, program, is_bystander=True)
    supervisor.parts.append(bystander)
    step_for(supervisor, said.exists)
    assert bystander.process is not None
    bystander.process.kill()
    bystander.process.wait()
    bystander.not_before = time.monotonic() + 60
    started = []
    first = bystander.start
    bystander.start = lambda: started.append(True) or first()
    supervisor.stop()
    assert started == [True]
    assert not bystander.is_alive()
