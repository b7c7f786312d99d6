"""How a process gets at the ledger: which server, whether it is safe, and starting our own."""

import contextlib
from collections.abc import Iterator

from orchestrator.adapters.ledgers.embedded_server import (
    check_persistence,
    ensure_server,
    socket_folder,
)
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.domain.errors import LedgerFull, Unusable
from orchestrator.settings import Settings


def check_server(settings: Settings) -> None:
    """Pass when a server given by URL answers and keeps what it acknowledges.

    Raises:
        UnsafeServer: it may lose data.
        LedgerFull: it cannot save its log at present.
        LedgerUnavailable: it does not answer.
    """
    if settings.redis_url is None:
        return
    if not settings.allow_unsafe_server:
        check_persistence(settings.redis_url)
        return
    with contextlib.closing(RedisLedger(settings.redis_url, patience_s=0, timeout_s=3)) as ledger:
        ledger.ping()


def ledger_at(settings: Settings, url: str) -> RedisLedger:
    """The ledger on the server at this address, with the settings' patience."""
    return RedisLedger(url, lab=settings.lab, patience_s=settings.ledger_patience_s)


def server_url(settings: Settings) -> str:
    """Where the lab's server is or will be: its address does not change when it is restarted."""
    return settings.redis_url or f"unix://{socket_folder(settings.data_dir)}/server.sock"


def check_lab(settings: Settings) -> None:
    """Pass when there is a lab already: on a server given by URL, or in the data folder.

    Raises:
        Unusable: the data folder holds none; it may not even exist.
    """
    if settings.redis_url is None and not (settings.data_dir / "ledger").is_dir():
        raise Unusable(
            f"there is no lab in {settings.data_dir}; name its folder with --data-dir, "
            "or start a campaign with 'labwright run'"
        )


@contextlib.contextmanager
def open_ledger(settings: Settings, *, must_exist: bool = True) -> Iterator[RedisLedger]:
    """The ledger for one verb: joins a live server, or starts one, uses it and stops it.

    Raises:
        Unusable: with ``must_exist``, the data folder holds no lab.
    """
    if settings.redis_url is not None:
        with contextlib.suppress(LedgerFull):  # what it has can still be read
            check_server(settings)
        with contextlib.closing(ledger_at(settings, settings.redis_url)) as ledger:
            yield ledger
        return
    if must_exist:
        check_lab(settings)
    live = ensure_server(settings.data_dir)
    try:
        with contextlib.closing(ledger_at(settings, live.url)) as ledger:
            yield ledger
    finally:
        if live.process is not None:
            child.end(live.process, 10.0)
