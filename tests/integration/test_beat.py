"""The heartbeat child: what it costs, and that it costs nothing while nothing is announced."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from orchestrator.adapters.ledgers.embedded_server import LiveServer
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope
from orchestrator.ports import InstrumentRecord

pytestmark = pytest.mark.integration
BEAT_S = 0.4


@contextmanager
def beat(url: str, lab: str) -> Iterator["subprocess.Popen[str]"]:
    """A beat for this process, once it beats."""
    command = [sys.executable, "-m", "orchestrator.beat", url, lab, "stage", "me"]
    command += [str(os.getpid()), "30", str(BEAT_S), "60"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "beats\n"
        yield process
        process.kill()


@pytest.fixture
def leased(server: LiveServer, lab_name: str) -> Iterator[RedisLedger]:
    ledger = RedisLedger(server.url, lab=lab_name, patience_s=5)
    opened = ev.Opened(
        campaign_id="c", instrument="stage", mode="twin", spec={}, instrument_spec={}
    )
    ledger.open_campaign(opened)
    ledger.register("stage", "me", Envelope("stage", {}, ()))
    first = ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=0)
    ledger.propose("c", first)
    assert ledger.acquire("c", "stage", "me", floor=0, ttl_s=30) is not None
    yield ledger
    ledger.close()


def record_with_deadline(ledger: RedisLedger) -> InstrumentRecord:
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        record = ledger.instrument("stage")
        if record.deadline is not None:
            return record
        time.sleep(0.02)
    raise AssertionError("it never beat")


def calls(ledger: RedisLedger) -> int:
    return ledger._redis.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)


def test_announcing_often_is_not_beating_often(leased: RedisLedger, lab_name: str) -> None:
    """A worker announces several times a trial; each beat is a write that the server syncs."""
    with beat(leased.url, lab_name) as process:
        before, since = calls(leased), time.monotonic()
        for seconds in range(300):
            process.stdin.write(f"{time.monotonic() + 100 + seconds}\n")
            process.stdin.flush()
            time.sleep(0.002)
        assert record_with_deadline(leased).deadline > time.time() + 90
        beats = calls(leased) - before
        assert 1 <= beats <= 2 + (time.monotonic() - since) / BEAT_S


def test_a_beat_without_an_announcement_neither_renews_nor_spins(
    leased: RedisLedger, lab_name: str
) -> None:
    """As the beat of a standby, which may wait for days."""
    with beat(leased.url, lab_name) as process:
        before = leased.instrument("stage")
        used = sum(psutil.Process(process.pid).cpu_times()[:2])
        time.sleep(3 * BEAT_S)  # a measurement over time, not a wait for something
        assert sum(psutil.Process(process.pid).cpu_times()[:2]) - used < 0.5 * 3 * BEAT_S
        assert leased.instrument("stage").until == before.until
