"""Wiring: settings become ports filled with adapters. Only this file knows every adapter.

``python -m orchestrator.app ROLE ...`` is what the supervisor starts: campaign, worker, twin or
notifier.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import logging
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.adapters.ledgers.embedded_server import prepare_folder, socket_folder
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.errors import (
    DeviceUnavailable,
    ExitCode,
    LabError,
    LedgerError,
    LedgerUnavailable,
    Unusable,
)
from orchestrator.domain.notices import NoticeRules
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.domain.state import fold
from orchestrator.heartbeat import Heartbeat
from orchestrator.ledger_access import ledger_at, server_url
from orchestrator.ports import Executor, Gate, Lab, Ledger, NoticeChannel
from orchestrator.settings import Settings
from orchestrator.storage import hold
from orchestrator.supervisor import TWIN_START_S

if TYPE_CHECKING:
    from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
    from orchestrator.adapters.queueserver.executor import QueueserverExecutor

log = logging.getLogger(__name__)

HOST_LOCKS = Path("/tmp/labwright-locks")
"""Folder of the locks on real instruments, shared by all users of this host."""
SOFTWARE = ("labwright", "bluesky", "ophyd", "numpy")
"""Packages whose versions go into every RunStart document."""
ROOM_WAIT_S = 60.0
"""Announced again and again while a result waits for room on the disk."""


class SystemClock:
    """ports.Clock by this machine."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def versions() -> dict[str, str]:
    """Versions of the software that measures."""
    found = {"python": platform.python_version()}
    for package in SOFTWARE:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


# The live documents


def document_address(settings: Settings, instrument: str) -> str:
    """Where the worker of an instrument publishes its documents."""
    return f"ipc://{socket_folder(settings.data_dir)}/{instrument}.docs"


# The campaign process


@dataclass(frozen=True, slots=True)
class _NotHere:
    """Stands in a bundle for a port that this process does not use, and says so when used."""

    port: str

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{self.port} belongs to another process")


def campaign_lab(
    settings: Settings, ledger: RedisLedger, instrument: InstrumentSpec, method: str
) -> Lab:
    """The bundle of the campaign process: ledger, optimizer, and what was measured already."""
    from orchestrator.adapters.disk.outbox import FileOutbox
    from orchestrator.adapters.optimizers.optimizer_process import OptimizerProcess

    absent: dict[str, Any] = {port: _NotHere(port) for port in ("executor", "gate", "reducer")}
    return Lab(
        ledger=ledger,
        optimizer=OptimizerProcess(method, settings.suggestion_deadline_s),
        outbox=FileOutbox(settings.data_dir),
        clock=SystemClock(),
        instrument=instrument,
        worker="",
        lease_s=settings.lease_s,
        plan_deadline_s=settings.plan_deadline_s,
        versions={},
        announce=lambda _: None,
        **absent,
    )


def run_campaign(settings: Settings, campaign_id: str) -> None:
    """Decide until the campaign is over."""
    from orchestrator.campaign import decide

    ledger = ledger_at(settings, server_url(settings))
    state = fold(ledger.events(campaign_id))
    instrument = InstrumentSpec.from_data(state.instrument_spec)
    lab = campaign_lab(settings, ledger, instrument, state.spec["optimizer"]["method"])
    try:
        decide(lab, campaign_id)
    finally:
        lab.optimizer.close()


# The worker


def gate_for(settings: Settings, instrument: InstrumentSpec) -> Gate:
    """What keeps a second driver off; a twin's server is told of every claim, for its notes."""
    from orchestrator.adapters.gates.gate_fence_pv import FencePv, FencePvGate, ToldGate

    if instrument.gate == "fence_pv":
        return FencePvGate(FencePv())
    gate = _gate_of_host(settings, instrument)
    return ToldGate(gate, FencePv()) if instrument.is_served else gate


def _gate_of_host(settings: Settings, instrument: InstrumentSpec) -> Gate:
    """The gate on this host; for a real instrument one lock of the host per PV prefix.

    So two files that share a single device exclude each other, whatever they call the instrument,
    and so do two that share a queueserver.
    """
    from orchestrator.adapters.gates.gate_flock import FlockGate, FlockGates
    from orchestrator.adapters.gates.gate_none import NoGate

    if instrument.gate == "none":
        return NoGate()
    if instrument.mode == "twin":
        return FlockGate(settings.data_dir / "locks" / f"{instrument.name}.lock")
    if instrument.queueserver is not None:
        names = {instrument.queueserver.control}
    else:
        names = {device.prefix or name for name, device in instrument.devices.items()}
    digests = (hashlib.sha256(name.encode()).hexdigest()[:16] for name in names)
    return FlockGates([HOST_LOCKS / f"{digest}.lock" for digest in sorted(digests)])


