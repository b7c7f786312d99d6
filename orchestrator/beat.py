"""The heartbeat child: renews the worker's lease while the worker is alive and well.

A process of its own, so that Python code which holds the worker's interpreter lock does not stop
the beat, while a freeze does. It renews only while the worker lives, is not stopped, and is
younger than the deadline it has announced on this process's standard input (Unix seconds, one
number a line; an empty line means no trial is running).
"""

import os
import select
import sys
import time

import psutil

from orchestrator.adapters import child
from orchestrator.adapters.redis_ledger import RedisLedger
from orchestrator.domain.errors import LedgerError


def main(arguments: list[str]) -> None:
    """Beat until the worker ends: URL, lab, instrument, worker, worker's pid, lease, interval."""
    url, lab, instrument, worker, pid, lease_s, beat_s = arguments
    child.die_with_parent(int(pid))
    ledger = RedisLedger(url, lab=lab, patience_s=0)
    watched, deadline = psutil.Process(int(pid)), None
    while True:
        heard, deadline = _listen(float(beat_s), deadline)
        if not heard or not watched.is_running():
            return
        if deadline is not None and _is_well(watched, deadline):
            _renew(ledger, instrument, worker, float(lease_s))


def _listen(timeout_s: float, deadline: float | None) -> tuple[bool, float | None]:
    """The newest announced deadline after at most ``timeout_s``; False at the end of input."""
    readable, _, _ = select.select([sys.stdin], [], [], timeout_s)
    if not readable:
        return True, deadline
    data = os.read(sys.stdin.fileno(), 65536)
    if not data:
        return False, None
    newest = data.decode().split("\n")[-2]
    return True, float(newest) if newest else None


def _is_well(worker: psutil.Process, deadline: float) -> bool:
    stopped = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)
    try:
        return worker.status() not in stopped and time.time() < deadline
    except psutil.Error:
        return False


def _renew(ledger: RedisLedger, instrument: str, worker: str, lease_s: float) -> None:
    try:
        record = ledger.instrument(instrument)
        if record.holder == worker:
            ledger.renew(instrument, worker, record.fence, lease_s)
    except LedgerError:
        return  # the server is away: the next beat tries again


if __name__ == "__main__":
    main(sys.argv[1:])
