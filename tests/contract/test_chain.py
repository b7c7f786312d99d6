"""Both ledgers chain what they write; a server that lost its last writes keeps a whole chain."""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from orchestrator.adapters.ledgers.embedded_server import ensure_server
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.domain import events as ev
from orchestrator.domain.chain import breaks
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.state import fold
from orchestrator.ports import Ledger

CAMPAIGN = "scan-1"


def _open(ledger: Ledger) -> None:
    opened = ev.Opened(
        campaign_id=CAMPAIGN, instrument="stage", mode="twin", spec={}, instrument_spec={}
    )
    assert ledger.open_campaign(opened)


def _note(ledger: Ledger, number: int) -> None:
    text = f"Brücke {number} geölt, 5 µm"
    ledger.remark(CAMPAIGN, ev.Noted(by="Zoë", text=text, key=f"note {number}"))


def test_what_is_stored_is_chained_and_says_what_the_events_say(ledger: Ledger) -> None:
    _open(ledger)
    ledger.propose(
        CAMPAIGN,
        ev.Proposed(trial_id=1, parameters={"x": 1 / 3}, source="initial", basis="0", seed=1),
    )
    _note(ledger, 1)
    stored = ledger.stored(CAMPAIGN)
    assert not list(breaks(stored))
    events = [ev.from_fields(entry.id, entry.fields) for entry in stored.entries]
    assert events == ledger.events(CAMPAIGN)
    assert [list(entry.fields)[-1] for entry in stored.entries] == ["chain"] * 3
    assert stored.head.id == events[-1].id
    assert (stored.status, stored.trials) == ("running", {1: "queued"})
    with pytest.raises(LedgerError, match="no campaign 'nowhere'"):
        ledger.stored("nowhere")


def test_what_is_sent_again_is_chained_once(ledger: Ledger) -> None:
    _open(ledger)
    _note(ledger, 1)
    before = ledger.stored(CAMPAIGN)
    _note(ledger, 1)
    assert ledger.stored(CAMPAIGN) == before


def test_a_worker_of_any_name_is_chained(server, lab_name: str) -> None:
    """The script and Python count the same bytes."""
    ledger = RedisLedger(server.url, lab=lab_name, patience_s=5)
    _open(ledger)
    ledger._redis.hset(f"{{{lab_name}}}:i:stage", mapping={"state": "ready", "fence": "0"})
    ledger.propose(
        CAMPAIGN, ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=1)
    )
    assert ledger.acquire(CAMPAIGN, "stage", "Würth-7-ä", floor=0, ttl_s=30) is not None
    assert not list(breaks(ledger.stored(CAMPAIGN)))
    ledger.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_log_that_lost_its_last_writes_is_whole(tmp_path: Path, seed: int) -> None:
    """The power goes at any byte: log and head come back together, and the log grows on."""
    before, after = tmp_path / "before", tmp_path / "after"
    live = ensure_server(before)
    assert live.process is not None
    ledger = RedisLedger(live.url, patience_s=5)
    _open(ledger)
    for number in range(20):
        _note(ledger, number)
    ledger.close()
    os.kill(live.pid, signal.SIGKILL)
    live.process.wait()
    (log,) = (before / "ledger" / "appendonlydir").glob("*.incr.aof")
    shutil.copytree(before, after)
    cut = random.Random(seed).randrange(log.stat().st_size // 2, log.stat().st_size)
    os.truncate(after / log.relative_to(before), cut)

    live = ensure_server(after)
    assert live.process is not None
    ledger = RedisLedger(live.url, patience_s=5)
    try:
        stored = ledger.stored(CAMPAIGN)
        assert 1 < len(stored.entries) <= 21
        assert not list(breaks(stored))
        _note(ledger, 99)
        stored = ledger.stored(CAMPAIGN)
        assert not list(breaks(stored))
        assert stored.head.id == fold(ledger.events(CAMPAIGN)).last_id
    finally:
        ledger.close()
        child.end(live.process, 5.0)
