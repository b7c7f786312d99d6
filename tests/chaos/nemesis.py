"""What goes wrong: real signals to real processes, drawn from a seed."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.adapters.child import is_same_process, is_stopped
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentState
from orchestrator.supervisor import Part
from tests.chaos.lab import INSTRUMENTS, LEASE_S, ChaosLab

FREEZE_S = (1.4 * LEASE_S, 2.4 * LEASE_S)
"""How long a worker is frozen: longer than its lease."""
TRIAL_S = 1.2
"""About how long a trial takes."""
AIM_S = 3.0
"""Longest wait for a worker that drives."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One kind of fault."""

    name: str
    """The count that it adds to."""
    every: float
    """Mean number of grants (leases and recoveries) between two: a slow machine is not struck more
    often than it can recover."""
    strike: "Callable[[Nemesis], bool]"
    """Does it; False when there was nobody to do it to."""


@dataclass
class Nemesis:
    """Strikes from a thread of its own until it is stopped.

    Which fault comes when, and whom it strikes, is drawn from the seed; what the struck process
    was doing at that moment is up to the machine.
    """

    lab: ChaosLab
    blows: tuple[Blow, ...]
    counts: Counter[str] = field(default_factory=Counter[str])
    deaths: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])
    """Instrument, worker and time (Unix) of each killed worker that held its instrument."""
    errors: list[BaseException] = field(default_factory=list[BaseException])

    def __post_init__(self) -> None:
        terms = self.lab.terms
        self.random = random.Random(f"{terms.seed} {terms.gate}")
        self._stop = threading.Event()
        self._granted = 0
        self._undone: list[threading.Timer] = []
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Strike no more, wake what is frozen, mend what is cut."""
        self._stop.set()
        self._thread.join()
        for timer in self._undone:
            timer.join()
        if self.errors:
            raise self.errors[0]

    def later(self, seconds: float, undo: Callable[[], None]) -> None:
        """Undo a fault after so many seconds."""
        timer = threading.Timer(seconds, undo)
        timer.start()
        self._undone.append(timer)

    def _run(self) -> None:
        due = {blow.name: self._wait(blow) for blow in self.blows}
        try:
            while not self._stop.wait(0.02):
                grants = self._grants()
                for blow in self.blows:
                    if grants < due[blow.name]:
                        continue
                    # A grant is the beginning of a trial: strike at any moment of it.
                    self._stop.wait(self.random.uniform(0.0, 1.5 * TRIAL_S))
                    self.counts[blow.name] += blow.strike(self)
                    due[blow.name] = grants + self._wait(blow)
        except BaseException as error:
            self.errors.append(error)

    def _wait(self, blow: Blow) -> float:
        return blow.every * self.random.uniform(0.3, 1.7)

    def _grants(self) -> int:
        with contextlib.suppress(LedgerError):
            self._granted = sum(self.lab.ledger.instrument(one).fence for one in INSTRUMENTS)
        return self._granted

    def holder(self, instrument: str, *, driving: bool = False) -> str | None:
        """The worker that holds the instrument now; with ``driving`` only in a started trial."""
        with contextlib.suppress(LedgerError):
            record = self.lab.ledger.instrument(instrument)
            if record.state is not InstrumentState.LEASED or record.campaign_id is None:
                return None
            if not driving:
                return record.holder
            state = self.lab.state(record.campaign_id)
            trial = state.trials.get(record.trial_id or 0)
            if trial is not None and trial.state is TrialState.RUNNING:
                return record.holder
        return None


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
    """Stop the worker that drives now for longer than its lease, then wake it."""
    seconds = nemesis.random.uniform(*FREEZE_S)
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
        runs = part.process is not None and not is_stopped(part.process.pid)
        if runs and _is(driver, part) and _send(part, signal.SIGSTOP):
            nemesis.later(seconds, lambda part=part: _send(part, signal.SIGCONT))
            return True
    return False


def cut_link(nemesis: Nemesis) -> bool:
    """Cut the workers of an instrument off from the server for a while."""
    instrument = nemesis.random.choice(INSTRUMENTS)
    link = nemesis.lab.links[instrument]
    link.cut()
    nemesis.later(nemesis.random.uniform(0.3, 2.0) * LEASE_S, link.mend)
    return True


EVERYTHING = (
    Blow("worker_kills", 1.6, kill_worker),
    Blow("beat_kills", 20, kill_beat),
    Blow("campaign_kills", 18, kill_campaign),
    Blow("server_kills", 25, kill_server),
    Blow("freezes", 9, freeze_driver),
    Blow("ioc_kills", 40, kill_ioc),
    Blow("server_freezes", 50, freeze_server),
    Blow("link_cuts", 30, cut_link),
)
ONLY_FREEZES = (Blow("freezes", 9, freeze_driver),)
"""For the control: what the gate is there for, and nothing else."""


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
    """True when the worker of this name (host, pid, random) is this process."""
    if worker is None or part.process is None:
        return False
    return worker.rpartition("-")[0].rpartition("-")[2] == str(part.process.pid)


def _await(look: Callable[[], str | None]) -> str | None:
    give_up = time.monotonic() + AIM_S
    while time.monotonic() < give_up:
        if found := look():
            return found
        time.sleep(0.01)
    return None
