"""Runs the command line as a user does: the installed program, in a process of its own."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from orchestrator.adapters.ledgers.embedded_server import find_server
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes.child import is_same_process
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import TrialState

LABWRIGHT = str(Path(sys.executable).with_name("labwright"))
PATIENCE_S = 90.0

FAST = {
    "LABWRIGHT_LEASE_S": "2",
    "LABWRIGHT_BEAT_S": "0.3",
    "LABWRIGHT_TIME_COMPRESSION": "6000",
}
"""Settings with which tests need not wait."""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LABWRIGHT_")}
    return {**kept, **FAST, **more}


def labwright(
    *arguments: str, code: int | None = 0, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end; ``code`` is the exit code it must have, None for any."""
    done = subprocess.run(
        [LABWRIGHT, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=environment(**more),
        check=False,
    )
    if code is not None:
        assert done.returncode == code, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def answer(*arguments: str, code: int = 0, **more: str) -> Any:
    """What a verb says with --json."""
    return json.loads(labwright(*arguments, "--json", code=code, **more).stdout)


_started: "list[subprocess.Popen[str]]" = []


def start(*arguments: str, **more: str) -> "subprocess.Popen[str]":
    """Start a verb that goes on; ``end_all`` ends it when the test has not."""
    process = subprocess.Popen(
        [LABWRIGHT, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**more),
    )
    _started.append(process)
    return process


def end_all() -> None:
    """End what a test has left running, so that its failure makes no other test fail."""
    while _started:
        with _started.pop() as process:
            if process.poll() is None:
                process.kill()


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code and what it said on both streams, once it has ended."""
    said, complained = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said, complained


def wait_for(what: Callable[[], Any], why: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer; a condition, never a pause, is what tests wait for."""
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {patience_s} s in vain until {why}")


def results(data_dir: Path, campaign_id: str) -> list[dict[str, str]]:
    text = labwright("results", campaign_id, "--data-dir", str(data_dir)).stdout
    return list(csv.DictReader(text.splitlines()))


def descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def ledger_of(data_dir: Path) -> "Iterator[RedisLedger | None]":
    """The live lab's ledger, read directly: cheaper than a verb for a test that waits."""
    live = find_server(data_dir)
    if live is None:
        yield None
        return
    ledger = RedisLedger(live.url, patience_s=0.5)
    try:
        yield ledger
    finally:
        ledger.close()


def process_of(role: str, data_dir: Path) -> int | None:
    """Pid of the live process with this role; None when there is none."""
    with ledger_of(data_dir) as ledger:
        try:
            found = ledger.processes() if ledger else {}
        except LedgerError:
            found = {}
    for pid, about in found.items():
        if about["role"] == role and is_same_process(pid, about["started"]):
            return pid
    return None


def is_owned(instrument: str, data_dir: Path) -> bool:
    """True once a worker has locked and connected the instrument."""
    with ledger_of(data_dir) as ledger:
        return ledger is not None and ledger.instrument(instrument).envelope is not None


def live_state(data_dir: Path) -> CampaignState:
    """State of the newest campaign of a live lab; an empty one when there is none."""
    with ledger_of(data_dir) as ledger:
        try:
            names = ledger.campaigns() if ledger else []
            return fold(ledger.events(names[-1])) if ledger and names else CampaignState()
        except LedgerError:
            return CampaignState()


def count(data_dir: Path, *states: str) -> int:
    """How many trials of the live lab's newest campaign are in these states."""
    return live_state(data_dir).count(*(TrialState(one) for one in states))


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def with_code_of(folder: Path) -> dict[str, str]:
    """For the environment of a verb that shall find a lab's own modules in this folder."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def events(data_dir: Path, campaign_id: str) -> list[dict[str, Any]]:
    """The campaign's events as the results folder holds them."""
    path = data_dir / "campaigns" / campaign_id / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def proposals(rows: Sequence[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    """Parameters as text, every digit of them."""
    return [tuple(row[name] for name in names) for row in rows]
