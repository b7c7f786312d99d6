"""What the safety envelope costs for each message of a plan, and whether anything gets past it.

The messages are a plan's own: two axes under a joint constraint are set and waited for, and a
detector is read. Everything that the guard does is counted: limits, the constraint, the journal of
commands, the readback after the moves. The RunEngine, which is there with and without it, is not.
"""

import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

PROPOSALS = 100_000
PLANS = 1_000
EVENTS = 400


def measure(seeds: int = 5, trials: int = PLANS) -> dict[str, Any]:
    """Cost over so many repetitions; ``trials`` random plans, and 100 proposals for each."""
    from tests.envelope_fuzz import fuzz_plans, fuzz_proposals

    logging.disable(logging.CRITICAL)  # thousands of refusals are not news
    rows = [{"message_us": _message_us()} for _ in range(seeds)]
    admitted, wrong = fuzz_proposals(trials * PROPOSALS // PLANS, seed=0)
    with redirect_stdout(sys.stderr):  # the RunEngine prints when a plan hangs without the guard
        good, commands, breaches = fuzz_plans(trials, seed=0)
        _, _, seen = fuzz_plans(max(trials // 10, 10), seed=0, guarded=False)
    figures = {
        "message_us": statistics.median(row["message_us"] for row in rows),
        "proposals": trials * PROPOSALS // PLANS,
        "proposals_admitted": admitted,
        "proposals_judged_wrongly": wrong,
        "plans": trials,
        "plans_that_went_well": good,
        "commands": commands,
        "commands_outside": len(breaches),
        "commands_outside_unguarded": len(seen),
    }
    bars = {
        "message_us": ["<=", 50],
        "proposals_judged_wrongly": ["<=", 0],
        "commands_outside": ["<=", 0],
        "commands_outside_unguarded": [">=", 1],
    }
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def _message_us() -> float:
    """Microseconds that the guard adds to one message."""
    from orchestrator.adapters.guard.journal import Journal
    from orchestrator.adapters.guard.preprocessors import Guard
    from orchestrator.adapters.guard.travel import Terms
    from orchestrator.adapters.instruments.device_paths import DevicePaths
    from orchestrator.domain.envelope import envelope_of
    from orchestrator.domain.spec import InstrumentSpec
    from simulators.soft.bench import Bench

    entry = {"class": "simulators.soft.bench.Bench", "limits": [-5, 15], "tolerance": 1e-9}
    known = {"name": "bench", "mode": "twin", "devices": {"bench": entry}}
    instrument = InstrumentSpec.from_data({**known, "constraints": ["bench.x + bench.y <= 25"]})
    bench = Bench(name="bench")
    terms = Terms(
        envelope=envelope_of(instrument),
        settings={"bench.x": 1.0, "bench.y": 2.0},
        metadata={"campaign_id": "benchmark"},
        wait_s=60.0,
        time_scale=1.0,
        at=lambda path: getattr(bench, path.partition(".")[2]),
    )
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal.jsonl", {})
        guard = Guard(DevicePaths(instrument, {"bench": bench}), terms, journal)
        bare_s, count = _drained(_messages(bench))
        guarded_s, _ = _drained(guard.guarded(_messages(bench)))
        journal.close()
    return 1e6 * (guarded_s - bare_s) / count


def _messages(bench: Any) -> Iterator[Any]:
    from bluesky.utils import Msg

    yield Msg("open_run")
    for number in range(EVENTS):
        for axis in (bench.x, bench.y):
            value = float(number % 10)
            axis.post(value)
            yield Msg("set", axis, value, group="settings")
            yield Msg("wait", None, group="settings")
        yield Msg("checkpoint")
        yield Msg("trigger", bench.det, group="trigger")
        yield Msg("wait", None, group="trigger")
        yield Msg("create", None, name="primary")
        for part in (bench.det, bench.x, bench.y):
            yield Msg("read", part)
        yield Msg("save")
    yield Msg("close_run")


def _drained(messages: Iterator[Any]) -> tuple[float, int]:
    """Seconds that it takes to get all messages, and their number."""
    began = time.process_time()
    count = sum(1 for _ in messages)
    return time.process_time() - began, count
