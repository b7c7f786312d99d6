"""What people are told when the ledger's server dies, freezes or is cut off, and afterwards."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.ledgers.embedded_server import _binary
from orchestrator.adapters.processes.child import is_same_process
from tests.chaos.proxy import Proxy
from tests.system.lab import (
    answer,
    count,
    events,
    finish,
    labwright,
    process_of,
    start,
    wait_for,
    with_code_of,
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
    kwargs: {move_s: 0.4}
"""
CAMPAIGN = """
name: told
instrument: instrument.yaml
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 8}
optimizer: {method: sobol, seed: 7}
"""


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    write(tmp_path, "instrument.yaml", INSTRUMENT)
    return write(tmp_path, "campaign.yaml", CAMPAIGN)


def server_of(data_dir: Path) -> int:
    """Pid of the live embedded server, asked of its file: it may not answer."""
    return int(json.loads((data_dir / "lab.json").read_text())["pid"])


def notes(data_dir: Path, campaign_id: str) -> list[str]:
    return [e["data"]["text"] for e in events(data_dir, campaign_id) if e["type"] == "noted"]


def starts(data_dir: Path, campaign_id: str) -> int:
    return sum(event["type"] == "started" for event in events(data_dir, campaign_id))


def test_each_death_of_the_server_is_noted_once(campaign: str, data_dir: Path) -> None:
    running = start("run", campaign, "--json", "--id", "died", "--data-dir", str(data_dir))
    for measured in (1, 3):
        wait_for(lambda m=measured: count(data_dir, "measured") >= m, "trials are measured")
        pid = server_of(data_dir)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda p=pid: server_of(data_dir) != p, "it is started again")
    code, _, complained = finish(running)
    assert code == 0, complained
    told = notes(data_dir, "died")
    assert len(told) == 2, told
    for text in told:
        assert text.startswith("the ledger's server was away for ")
        assert "was killed by signal 9, and it was started again" in text
        assert "Nothing that was acknowledged is lost." in text
        assert "its worker finishes it, keeps the result in the outbox" in text or (
            "No trial was running" in text
        )
        assert text in complained, "the display has it too"
    assert starts(data_dir, "died") == 8, "no trial was spent on it"


def test_a_frozen_server_is_told_of_within_seconds(campaign: str, data_dir: Path) -> None:
    """Here the launcher is stopped from replacing it by a long lease."""
    where = ("--data-dir", str(data_dir))
    running = start("run", campaign, "--json", "--id", "cold", *where, LABWRIGHT_LEASE_S="30")
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    pid = server_of(data_dir)
    os.kill(pid, signal.SIGSTOP)
    frozen = time.monotonic()
    assert running.stderr is not None
    line = next(line for line in running.stderr if line.startswith("control link lost"))
    assert time.monotonic() - frozen < 15
    assert "keeps its result in the outbox and starts nothing new" in line
    assert "goes on by itself" in line
    asked = time.monotonic()  # three seconds, and what starting a verb takes on a busy machine
    done = labwright("status", *where, code=2)
    assert time.monotonic() - asked < 15
    assert done.stdout.startswith("! control link lost: ")
    assert "does not answer" in done.stdout
    assert "(for " in done.stdout, "since when"
    assert "Traceback" not in done.stderr
    assert answer("status", *where, code=2)["since"] <= time.time()
    os.kill(pid, signal.SIGCONT)
    assert any(line.startswith("the control link is back after") for line in running.stderr)
    assert finish(running)[0] == 0
    assert notes(data_dir, "cold") == [], "shorter than a lease: nothing was at stake"


def test_a_server_that_stays_frozen_is_replaced(campaign: str, data_dir: Path) -> None:
    running = start("run", campaign, "--json", "--id", "ice", "--data-dir", str(data_dir))
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    os.kill(server_of(data_dir), signal.SIGSTOP)
    code, _, complained = finish(running)
    assert code == 0, complained
    (text,) = notes(data_dir, "ice")
    assert "was frozen for" in text
    assert "and killed, and it was started again" in text


@contextmanager
def somebody_elses_server(folder: Path) -> Iterator[Path]:
    """A server as a lab runs it; gives its socket."""
    socket = folder / "theirs.sock"
    options = {"port": "0", "unixsocket": str(socket), "dir": str(folder), "save": ""}
    options |= {"appendonly": "yes", "appendfsync": "always"}
    command = [str(_binary())]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(socket.exists, "the server listens")
        yield socket
    finally:
        process.kill()
        process.wait()


