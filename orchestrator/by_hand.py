"""What a person starts by hand: a worker, a twin, parking, a test of the calls for help."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.ledgers.embedded_server import find_server, prepare_folder
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.adapters.user_files.spec_files import read_instrument, twin_folders
from orchestrator.app import (
    confine_to_loopback,
    confined_twin,
    executor_for,
    find_twin,
    gate_for,
    has_twin,
    host_name,
    notice_channels,
)
from orchestrator.domain import events as ev
from orchestrator.domain.errors import LedgerError, NotDelivered, Unusable
from orchestrator.domain.notice_words import example
from orchestrator.domain.notices import Notice
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.ledger_access import check_server, ledger_at, server_url
from orchestrator.parts import add_notifier, add_twin, add_worker
from orchestrator.ports import InstrumentState, NoticeChannel
from orchestrator.settings import Settings
from orchestrator.supervisor import Supervisor

if TYPE_CHECKING:
    from simulators.table.instrument import TableTwin

STEP_S = 0.1
"""Seconds between two looks at the processes."""


def send_test_notice(settings: Settings) -> list[dict[str, Any]]:
    """Send a test through every channel; for each its name, whom it reaches, and what went wrong.

    Raises:
        Unusable: none is configured, or one cannot work.
    """
    channels = notice_channels(settings)
    if not channels:
        raise Unusable(
            "nobody would be called: set LABWRIGHT_NOTIFY_EMAIL and LABWRIGHT_SMTP_URL, or "
            "LABWRIGHT_NOTIFY_WEBHOOK; docs/how-to/call-for-help.md shows how"
        )
    notice = example(child.worker_name(), time.time(), host_name())
    return [{"channel": c.name, "to": c.where, "error": _problem(c, notice)} for c in channels]


def _problem(channel: NoticeChannel, notice: Notice) -> str | None:
    try:
        return channel.send(notice) or None
    except NotDelivered as error:
        return str(error)


def serve_worker(settings: Settings, instrument: InstrumentSpec, *, standby: bool = False) -> int:
    """Keep a worker on an instrument, with its server and twin when none is there, until SIGTERM.

    A second call with ``standby`` keeps a second worker, which takes over when the first dies.
    Gives the exit code.

    Raises:
        Unusable: another worker drives the instrument, or this one cannot or keeps dying.
    """
    check_server(settings)
    prepare_folder(settings.data_dir)
    ledger = RedisLedger(server_url(settings), lab=settings.lab, patience_s=0.5, timeout_s=3.0)
    embedded = settings.redis_url is None
    supervisor = Supervisor(settings.data_dir, ledger, embedded, frozen_s=settings.lease_s)
    stop = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stop.set())
    with contextlib.closing(ledger):
        try:
            supervisor.step()
            if not standby:
                _refuse_second(ledger, instrument.name)
            add_worker(supervisor, settings, instrument, waits=standby, standby=standby)
            add_twin(supervisor, settings, instrument)
            if settings.calls_for_help:
                add_notifier(supervisor, settings)
            _keep_until(stop, supervisor, ledger, instrument.name)
        finally:
            supervisor.stop()
    return 0


def _keep_until(
    stop: threading.Event, supervisor: Supervisor, ledger: RedisLedger, instrument: str
) -> None:
    """Keep the worker; when that is given up, whoever reads the instrument's campaigns is told."""
    try:
        while not stop.is_set():
            supervisor.step()
            stop.wait(STEP_S)
    except Unusable as error:
        text = f"'labwright worker' of {instrument} gave up: {error}"
        key = f"gave-up-{child.worker_name()}"
        with contextlib.suppress(LedgerError):  # it may be what is missing
            for campaign_id in ledger.open_campaigns(instrument):
                ledger.remark(campaign_id, ev.Noted(by="worker", text=text, key=key))
        raise


def _refuse_second(ledger: RedisLedger, instrument: str) -> None:
    for pid, about in ledger.processes().items():
        mine = about["role"] == "worker" and about["instrument"] == instrument
        if mine and child.is_same_process(pid, about["started"]):
            raise Unusable(
                f"another worker already drives instrument {instrument!r} (process {pid}); "
                "--standby starts one that waits for its turn"
            )


def park_instrument(settings: Settings, ledger: RedisLedger, instrument: InstrumentSpec) -> None:
    """Park an instrument that no worker owns at present.

    Raises:
        Unusable: a worker owns it, or its state is not known.
        DeviceUnavailable: devices that do not connect.
    """
    gate = gate_for(settings, instrument)
    if not gate.enter():
        raise Unusable(
            f"a worker owns instrument {instrument.name!r}; end its run first, then park"
        )
    state = ledger.instrument(instrument.name).state
    if state is not InstrumentState.READY:
        raise Unusable(f"instrument {instrument.name!r} is {state}: it parks only when ready")
    with _twin_for(settings, ledger, instrument):
        executor = executor_for(settings, instrument, confined_twin(settings, ledger, instrument))
        executor.connect()
        executor.park()


