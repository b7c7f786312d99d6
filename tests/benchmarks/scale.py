"""What a long campaign costs at its end and at its beginning, and how fast it is read again."""

import statistics
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import redis

from orchestrator.domain import events as ev
from tests.benchmarks import campaigns
from tests.benchmarks.overhead import CAMPAIGN
from tests.system.lab import process_of

WINDOW = 200
"""Trials at either end that are compared."""
ROLES = ("campaign", "worker")
LONGEST = {300: 1.0, 5000: 10.0}
"""Seconds within which a campaign of so many trials is read again."""


class Sample(NamedTuple):
    """What a process uses at a Unix time."""

    at: float
    memory_mb: float
    cpu_s: float


def measure(seeds: int = 1, trials: int = 2000) -> dict[str, Any]:
    """Milliseconds of a trial of the first and the last 200, memory, and rebuilding.

    The optimizer is Sobol's sequence, so that nothing but bookkeeping can grow.
    """
    rows = [_campaign(trials) for _ in range(seeds)]
    figures = {name: statistics.median(row[name] for row in rows) for name in rows[0]}
    figures |= {f"rebuild_{count}_s": seconds for count, seconds in _rebuilds().items()}
    bars: dict[str, list[Any]] = {f"rebuild_{n}_s": ["<=", bar] for n, bar in LONGEST.items()}
    bars["growth"] = ["<=", 1.2]
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def _campaign(trials: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        campaign = Path(folder) / "campaign.yaml"
        campaign.write_text(CAMPAIGN)
        running = campaigns.start(campaign, trials, seed=0)
        samples = _watch(running, campaign.parent / "data")
        log = campaigns.log_of(campaigns.summary_of(campaign, running))
    starts = [event.at for event in log if isinstance(event, ev.Started)]
    gaps = [1e3 * (after - before) for before, after in pairwise(starts)]
    first, last = statistics.median(gaps[:WINDOW]), statistics.median(gaps[-WINDOW:])
    found: dict[str, Any] = {"first_ms": first, "last_ms": last, "growth": last / first}
    for role, its in samples.items():
        if len(its) > 1:
            found |= _of_process(role, its, starts)
    return found


def _of_process(role: str, samples: list[Sample], starts: list[float]) -> dict[str, float]:
    """Memory and processor time of one process at both ends of the campaign."""
    window = min(WINDOW, (len(starts) - 1) // 2)
    begin = _nearest(samples, starts[window])
    near_end, end = _nearest(samples, starts[-1 - window]), _nearest(samples, starts[-1])
    first = _nearest(samples, starts[0])
    return {
        f"{role}_begin_mb": begin.memory_mb,
        f"{role}_end_mb": end.memory_mb,
        f"{role}_first_cpu_ms": 1e3 * (begin.cpu_s - first.cpu_s) / window,
        f"{role}_last_cpu_ms": 1e3 * (end.cpu_s - near_end.cpu_s) / window,
    }


def _nearest(samples: list[Sample], at: float) -> Sample:
    return min(samples, key=lambda one: abs(one.at - at))


def _watch(running: "subprocess.Popen[bytes]", data_dir: Path) -> dict[str, list[Sample]]:
    """What the processes use, until the campaign has ended."""
    samples: dict[str, list[Sample]] = {role: [] for role in ROLES}
    processes: dict[str, psutil.Process] = {}
    while running.poll() is None:
        for role in ROLES:
            try:
                if role not in processes and (pid := process_of(role, data_dir)):
                    processes[role] = psutil.Process(pid)
                if role in processes:
                    samples[role].append(_sample(processes[role]))
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.2)
    # A process that has ended and is not yet reaped has no memory.
    return {role: [one for one in its if one.memory_mb] for role, its in samples.items()}


def _sample(process: psutil.Process) -> Sample:
    used = process.cpu_times()
    return Sample(time.time(), process.memory_info().rss / 1e6, used.user + used.system)


def _rebuilds() -> dict[int, float]:
    """Least seconds of three to read a campaign, fold it, and know what the optimizer is told."""
    from orchestrator.adapters.ledgers.embedded_server import ensure_server
    from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
    from orchestrator.adapters.processes import child

    with tempfile.TemporaryDirectory() as folder:
        live = ensure_server(Path(folder))
        try:
            ledger = RedisLedger(live.url)
            with redis.Redis.from_url(live.url) as server:  # writing is not what is measured
                server.config_set("appendfsync", "no")
            for count in LONGEST:
                _write(ledger, f"c-{count}", count)
            found = {
                count: min(_rebuild_s(live.url, f"c-{count}") for _ in range(3))
                for count in LONGEST
            }
            ledger.close()
            return found
        finally:
            if live.process is not None:
                child.end(live.process, 5.0)


def _rebuild_s(url: str, campaign_id: str) -> float:
    from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
    from orchestrator.domain.proposal import knowledge
    from orchestrator.domain.spec import CampaignSpec
    from orchestrator.domain.state import fold

    began = time.perf_counter()
    ledger = RedisLedger(url)
    state = fold(ledger.events(campaign_id))
    knowledge(state, CampaignSpec.from_data(state.spec))
    seconds = time.perf_counter() - began
    ledger.close()
    return seconds


def _write(ledger: Any, campaign_id: str, count: int) -> None:
    """A campaign of so many measured trials, written as its processes write it."""
    from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
    from orchestrator.adapters.user_files.spec_files import (
        find_campaign,
        find_instrument,
        read_campaign,
        read_instrument,
    )
    from orchestrator.domain.envelope import envelope_of
    from orchestrator.domain.proposal import Knowledge
    from orchestrator.domain.trial import Outcome
    from orchestrator.service import opened

    file = find_campaign("soft")
    spec = read_campaign(file)[0].with_run_options(trials=count)
    instrument = read_instrument(find_instrument("soft", file))[0]
    ledger.open_campaign(opened(spec, instrument, campaign_id, {}))
    ledger.register(instrument.name, "worker", envelope_of(instrument))
    point = SobolOptimizer().suggest(Knowledge(spec, (), 1, 0, "0"))
    for number in range(1, count + 1):
        proposal = ev.Proposed(
            trial_id=number,
            parameters=point.parameters,
            source="model",
            basis="0",
            seed=number,
            details=point.details,
        )
        ledger.propose(campaign_id, proposal)
        lease = ledger.acquire(campaign_id, instrument.name, "worker", floor=0, ttl_s=60)
        attempt = ledger.start(lease)
        where = f"runs/{campaign_id}/{number:05d}-{attempt}-{lease.fence}.jsonl"
        acquired = ev.Acquired(
            trial_id=number, attempt=attempt, run_uid="u", documents=where, sha256="0" * 64
        )
        ledger.acquired(lease, acquired)
        outcomes = {"branin": Outcome(1.0 / number, 0.0)}
        ledger.settle(campaign_id, ev.Measured(trial_id=number, outcomes=outcomes))