def worker_lab(
    settings: Settings,
    ledger: RedisLedger,
    instrument: InstrumentSpec,
    executor: Executor,
    worker: str,
    announce: Callable[[float], None],
    files_lack: Callable[[], str | None] = lambda: None,
) -> Lab:
    """The bundle of a worker: everything but the optimizer."""
    from orchestrator.adapters.disk.outbox import FileOutbox
    from orchestrator.adapters.reduction.reducer_process import ReducerProcess

    def wait(campaign_id: str, why: str) -> None:
        announce(ROOM_WAIT_S)  # waiting is not hanging
        with contextlib.suppress(LedgerUnavailable):
            hold(ledger, campaign_id, why)
        time.sleep(1.0)

    absent: dict[str, Any] = {"optimizer": _NotHere("optimizer")}
    return Lab(
        ledger=ledger,
        executor=executor,
        outbox=FileOutbox(settings.data_dir, wait, files_lack),
        gate=gate_for(settings, instrument),
        reducer=ReducerProcess(settings.data_dir),
        clock=SystemClock(),
        instrument=instrument,
        worker=worker,
        lease_s=settings.lease_s,
        plan_deadline_s=settings.plan_deadline_s,
        versions=versions(),
        announce=announce,
        **absent,
    )


def run_worker(settings: Settings, instrument: InstrumentSpec, *, standby: bool = False) -> None:
    """Own an instrument and run its trials until this process must be replaced.

    With ``standby`` it waits, all loaded, while another worker drives the instrument.

    Raises:
        Unusable: another worker drives it, or its twin is not there.
        DeviceUnavailable: devices that do not connect.
    """
    from orchestrator.worker import Worker

    ledger = ledger_at(settings, server_url(settings))
    twin = confined_twin(settings, ledger, instrument)
    name = child.worker_name()

    def stays() -> bool:
        return not twin or child.is_same_process(twin["pid"], twin["started"])

    signal.signal(signal.SIGTERM, _leave)
    with contextlib.closing(heartbeat(settings, ledger, instrument.name, name)) as beat:
        executor = executor_for(settings, instrument, twin, beat.announce)
        room = executor.file_room.lack
        lab = worker_lab(settings, ledger, instrument, executor, name, beat.announce, room)
        worker = Worker(lab, standby=standby, stays=stays)
        try:
            worker.begin()
            beat.wait()
            worker.work()
        except (SystemExit, KeyboardInterrupt):
            executor.quiet()
            raise
        finally:
            worker.leave()


def confined_twin(
    settings: Settings, ledger: RedisLedger, instrument: InstrumentSpec
) -> dict[str, Any]:
    """The instrument's twin, to which this process is confined now; empty when it has none.

    Raises:
        Unusable: it is not there.
    """
    # Loaded while the twin starts. Nothing of EPICS: that must see the confined environment.
    importlib.import_module("bluesky.run_engine")
    if not instrument.is_served:
        return {}
    patience_s = max(settings.connect_timeout_s, TWIN_START_S)  # both may start at the same time
    twin = find_twin(ledger, instrument.name, patience_s)
    confine_to_loopback(twin["port"])
    return twin


def executor_for(
    settings: Settings,
    instrument: InstrumentSpec,
    twin: Mapping[str, Any],
    announce: Callable[[float], None] = lambda _: None,
) -> "BlueskyExecutor | QueueserverExecutor":
    """What drives the instrument: its queueserver, or this process, at the ``confined_twin``.

    A queueserver's tells ``announce`` how many seconds more a plan may take that is paused.
    """
    from orchestrator.adapters.documents.document_stream import DocumentPublisher
    from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
    from orchestrator.adapters.queueserver.executor import QueueserverExecutor

    prepare_folder(settings.data_dir)
    publisher = DocumentPublisher(document_address(settings, instrument.name))
    if instrument.queueserver is not None:
        return QueueserverExecutor(
            instrument,
            instrument.queueserver,
            envelope_of(instrument),
            settings.data_dir,
            publisher=publisher,
            connect_timeout_s=settings.connect_timeout_s,
            announce=announce,
        )
    return BlueskyExecutor(
        instrument,
        envelope_of(instrument),
        settings.data_dir,
        time_scale=twin.get("time_compression", 1.0),
        publisher=publisher,
        instance=twin.get("instance"),
        connect_timeout_s=settings.connect_timeout_s,
    )


def heartbeat(settings: Settings, ledger: RedisLedger, instrument: str, worker: str) -> Heartbeat:
    """A heartbeat for this process's hold on an instrument."""
    arguments = ["orchestrator.beat", ledger.url, settings.lab, instrument, worker]
    arguments += [str(os.getpid()), *map(str, (settings.lease_s, settings.beat_s, settings.hung_s))]
    log_file = settings.data_dir / "logs" / f"beat-{instrument}.log"

    def start() -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return child.start_module(arguments, log=log_file, stdin=pipe, stdout=pipe)

    def publish(pid: int) -> None:
        started = child.started_at(pid)
        if started is not None:
            about = {"role": "beat", "instrument": instrument, "started": started}
            about["host"] = platform.node()
            with contextlib.suppress(LedgerError):  # for screens; the beat works without
                ledger.set_process(pid, about)

    return Heartbeat(start, publish)