@contextlib.contextmanager
def _twin_for(
    settings: Settings, ledger: RedisLedger, instrument: InstrumentSpec
) -> Iterator[None]:
    """The instrument's twin: a live one, or one of our own while the context lasts."""
    if not instrument.is_served:
        yield
        return
    if has_twin(ledger, instrument.name):
        yield
        return
    supervisor = Supervisor(settings.data_dir, ledger, embedded=False)
    add_twin(supervisor, settings, instrument)
    supervisor.step()
    try:
        yield
    finally:
        supervisor.stop()


def cause_fault(
    settings: Settings, ledger: RedisLedger, instrument: str | None, wanted: Mapping[str, Any]
) -> str:
    """Let this go wrong with a running twin, from now on; gives the instrument's name.

    Args:
        settings: of the lab.
        ledger: that knows the lab's twins.
        instrument: whose twin; None takes the only one.
        wanted: the fault; an empty one ends all.

    Raises:
        Unusable: the twin is not there, not known for certain, or cannot have this fault.
    """
    name = instrument or _only_twin(ledger)
    twin = find_twin(ledger, name, 0.1)
    text = json.dumps(wanted)
    if wanted:
        _check_fault(text, twin["twin"])
    confine_to_loopback(twin["port"])
    from caproto import CaprotoError
    from caproto.sync.client import write

    from simulators.faults import FAULT

    try:
        write(FAULT, text, notify=True, timeout=settings.connect_timeout_s, repeater=False)
    except (CaprotoError, OSError) as error:
        raise Unusable(f"the twin of {name!r} on port {twin['port']}: {error}") from error
    return name


def _only_twin(ledger: RedisLedger) -> str:
    """The instrument of the only twin that runs."""
    names = sorted(
        about["instrument"]
        for pid, about in ledger.processes().items()
        if about["role"] == "twin" and child.is_same_process(pid, about["started"])
    )
    if not names:
        raise Unusable("no twin runs here: start a campaign on one, or 'labwright twin NAME'")
    if len(names) != 1:
        raise Unusable(f"say --instrument: twins run of {', '.join(names)}")
    return names[0]


def _check_fault(text: str, twin: str) -> None:
    """Pass when this is a fault that the twin can have."""
    from simulators.faults import FaultError, fault_from
    from simulators.twins import UnknownTwin, own_pvs, twin_module

    try:
        pvs = own_pvs(twin_module(twin))
    except UnknownTwin:  # one made from a table: its server compares
        pvs = None
    try:
        fault_from(text, pvs)
    except FaultError as error:
        raise Unusable(str(error)) from error


def serve_twin(
    settings: Settings,
    twin: "str | TableTwin",
    seed: int,
    time_compression: float | None,
    port: int | None,
    say: Callable[[dict[str, Any]], None],
) -> int:
    """Serve a twin until Ctrl-C; ``say`` is told how to reach it. Gives the exit code.

    When the data folder has a live server, workers of this lab find the twin by themselves.

    Args:
        settings: of the lab.
        twin: a shipped twin's name, or what was made of a table.
        seed: of the noise.
        time_compression: lab seconds in one second; None takes the twin's own.
        port: None takes a free one.
        say: called once.

    Raises:
        Unusable: no such twin, a port in use, an impossible number.
    """
    from simulators.loopback import PortInUse
    from simulators.serve import serve
    from simulators.twins import UnknownTwin, describe, twin_module

    def ready(about: dict[str, Any]) -> None:
        _publish_twin(settings, twin, about)
        pvs = [{"pv": pv, "unit": unit, "what": what} for pv, unit, what in describe(module)]
        say({**about, "pvs": pvs})

    try:
        module = twin_module(twin) if isinstance(twin, str) else twin
        name = twin if isinstance(twin, str) else twin.header.name
        serve(
            module,
            name=name,
            seed=seed,
            time_compression=time_compression,
            port=port,
            on_ready=ready,
        )
    except (PortInUse, UnknownTwin, ValueError) as error:
        raise Unusable(str(error)) from error
    return 0


def table_twin(table: Path, header: Path) -> "TableTwin":
    """The twin that is emulated from a table.

    Raises:
        Unusable: naming the file, column and row of what is wrong.
    """
    from simulators.table.errors import BadTable
    from simulators.table.instrument import TableTwin

    try:
        return TableTwin(table, header)
    except BadTable as error:
        raise Unusable(str(error)) from error


def _publish_twin(settings: Settings, twin: "str | TableTwin", about: dict[str, Any]) -> None:
    live = find_server(settings.data_dir)
    if live is None:
        return
    if isinstance(twin, str):
        name = read_instrument(twin_folders()[twin] / "instrument.yaml")[0].name
    else:
        name = twin.header.name
    known = {
        "role": "twin",
        "instrument": name,
        "started": child.started_at(os.getpid()),
    }
    ledger_at(settings, live.url).set_process(os.getpid(), {**about, **known})
