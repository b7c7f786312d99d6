"""The heartbeat child: renews the worker's lease while the worker is alive and well.

A process of its own, so that Python code which holds the worker's interpreter lock does not stop
the beat, while a freeze does. It renews only while the worker lives, is not stopped, and is
younger than the deadline it has announced on this process's standard input (seconds of the
monotonic clock, which all processes of a host share; one number a line), with some time on top in
which a worker that is late may come to an end by itself. Then it is hung, and killed: nobody can
use the instrument before.
"""

import logging
import os
import select
import sys
import time
from dataclasses import dataclass

import psutil

from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.processes import child
from orchestrator.domain.errors import LedgerError

log = logging.getLogger(__name__)

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)


@dataclass(frozen=True, slots=True)
class Watched:
    """The worker that this process beats for."""

    instrument: str
    worker: str
    process: psutil.Process
    lease_s: float

    def is_frozen(self) -> bool:
        """True when it was stopped, or has just ended."""
        try:
            return self.process.status() in _STOPPED
        except psutil.Error:
            return True

    def renew(self, ledger: RedisLedger, deadline: float) -> None:
        """Prolong what the worker holds, a lease or a recovery."""
        until = time.time() + deadline - time.monotonic()
        try:
            record = ledger.instrument(self.instrument)
            if record.holder == self.worker:
                ledger.renew(self.instrument, self.worker, record.fence, self.lease_s, until)
        except LedgerError:
            return  # the server is away: the next beat tries again


def main(arguments: list[str]) -> None:
    """Beat until the worker ends.

    The arguments are the server's URL, lab, instrument, worker, the worker's pid, and in seconds
    the lease, the interval between beats, and the time on top.
    """
    url, lab, instrument, worker, pid, lease_s, beat_s, hung_s = arguments
    child.die_with_parent(int(pid))
    ledger = RedisLedger(url, lab=lab, patience_s=0)
    watched = Watched(instrument, worker, psutil.Process(int(pid)), float(lease_s))
    deadline, due = None, 0.0
    sys.stdout.write("beats\n")
    sys.stdout.flush()
    while True:
        heard, deadline = _listen(max(0.0, due - time.monotonic()), deadline)
        if not heard or not watched.process.is_running():
            return
        if time.monotonic() < due:
            continue  # an announcement alone is no beat: each beat costs the server a write to disk
        due = time.monotonic() + float(beat_s)
        if deadline is None or watched.is_frozen():
            continue
        if time.monotonic() < deadline + float(hung_s):
            watched.renew(ledger, deadline)
        else:
            log.error("worker %s is hung: %s s past its deadline; killed", worker, hung_s)
            watched.process.kill()
            return


def _listen(timeout_s: float, deadline: float | None) -> tuple[bool, float | None]:
    """The newest announced deadline after at most ``timeout_s``; False at the end of input."""
    readable, _, _ = select.select([sys.stdin], [], [], timeout_s)
    if not readable:
        return True, deadline
    data = os.read(sys.stdin.fileno(), 65536)
    if not data:
        return False, None
    return True, float(data.decode().split("\n")[-2])


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    main(sys.argv[1:])