def has_twin(ledger: Ledger, instrument: str) -> bool:
    """True when a live server of this lab serves the instrument's twin."""
    try:
        find_twin(ledger, instrument, 0.1)
    except Unusable:
        return False
    return True


def find_twin(ledger: Ledger, instrument: str, timeout_s: float) -> dict[str, Any]:
    """How to reach the instrument's live twin: port, instance, time_compression.

    Raises:
        Unusable: none has come up in time.
    """
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        for pid, about in ledger.processes().items():
            mine = about["role"] == "twin" and about["instrument"] == instrument
            if mine and child.is_same_process(pid, about["started"]):
                return about
        time.sleep(0.05)
    raise Unusable(f"the twin of {instrument!r} is not running; 'labwright twin' starts one")


def confine_to_loopback(port: int) -> None:
    """Point this process's Channel Access at a twin, whatever the shell says.

    Belongs before the first import of epics or ophyd.
    """
    for name in [name for name in os.environ if name.startswith(("EPICS_CA", "EPICS_PVA"))]:
        del os.environ[name]
    os.environ |= {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
    }


# The notifier


def notice_channels(settings: Settings) -> list[NoticeChannel]:
    """Every way to call for help that the settings name; empty when they name none.

    Raises:
        Unusable: one is named and cannot work; no secret is in the message.
    """
    from orchestrator.adapters.notices.notify_email import EmailChannel, MailServer, addresses
    from orchestrator.adapters.notices.notify_webhook import WebhookChannel

    channels: list[NoticeChannel] = []
    if settings.notify_email:
        if not settings.smtp_url:
            raise Unusable(
                "LABWRIGHT_NOTIFY_EMAIL names whom to call, but LABWRIGHT_SMTP_URL names no mail "
                "server; write smtp://host:25, smtps://user@host:465 or smtp+starttls://user@host"
            )
        recipients = addresses(settings.notify_email, "LABWRIGHT_NOTIFY_EMAIL")
        server = MailServer.from_url(settings.smtp_url, settings.mail_password())
        own = server.user if server.user and "@" in server.user else f"labwright@{host_name()}"
        sender = addresses(settings.notify_from or own, "LABWRIGHT_NOTIFY_FROM")[0]
        channels.append(EmailChannel(server, recipients, sender))
    if settings.notify_webhook:
        channels.append(WebhookChannel(settings.notify_webhook.reveal()))
    return channels


def notice_rules(settings: Settings) -> NoticeRules:
    """What is worth a message, and what its reader must know of this lab."""
    options = ["--data-dir", str(settings.data_dir.resolve())]
    if settings.redis_url is not None and urlsplit(settings.redis_url).password is None:
        options += ["--redis", settings.redis_url]
    suspended_s = settings.notify_suspended_min * 60
    return NoticeRules(suspended_s=suspended_s, host=host_name(), options=shlex.join(options))


def run_notifier(settings: Settings) -> None:
    """Call for help until SIGTERM, and send what is due then."""
    from orchestrator.notifier import Notifier, until_terminated

    pause = until_terminated()
    with contextlib.closing(
        RedisLedger(server_url(settings), lab=settings.lab, patience_s=1.0)
    ) as ledger:
        channels, rules = notice_channels(settings), notice_rules(settings)
        Notifier(ledger, channels, rules, SystemClock(), child.worker_name()).run(pause)


def host_name() -> str:
    """What this machine is called, for the people on duty."""
    return platform.node() or "localhost"


# The processes


LEAVE_AGAIN_S = 15.0
"""A worker that is told to end and is still there after so long is told again: a library that was
at work may have swallowed it. It is longer than an orderly end takes."""


def _leave(*_: object) -> None:
    signal.signal(signal.SIGALRM, _leave)
    signal.setitimer(signal.ITIMER_REAL, LEAVE_AGAIN_S)
    raise SystemExit(0)


def main(arguments: list[str]) -> int:
    """Run one role as a child process; gives the exit code."""
    settings = Settings.from_environment()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    child.die_with_parent(child.parent_from_environment())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    role, subject, *rest = arguments
    if role == "twin":
        from simulators.serve import main as serve

        return serve([subject, *rest])
    error_name = json.loads(subject)["name"] if role == "worker" else subject
    error_file = settings.data_dir / "logs" / f"{role}-{error_name}.error"
    try:
        if role == "campaign":
            run_campaign(settings, subject)
        elif role == "notifier":
            run_notifier(settings)
        else:
            instrument = InstrumentSpec.from_data(json.loads(subject))
            run_worker(settings, instrument, standby="--standby" in rest)
    except SystemExit:
        return 0
    except (Unusable, DeviceUnavailable) as error:
        error_file.write_text(f"{error}\n")
        log.error("%s", error)
        return ExitCode.WRONG
    except LabError as error:
        error_file.write_text(f"{error}\n")
        log.exception("%s process ended", role)
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Threads of Channel Access and of an abandoned plan must not keep the process alive.
    logging.shutdown()
    os._exit(code)