def asked(url: str) -> Any:
    from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
    from orchestrator.domain.state import CampaignState, fold

    ledger = RedisLedger(url, patience_s=0)
    try:
        names = ledger.campaigns()
        return fold(ledger.events(names[-1])) if names else CampaignState()
    finally:
        ledger.close()


def test_a_cut_link_is_noted_when_it_outlasts_a_lease(
    campaign: str, tmp_path: Path, data_dir: Path
) -> None:
    with somebody_elses_server(tmp_path) as server:
        through = tmp_path / "p.sock"
        proxy = Proxy(through, server)
        where = ("--redis", f"unix://{through}", "--data-dir", str(data_dir))
        try:
            running = start("run", campaign, "--json", "--id", "cut", *where)
            wait_for(lambda: asked(f"unix://{server}").counts()["measured"], "a trial is measured")
            proxy.cut()
            assert running.stderr is not None
            line = next(line for line in running.stderr if line.startswith("control link lost"))
            assert "See that the server at unix://" in line
            cut = time.monotonic()
            done = labwright("status", *where, code=2)
            assert time.monotonic() - cut < 15
            assert "control link lost" in done.stdout
            wait_for(lambda: time.monotonic() - cut > 4, "the lease of 2 s is long over")
            proxy.mend()
            code, _, complained = finish(running)
            assert code == 0, complained
        finally:
            proxy.close()
    assert "the control link is back" in complained or "the control link is back" in line
    (text,) = notes(data_dir, "cut")
    assert text.startswith("the control link was lost for ")


def test_a_server_that_comes_back_empty(campaign: str, tmp_path: Path, data_dir: Path) -> None:
    with somebody_elses_server(tmp_path) as server:
        where = ("--redis", f"unix://{server}", "--data-dir", str(data_dir))
        running = start("run", campaign, "--id", "empty", *where)
        wait_for(lambda: asked(f"unix://{server}").counts()["measured"], "a trial is measured")
        _order(f"unix://{server}", "FLUSHALL")
        code, _, complained = finish(running)
        assert code == 2
        assert "no longer knows campaign 'empty'" in complained
        assert "Traceback" not in complained
        done = labwright("run", "--resume", "empty", *where, code=2)
        assert "there is no campaign 'empty'" in done.stderr


def _order(url: str, *words: str) -> None:
    import redis

    client = redis.Redis.from_url(url)
    client.execute_command(*words)
    client.close()


