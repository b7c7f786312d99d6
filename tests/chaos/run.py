"""Puts one lab through what its terms say, and counts what is left."""

import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from orchestrator.domain.errors import LabError, LedgerError, Unusable
from tests.chaos import audit
from tests.chaos.lab import ChaosLab, Terms, chaos_lab
from tests.chaos.nemesis import Blow, Nemesis
from tests.chaos.report import COUNTS, ZERO

PER_TRIAL_S = 10.0
"""Longest time that a lab may take for each trial; what has not ended then is unfinished."""
STALL_S = 180.0
"""Longest time without any event; what has not ended then is unfinished, too."""


def run(terms: Terms, blows: Sequence[Blow]) -> dict[str, Any]:
    """The counts of one lab, and the list ``recoveries`` (seconds).

    Its data folder is removed when nothing is wrong with it, and named otherwise.
    """
    data_dir = Path(tempfile.mkdtemp(prefix="labwright-chaos-"))
    begun, load, cpu = time.monotonic(), os.getloadavg()[0], _cpu_s()
    try:
        found = _put_through(terms, blows, data_dir)
    except KeyboardInterrupt:
        shutil.rmtree(data_dir)
        raise
    except BaseException:
        _keep(data_dir)
        raise
    if terms.gate != "none" and any(found[name] for name in ZERO):
        _keep(data_dir)
    else:
        shutil.rmtree(data_dir)
    found |= {"wall_s": round(time.monotonic() - begun), "cpu_s": round(_cpu_s() - cpu)}
    return {**found, "load": [round(load, 1), round(os.getloadavg()[0], 1)]}


def _put_through(terms: Terms, blows: Sequence[Blow], data_dir: Path) -> dict[str, Any]:
    with chaos_lab(terms, data_dir) as lab:
        nemesis = Nemesis(lab, tuple(blows))
        nemesis.start()
        try:
            mismatches = attend(lab, time.monotonic() + 60.0 + PER_TRIAL_S * terms.trials)
        finally:
            nemesis.stop()
        _settle(lab)
        counts = audit.counted(lab) + nemesis.counts
        counts["fold_mismatches"] += mismatches
        recoveries = audit.recoveries(lab, nemesis.deaths)
    return {**{name: int(counts[name]) for name in COUNTS}, "recoveries": recoveries}


def attend(lab: ChaosLab, give_up: float) -> int:
    """Supervise until every campaign is over; gives the mismatches seen at server restarts.

    Returns also when the time is over (``give_up``, monotonic), when nothing happens any more and
    when the supervisor gives up: the audit finds what has not ended.
    """
    mismatches, seen, since = 0, [""], time.monotonic()
    while time.monotonic() < min(give_up, since + STALL_S):
        try:
            if lab.step():
                mismatches += audit.fold_mismatches(lab)
            states = [lab.state(name) for name in lab.campaigns]
        except Unusable as error:
            sys.stderr.write(f"the supervisor gave up: {error}\n")
            break
        except (LabError, redis.RedisError):
            states = []  # the next look finds the server restarted
        if states and all(map(audit.is_over, states)):
            break
        if states and seen != (seen := [state.last_id for state in states]):
            since = time.monotonic()
        time.sleep(0.05)
    return mismatches


def _settle(lab: ChaosLab) -> None:
    """Until the server answers again, should its death have been the last blow."""
    give_up = time.monotonic() + 30.0
    while True:
        try:
            lab.step()
            return lab.ledger.ping()
        except Unusable:
            return lab.ledger.ping()
        except LedgerError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)


def _keep(data_dir: Path) -> None:
    sys.stderr.write(f"kept for a look: {data_dir}\n")


def _cpu_s() -> float:
    """User and system seconds of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
