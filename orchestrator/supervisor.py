"""Starts the processes that a campaign needs, and starts again what died.

It looks at the world and closes the gap to what should be there: server, twin, worker, campaign.
What somebody else already runs in the same lab is used as it is.
"""

import json
import logging
import os
import platform
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.room import is_full
from orchestrator.adapters.ledgers.embedded_server import ensure_server, socket_folder
from orchestrator.adapters.processes import child
from orchestrator.adapters.processes.link_file import clear_lost, write_lost
from orchestrator.domain import events as ev
from orchestrator.domain.errors import ExitCode, LabError, LedgerFull, LedgerUnavailable, Unusable
from orchestrator.domain.outage import Cause, Outage, note, span
from orchestrator.domain.state import OVER, fold
from orchestrator.ports import Ledger

log = logging.getLogger(__name__)

QUICK_S = 3.0
"""A process that lived shorter than this died quickly."""
MOST_QUICK_DEATHS = 8
"""Quick deaths in a row after which the supervisor gives up."""
MOST_REFUSALS = 1
"""Refusals of a process, with nothing else amiss, after which the next one is believed."""
KILLED_S = 0.1
"""Wait before a process that was killed from outside is started again."""
BYSTANDER_WAIT_S = 60.0
"""Wait before a bystander that keeps dying is started again."""
TWIN_START_S = 30.0
"""Longest time that a twin may take to serve."""