@pytest.mark.timeout(240)
def test_a_log_of_another_version_is_refused_by_every_verb(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    answer("run", "soft", "--trials", "1", "--id", "new", *where)
    waiting = start("worker", "soft", *where)  # keeps the server up
    wait_for(lambda: process_of("worker", data_dir), "the lab is up")
    url = json.loads((data_dir / "lab.json").read_text())["url"]
    _order(url, "XADD", "{lab}:c:new:log", "*", "type", "noted", "v", "99", "at", "1", "data", "{}")
    for verb in ("status", "watch", "results", "report", "list"):
        done = labwright(verb, *where, code=2)
        assert "schema 99; this Labwright reads schema 1" in done.stderr + done.stdout, verb
        assert "Traceback" not in done.stderr
    for arguments in (("why", "1"), ("pause", "new"), ("run", "--resume", "new"), ("note", "hm")):
        done = labwright(*arguments, *where, code=2)
        assert "schema 99" in done.stderr + done.stdout, arguments
    waiting.send_signal(signal.SIGTERM)
    assert finish(waiting)[0] == 0


def _flipped(data: bytes, start: int, length: int) -> bytes:
    middle = bytes(byte ^ 0xFF for byte in data[start : start + length])
    return data[:start] + middle + data[start + length :]


@pytest.mark.timeout(240)
def test_a_damaged_log_is_named_and_left_alone(data_dir: Path) -> None:
    where = ("--data-dir", str(data_dir))
    answer("run", "soft", "--trials", "3", "--id", "hurt", *where)
    (log,) = (data_dir / "ledger" / "appendonlydir").glob("*.incr.aof")
    whole = log.read_bytes()
    length = whole.index(b"\r\n$", len(whole) // 2) + 2
    end = whole.index(b"\r\n", length)
    too_long = whole[:length] + b"$9999999" + whole[end:]  # looks like a file that was cut off
    for damaged in (_flipped(whole, len(whole) // 2, 64), too_long):
        log.write_bytes(damaged)
        folder = sorted(log.parent.iterdir())
        before = {path: path.read_bytes() for path in folder}
        for verb in (("status",), ("run", "--resume", "hurt"), ("run", "soft", "--trials", "1")):
            done = labwright(*verb, *where, code=2)
            assert f"{log} is no log from byte" in done.stderr
            assert "nothing was changed" in done.stderr
            assert "docs/how-to/repair-a-damaged-ledger.md" in done.stderr
            assert "Traceback" not in done.stderr
        assert {path: path.read_bytes() for path in sorted(log.parent.iterdir())} == before
    log.write_bytes(whole[:-9])  # as a power cut leaves it: the last write is not whole
    assert answer("status", *where)["campaign_id"] == "hurt"


def test_an_impatient_person_may_leave_without_the_ledger(
    campaign: str, tmp_path: Path, data_dir: Path
) -> None:
    """With the server away no order can be written: the worker is ended and makes all quiet."""
    with somebody_elses_server(tmp_path) as server:
        where = ("--redis", f"unix://{server}", "--data-dir", str(data_dir))
        running = start("run", campaign, "--id", "left", *where)
        wait_for(lambda: asked(f"unix://{server}").counts()["measured"], "a trial is measured")
    assert running.stderr is not None
    assert any(line.startswith("control link lost") for line in running.stderr)
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)  # two, not one: signals of a kind that come together are merged
    code, _, complained = finish(running)
    assert code == 130
    assert "continue with: labwright run --resume left" in complained
    assert "Traceback" not in complained


@pytest.mark.timeout(240)
def test_a_run_that_gives_up_calls_for_a_person(
    campaign: str, tmp_path: Path, data_dir: Path
) -> None:
    """A campaign whose run gives up is not left without a word in its log."""
    lethal = write(tmp_path, "sitecustomize.py", LETHAL)
    where = ("--data-dir", str(data_dir))
    more = with_code_of(tmp_path)
    done = labwright("run", campaign, "--id", "gone", *where, code=2, **more)
    assert "the worker process of soft died" in done.stderr
    assert str(data_dir / "logs" / "worker-soft.log") in done.stderr
    status = answer("status", *where, code=3)
    assert status["status"] == "needs_person"
    assert "'labwright run' gave up: the worker process of soft died" in status["waiting_for"]
    Path(lethal).unlink()
    again = answer("run", "--resume", "gone", *where, **more)
    assert again["trials"]["measured"] == 8


@pytest.mark.timeout(240)
def test_a_worker_launcher_that_gives_up_is_noted(
    campaign: str, tmp_path: Path, data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    labwright("submit", campaign, "--id", "alone", *where)
    write(tmp_path, "sitecustomize.py", LETHAL)
    more = with_code_of(tmp_path)
    done = labwright("worker", str(tmp_path / "instrument.yaml"), *where, code=2, **more)
    assert "the worker process of soft died" in done.stderr
    assert "'labwright worker' of soft gave up" in _log_of(data_dir, "alone")


def _log_of(data_dir: Path, campaign_id: str) -> str:
    """The log as text, by a server that is started for it."""
    from orchestrator.ledger_access import open_ledger
    from orchestrator.settings import Settings

    with open_ledger(Settings(data_dir=data_dir)) as ledger:
        return "\n".join(map(str, ledger.events(campaign_id)))


LETHAL = """
import os, sys

if "orchestrator.app" in sys.orig_argv and "worker" in sys.orig_argv:
    os._exit(7)
"""


def test_the_worker_verb_takes_all_its_processes_along(data_dir: Path) -> None:
    """Killed with no chance to say goodbye, grandchildren included."""
    from tests.system.lab import descendants

    keeper = start("worker", "flow-chemistry", "--data-dir", str(data_dir))
    wait_for(lambda: process_of("beat", data_dir), "the worker beats")
    roles = answer("status", "--data-dir", str(data_dir))["processes"]
    assert {one["role"] for one in roles} == {"server", "twin", "worker", "beat"}
    family = [(one.pid, one.create_time()) for one in descendants(keeper.pid)]
    assert len(family) >= 4
    keeper.kill()
    wait_for(lambda: not any(is_same_process(*one) for one in family), "all have ended")


@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9, 1.2, 1.5, 1.8])
def test_a_launcher_killed_while_it_starts_others_leaves_nothing(
    data_dir: Path, after_s: float
) -> None:
    import psutil

    launcher = start("run", "soft", "--data-dir", str(data_dir))
    time.sleep(after_s)  # wherever it is then
    launcher.kill()
    launcher.wait()
    mark = str(data_dir)

    def ours() -> list[int]:
        found = []
        for one in psutil.process_iter(["pid", "cmdline", "environ"]):
            told = " ".join(one.info["cmdline"] or []), (one.info["environ"] or {})
            if mark in told[0] or told[1].get("LABWRIGHT_DATA_DIR") == mark:
                found.append(one.pid)
        return found

    wait_for(lambda: not ours(), "nothing of it is left", 20)
