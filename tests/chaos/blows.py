"""The blows that a nemesis may strike, and how often: kills, freezes, cuts and losses of power."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial

from orchestrator.adapters.processes.child import is_same_process, is_stopped
from orchestrator.domain.errors import LedgerError
from orchestrator.supervisor import Part
from tests.chaos.lab import INSTRUMENTS, LEASE_S
from tests.chaos.nemesis import Blow, Nemesis

TAKEOVER_S = 8.0
"""Longest time that a worker is frozen after its lease is over: until another one drives."""
WOKEN_S = (0.1, 1.0)
"""How long the other one has driven when it is woken."""
AIM_S = 3.0
"""Longest wait for a worker that drives."""


def kill_worker(nemesis: Nemesis) -> bool:
    """Kill -9 of a random worker, more often than not the one that holds its instrument."""
    instrument = nemesis.random.choice(INSTRUMENTS)
    aimed = nemesis.random.random() < 0.6
    workers = [part for part in nemesis.lab.parts("worker") if part.name == instrument]
    if not workers:
        return False
    held = nemesis.holder(instrument)
    victim = next((one for one in workers if _is(held, one)), None) if aimed else None
    victim = victim or nemesis.random.choice(workers)
    if not _send(victim, signal.SIGKILL):
        return False
    if held is not None and _is(held, victim):
        nemesis.deaths.append((instrument, held, time.time()))
    return True


def kill_beat(nemesis: Nemesis) -> bool:
    """Kill -9 of a random beat child."""
    with contextlib.suppress(LedgerError):
        found = nemesis.lab.ledger.processes().items()
        beats = sorted(
            pid
            for pid, about in found
            if about["role"] == "beat" and is_same_process(pid, about["started"])
        )
        if beats:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nemesis.random.choice(beats), signal.SIGKILL)
                return True
    return False


def kill_campaign(nemesis: Nemesis) -> bool:
    """Kill -9 of a campaign process."""
    return _kill_one(nemesis, "campaign")


def kill_ioc(nemesis: Nemesis) -> bool:
    """Kill -9 of an instrument's server, in the middle of a trial if there is one."""
    instrument = nemesis.random.choice(INSTRUMENTS)
    _await(lambda: nemesis.holder(instrument, driving=True))
    return any(
        _send(part, signal.SIGKILL) for part in nemesis.lab.parts("twin") if part.name == instrument
    )


def kill_server(nemesis: Nemesis) -> bool:
    """Kill -9 of the ledger's server."""
    server = nemesis.lab.supervisor.server
    if server is None or server.poll() is not None:
        return False
    server.send_signal(signal.SIGKILL)
    return True


def freeze_server(nemesis: Nemesis) -> bool:
    """Stop the ledger's server for a while."""
    server = nemesis.lab.supervisor.server
    if server is None or server.poll() is not None:
        return False
    server.send_signal(signal.SIGSTOP)
    seconds = nemesis.random.uniform(0.5, 2.0) * LEASE_S
    nemesis.later(seconds, lambda: server.send_signal(signal.SIGCONT))
    return True


def freeze_driver(nemesis: Nemesis) -> bool:
    """Stop the worker that drives now, and wake it when another one has taken over."""
    frozen = {
        part.name
        for part in nemesis.lab.parts("worker")
        if part.process is not None and is_stopped(part.process.pid)
    }
    instrument = nemesis.random.choice(
        [one for one in INSTRUMENTS if one not in frozen] or INSTRUMENTS
    )
    driver = _await(lambda: nemesis.holder(instrument, driving=True))
    for part in nemesis.lab.parts("worker"):
        process = part.process
        if process is None or is_stopped(process.pid) or not _is(driver, part):
            continue
        process.send_signal(signal.SIGSTOP)
        nemesis.later(LEASE_S, partial(_wake, nemesis, instrument, process))
        return True
    return False


def _wake(nemesis: Nemesis, instrument: str, process: "subprocess.Popen[bytes]") -> None:
    """At any moment of another worker's trial; when none has come in time, all the same."""

    def over() -> str | None:
        if nemesis.is_over or process.poll() is not None:
            return "nobody is waited for"
        holder = nemesis.holder(instrument)
        return holder if holder is not None and _pid(holder) != process.pid else None

    _await(over, TAKEOVER_S)
    nemesis.rest(nemesis.random.uniform(*WOKEN_S))
    process.send_signal(signal.SIGCONT)


def cut_link(nemesis: Nemesis) -> bool:
    """Cut the workers of an instrument off from the server for a while."""
    instrument = nemesis.random.choice(INSTRUMENTS)
    link = nemesis.lab.links[instrument]
    link.cut()
    nemesis.later(nemesis.random.uniform(0.3, 2.0) * LEASE_S, link.mend)
    return True


def cut_power(nemesis: Nemesis) -> bool:
    """Kill -9 of the ledger's server, which loses what it had not made durable."""
    lab = nemesis.lab
    with lab.stepping:  # or the supervisor would start the server again before its log is cut
        server = lab.supervisor.server
        if server is None or server.poll() is not None or not lab.log_file.is_known:
            return False
        server.kill()
        server.wait()
        if lab.terms.appendfsync == "always":
            lab.log_file.tear(nemesis.random)
        else:
            nemesis.counts["events_cut"] += lab.log_file.roll_back(nemesis.random)
    return True


EVERYTHING = (
    Blow("worker_kills", 2.3, kill_worker),
    Blow("beat_kills", 55, kill_beat),
    Blow("campaign_kills", 45, kill_campaign),
    Blow("server_kills", 33, kill_server),
    Blow("freezes", 13, freeze_driver),
    Blow("ioc_kills", 60, kill_ioc),
    Blow("server_freezes", 100, freeze_server),
    Blow("link_cuts", 60, cut_link),
)
"""In 100 trials over 50 workers are killed, a dozen frozen, and a few of each of the others."""
ONLY_FREEZES = (Blow("freezes", 1.5, freeze_driver),)
"""For the control: what the gate is there for, and nothing else."""
POWER_CUTS = (Blow("worker_kills", 6, kill_worker), Blow("cuts", 8, cut_power))


def _kill_one(nemesis: Nemesis, role: str) -> bool:
    parts = nemesis.lab.parts(role)
    return bool(parts) and _send(nemesis.random.choice(parts), signal.SIGKILL)


def _send(part: Part, sent: signal.Signals) -> bool:
    process = part.process
    if process is None or process.poll() is not None:
        return False
    process.send_signal(sent)
    return True


def _is(worker: str | None, part: Part) -> bool:
    return worker is not None and part.process is not None and _pid(worker) == part.process.pid


def _pid(worker: str) -> int:
    """Process of a worker, from its name: host, pid, random."""
    return int(worker.rpartition("-")[0].rpartition("-")[2])


def _await(look: Callable[[], str | None], patience_s: float = AIM_S) -> str | None:
    give_up = time.monotonic() + patience_s
    while time.monotonic() < give_up:
        if found := look():
            return found
        time.sleep(0.02)
    return None