@dataclass
class Part:
    """One process that should be there."""

    role: str
    name: str
    """Instrument or campaign that it serves."""
    start: Callable[[], "tuple[subprocess.Popen[bytes], Mapping[str, Any]]"]
    """Starts it; gives the process and what others should know of it."""
    unpublished: Mapping[str, Any] | None = None
    """What others should know and do not yet; None when they do."""
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    quick_deaths: int = 0
    refusals: int = 0
    """How often it said that it cannot work here."""
    not_before: float = 0.0
    error_file: Path | None = None
    standby: bool = False
    """True for a second worker, which waits until the instrument is free."""
    is_bystander: bool = False
    """True for a part that the campaign goes on without, and that has a last word at the end."""

    def is_alive(self) -> bool:
        """True when it was started and has not ended."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Keeps the parts of one campaign's lab alive, from this process's main thread."""

    data_dir: Path
    ledger: Ledger
    embedded: bool
    """True when the lab uses the server inside its data folder."""
    parts: list[Part] = field(default_factory=list[Part])
    frozen_s: float | None = None
    """Seconds after which a child that is stopped (SIGSTOP) is killed and replaced; None: never."""
    server: "subprocess.Popen[bytes] | None" = None
    campaign_id: str | None = None
    """Campaign whose log is told of a lost link by this supervisor; None: of none."""
    outage: Outage | None = None
    """What keeps the ledger from working at present; None when all is well."""
    has_lost: bool = False
    """True once a process had to be replaced: then one that cannot start may do so later."""
    _has_restarted: bool = False
    """True when this process has started the server again in the present outage."""
    _is_listed: bool = True
    """False while the server that this process started is to be published."""
    _knew_server: bool = False
    """True once there was a server: when it is gone, it has died."""
    _frozen_since: dict[int, float] = field(default_factory=dict[int, float])
    """By pid, since when (monotonic seconds) a child is stopped."""

    def add_twin(
        self, instrument: str, arguments: list[str], environment: Mapping[str, str]
    ) -> None:
        """See that the instrument's twin is served.

        Each start takes a fresh port, so that a worker cannot silently go on with a twin that
        has forgotten its setpoints: it loses its devices, and the next worker finds the new one.
        """

        def start() -> "tuple[subprocess.Popen[bytes], Mapping[str, Any]]":
            process = self._module("twin", instrument, arguments, environment, True)
            return process, _ready_line(process, TWIN_START_S)

        self.parts.append(Part("twin", instrument, start))

    def add(
        self,
        role: str,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        about: Mapping[str, Any] | None = None,
        *,
        standby: bool = False,
        is_bystander: bool = False,
    ) -> None:
        """See that a process of ours is there; ``about`` is published with it.

        A bystander may die as often as it likes: nothing else depends on it. When it is dead at
        the end it is started once more, so that it can have its last word.
        """
        published = {**(about or {}), "standby": standby}
        held = (signal.SIGTERM,) if is_bystander else ()

        def start() -> "tuple[subprocess.Popen[bytes], Mapping[str, Any]]":
            return self._module(role, name, arguments, environment, False, held), published

        error_file = None if standby else self.data_dir / "logs" / f"{role}-{name}.error"
        part = Part(role, name, start, error_file=error_file)
        part.standby, part.is_bystander = standby, is_bystander
        self.parts.append(part)

    def step(self) -> None:
        """Look once, and start what is missing.

        Raises:
            Unusable: a part cannot work here, or keeps dying.
        """
        self._end_frozen()
        try:
            self._keep_server()
            self.ledger.check()
            for part in list(self.parts):
                if part.is_bystander:
                    self._keep_bystander(part)
                else:
                    self._keep(part)
            self._regain()
        except LedgerFull as error:
            self._lose(Cause.FULL, str(error))
        except LedgerUnavailable as error:  # the next look starts it again
            self._lose(Cause.SILENT, str(error))
        except OSError as error:
            if not is_full(error):
                raise
            self._lose(Cause.FULL, f"the disk is full: {error}")

    def _lose(self, cause: Cause, detail: str) -> None:
        """Note that the ledger is away, or more of why it is."""
        if self.outage is None:
            self.outage = Outage(time.time(), cause, detail)
            write_lost(socket_folder(self.data_dir), self.outage.since)
        elif cause > self.outage.cause:
            self.outage = self.outage.widened(cause, detail)
        else:
            return
        log.warning("the ledger is out of reach: %s", detail)

    def _regain(self) -> None:
        """Write down what happened, where people look for it, once the ledger is back."""
        outage, ended = self.outage, time.time()
        if outage is None:
            return
        for campaign_id in self._concerned(outage, ended):
            try:
                self._tell(campaign_id, outage, ended)
            except LedgerUnavailable:
                raise  # told at a later look
            except LabError as error:
                log.warning("campaign %s is not told of it: %s", campaign_id, error)
        log.warning("the ledger is back after %s", span(ended - outage.since))
        self.outage, self._has_restarted = None, False
        clear_lost(socket_folder(self.data_dir))

    def _tell(self, campaign_id: str, outage: Outage, ended: float) -> None:
        state = fold(self.ledger.events(campaign_id))
        text = note(outage, ended, state, self.frozen_s or 0.0)
        key = f"outage-{platform.node()}-{os.getpid()}-{outage.since:.3f}"
        self.ledger.remark(campaign_id, ev.Noted(by="supervisor", text=text, key=key))

    def _concerned(self, outage: Outage, ended: float) -> list[str]:
        """Campaigns whose log must tell of it: one process tells each of them.

        Whoever has started the server again tells all that are open. An outage without that is
        told by the campaign's own launcher, and only when it outlasted a lease.
        """
        if self._has_restarted:
            known = self.ledger.campaigns()
            return [one for one in known if self.ledger.status(one) not in OVER]
        is_long = self.frozen_s is not None and ended - outage.since > self.frozen_s
        own = self.campaign_id is not None and (is_long or outage.cause is Cause.FULL)
        return [self.campaign_id] if own and self.campaign_id else []

    def stop(self, patience_s: float = 20.0) -> None:
        """End what this process started, in the order of its start, the server last."""
        for part in self.parts:
            if part.is_bystander:
                self._let_speak(part)
            if part.process is not None:
                child.end(part.process, patience_s)
                self._forget(part.process.pid)
        if self.server is not None:
            child.end(self.server, patience_s)
        if self.outage is not None:
            clear_lost(socket_folder(self.data_dir))

    def _end_frozen(self) -> None:
        """Kill children that have been stopped for too long: they hold what others wait for."""
        now = time.monotonic()
        children = [self.server, *(part.process for part in self.parts)]
        stopped = {
            one.pid: one for one in children if one is not None and child.is_stopped(one.pid)
        }
        self._frozen_since = {pid: self._frozen_since.get(pid, now) for pid in stopped}
        for pid, since in self._frozen_since.items():
            if self.frozen_s is not None and now - since > self.frozen_s:
                log.error("process %s was frozen for %.0f s: killed", pid, now - since)
                stopped[pid].kill()
                stopped[pid].wait()
                if stopped[pid] is self.server:
                    lasted = span(now - since)
                    self._lose(Cause.DIED, f"its process {pid} was frozen for {lasted}, and killed")

    def _keep_server(self) -> None:
        if not self.embedded:
            return
        if self.server is not None and self.server.poll() is None:
            self._list_server(self.server.pid)
            return
        if self.server is not None:
            self.has_lost = True
            self._lose(Cause.DIED, _death(self.server))
        live = ensure_server(self.data_dir)
        if live.process is not None:
            if self._knew_server:  # when it was our own, more is known of its end
                self._lose(Cause.DIED, "the server of another launcher ended")
                self._has_restarted = True
            self._is_listed = False
            self._list_server(live.pid)
        self.server = live.process
        self._knew_server = True

    def _list_server(self, pid: int) -> None:
        if not self._is_listed:
            self._publish("server", None, pid, {})
            self._is_listed = True

    def _keep(self, part: Part) -> None:
        if part.is_alive():
            self._make_known(part)
            return
        if part.process is not None:
            self._note_death(part, part.process)
        if part not in self.parts or time.monotonic() < part.not_before:
            return
        if self._is_served_elsewhere(part):
            part.refusals = 0  # that other one may have been why
            return
        if part.error_file is not None:
            part.error_file.unlink(missing_ok=True)
        part.started = time.monotonic()
        try:
            part.process, part.unpublished = part.start()
        except Unusable as error:  # it died before it was ready
            self.has_lost = True
            self._put_off(part, 0.0, str(error))
        self._make_known(part)

    def _keep_bystander(self, part: Part) -> None:
        """As ``_keep``, but what goes wrong with it is nobody else's concern."""
        has_lost = self.has_lost
        try:
            self._keep(part)
        except (Unusable, OSError) as error:
            log.error("going on without %s: %s", part.role, error)
            part.not_before = time.monotonic() + BYSTANDER_WAIT_S
        self.has_lost = has_lost

    def _let_speak(self, part: Part) -> None:
        """See that a bystander is there for the end, when nobody else's is."""
        try:
            self._keep_bystander(part)  # notes its death and puts off the next start
            part.not_before = 0.0
            self._keep_bystander(part)
        except LedgerUnavailable as error:
            log.warning("%s %s has no last word: %s", part.role, part.name, error)

    def _make_known(self, part: Part) -> None:
        """Publish a process; again at the next look when the server did not answer."""
        if part.process is not None and part.unpublished is not None:
            self._publish(part.role, part.name, part.process.pid, part.unpublished)
            part.unpublished = None

    def _note_death(self, part: Part, process: "subprocess.Popen[bytes]") -> None:
        code, lived = process.returncode, time.monotonic() - part.started
        self._forget(process.pid)
        part.process = None
        if code == ExitCode.DONE and part.role == "campaign":
            self.parts.remove(part)  # it is over
            return
        reason = _error_text(part)
        refuses = code == ExitCode.WRONG
        if refuses and reason and part.refusals == MOST_REFUSALS and not self.has_lost:
            raise Unusable(reason)  # it never could work here, rather than no longer
        told = f": {reason}" if reason else ""
        ended = "%s %s ended with code %s after %.1f s%s"
        log.warning(ended, part.role, part.name, code, lived, told)
        if refuses:
            part.refusals += 1  # one search for a PV may go astray: a second look tells
        else:
            self.has_lost = True
        if code == -signal.SIGKILL:  # killed from outside: that says nothing against a next one
            part.not_before = time.monotonic() + KILLED_S
        else:
            self._put_off(part, 0.0 if code == ExitCode.WRONG else lived, reason)

    def _put_off(self, part: Part, lived: float, reason: str) -> None:
        """Wait longer before the next start the more often it died quickly.

        Raises:
            Unusable: it keeps dying by itself.
        """
        part.quick_deaths = part.quick_deaths + 1 if lived < QUICK_S else 0
        if part.quick_deaths > MOST_QUICK_DEATHS:
            log_file = self.data_dir / "logs" / f"{part.role}-{part.name}.log"
            raise Unusable(
                f"the {part.role} process of {part.name} died {part.quick_deaths} times in a row"
                f"; see {log_file}. {reason}".rstrip()
            )
        part.not_before = time.monotonic() + min(0.1 * 2**part.quick_deaths, 10.0)

    def _is_served_elsewhere(self, part: Part) -> bool:
        """True when another launcher of this lab already runs this part."""
        return any(
            (about["role"], about["instrument"], about.get("standby", False))
            == (part.role, part.name, part.standby)
            for pid, about in self.ledger.processes().items()
            if child.is_same_process(pid, about["started"])
        )

    def _module(
        self,
        role: str,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        piped: bool,
        held_back: Collection[signal.Signals] = (),
    ) -> "subprocess.Popen[bytes]":
        return child.start_module(
            ["orchestrator.app", role, *arguments],
            log=self.data_dir / "logs" / f"{role}-{name}.log",
            environment=environment,
            stdout=subprocess.PIPE if piped else None,
            held_back=held_back,
        )

    def _publish(self, role: str, name: str | None, pid: int, about: Mapping[str, Any]) -> None:
        started = child.started_at(pid)
        if started is not None:
            known = {"role": role, "instrument": name, "started": started, **about}
            known["host"] = platform.node()
            self.ledger.set_process(pid, known)

    def _forget(self, pid: int) -> None:
        """Take a process off the list, and its own children that have died with it."""
        try:
            for listed, about in self.ledger.processes().items():
                if listed == pid or not child.is_same_process(listed, about["started"]):
                    self.ledger.set_process(listed, None)
        except LedgerUnavailable:
            log.warning("the server is gone; process %s stays listed until the next start", pid)


def _death(process: "subprocess.Popen[bytes]") -> str:
    """How the server ended, as a sentence without its full stop."""
    code = process.returncode
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"its process {process.pid} {how}"


def _ready_line(process: "subprocess.Popen[bytes]", timeout_s: float) -> dict[str, Any]:
    """What a twin says on its standard output once it serves.

    Raises:
        Unusable: it ended or stayed silent.
    """
    said = process.stdout
    readable = said is not None and select.select([said], [], [], timeout_s)[0]
    line = said.readline() if said is not None and readable else b""
    if not line:
        child.end(process, 1.0)
        raise Unusable(f"the twin did not start (exit code {process.returncode}); see its log")
    return json.loads(line)


def _error_text(part: Part) -> str:
    try:
        return part.error_file.read_text().strip() if part.error_file else ""
    except OSError:
        return ""
