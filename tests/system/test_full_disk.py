"""A disk that is really full: nothing starts, people are told why, and all goes on with room."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from orchestrator.adapters.ledgers.embedded_server import _binary
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.domain.errors import LedgerFull
from tests.system.lab import (
    answer,
    count,
    events,
    finish,
    labwright,
    live_state,
    results,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system

INSTRUMENT = """
name: soft
mode: twin
devices:
  bench:
    class: simulators.soft.bench.Bench
    limits: [-5, 15]
    tolerance: 1.0e-9
    kwargs: {move_s: 0.1}
"""
CAMPAIGN = """
name: full
instrument: instrument.yaml
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 12}
optimizer: {method: sobol, seed: 7}
"""


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    write(tmp_path, "instrument.yaml", INSTRUMENT)
    return write(tmp_path, "campaign.yaml", CAMPAIGN)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of so many bytes at the folder, while the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until the disk has no byte left; gives the file to remove."""
    path = folder / "somebody-elses-file"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return path


def alarm(data_dir: Path) -> str | None:
    """The status in red; None when there is none."""
    done = labwright("status", "--data-dir", str(data_dir), code=None)
    lines = [line for line in done.stdout.splitlines() if line.startswith("! ")]
    return lines[0] if lines else None


def happened(data_dir: Path, campaign_id: str) -> Counter[str]:
    return Counter(event["type"] for event in events(data_dir, campaign_id))


def check_all_counted_once(data_dir: Path, campaign_id: str) -> None:
    rows = results(data_dir, campaign_id)
    assert [row["state"] for row in rows] == ["measured"] * 12
    assert happened(data_dir, campaign_id)["measured"] == 12
    assert all(int(row["attempts"]) <= 2 for row in rows), "a full disk spends no attempts"


def test_the_disk_of_the_log(campaign: str, data_dir: Path) -> None:
    with small_disk(data_dir / "ledger", "24m"):
        running = start("run", campaign, "--json", "--id", "log", "--data-dir", str(data_dir))
        wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
        filler = fill(data_dir / "ledger")
        told = wait_for(lambda: alarm(data_dir), "the status is red", 30)
        assert "Not starting: the log cannot be saved" in told
        assert "make room" in told
        assert "(for " in told, "since when"
        failed = answer("status", "--data-dir", str(data_dir), code=2)
        assert failed["alarm"] is True
        before = len(list((data_dir / "runs" / "log").iterdir()))
        assert running.poll() is None, "the run waits for room"
        filler.unlink()
        code, said, complained = finish(running)
        assert code == 0, complained
        assert "Not starting: the log cannot be saved" in complained
        assert "the control link is back" in complained
        check_all_counted_once(data_dir, "log")
        assert before < 12
        notes = [e["data"]["text"] for e in events(data_dir, "log") if e["type"] == "noted"]
        assert [text for text in notes if text.startswith("the log could not be saved for")]
        assert len(notes) == 1, notes
        assert said.startswith("{")


@pytest.mark.parametrize("part", ["runs", "outbox"])
def test_the_disk_of_the_data(campaign: str, data_dir: Path, part: str) -> None:
    with small_disk(data_dir / part, "24m"):
        running = start("run", campaign, "--json", "--id", "data", "--data-dir", str(data_dir))
        wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
        filler = fill(data_dir / part)
        wait_for(lambda: live_state(data_dir).status == "suspended", "the campaign is held")
        told = alarm(data_dir)
        assert told is not None
        assert "Not starting: the data cannot be saved" in told
        kept = (data_dir / "outbox" / "data" / "0").iterdir()
        assert not [one for one in kept if one.suffix != ".json"]
        filler.unlink()
        assert finish(running)[0] == 0
        check_all_counted_once(data_dir, "data")
        assert happened(data_dir, "data")["suspended"] == 1


def test_a_server_that_refuses_to_write(campaign: str, tmp_path: Path, data_dir: Path) -> None:
    """Somebody else's server, which goes on answering: MISCONF instead of an end."""
    disk = tmp_path / "disk"
    with small_disk(disk, "24m"), a_server(disk, tmp_path / "s.sock") as url:
        where = ("--redis", url, "--allow-unsafe-server", "--data-dir", str(data_dir))
        running = start("run", campaign, "--json", "--id", "theirs", *where)
        ledger = RedisLedger(url, patience_s=0)
        wait_for(lambda: measured(ledger, "theirs"), "a trial is measured")
        filler = fill(disk)
        wait_for(lambda: refuses(ledger), "the server refuses to write")
        status = answer("status", *where)
        assert status["alarm"] is True
        assert status["sentence"].startswith("Not starting: the log cannot be saved")
        filler.unlink()
        code, _, complained = finish(running)
        assert code == 0, complained
        assert "Not starting: the log cannot be saved" in complained
        ledger.close()
    assert happened(data_dir, "theirs")["measured"] == 12


@contextmanager
def a_server(folder: Path, socket: Path) -> Iterator[str]:
    options = {"port": "0", "unixsocket": str(socket), "dir": str(folder), "save": ""}
    options |= {"appendonly": "yes", "appendfsync": "everysec"}
    command = [str(_binary())]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(socket.exists, "the server listens")
        yield f"unix://{socket}"
    finally:
        process.terminate()
        process.wait()


def measured(ledger: RedisLedger, campaign_id: str) -> bool:
    if not ledger.knows(campaign_id):
        return False
    return any(type(event).__name__ == "Measured" for event in ledger.events(campaign_id))


def refuses(ledger: RedisLedger) -> bool:
    """True when it does; each look writes a little, so that the full disk is met."""
    client = redis.Redis.from_url(ledger.url)
    try:
        client.set("filler", "x" * 1000)
        ledger.check()
    except (LedgerFull, redis.RedisError):
        return True
    finally:
        client.close()
    return False
