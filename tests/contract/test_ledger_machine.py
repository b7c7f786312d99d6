"""Every operation of the ledger in any order: what must hold after each, on both adapters.

The normal run draws the same programs each time. ``LEDGER_MACHINE_SEEDS=1000:1500`` draws those of
other seeds; a failure prints the shortest program that shows it.
"""

import itertools
import os

import pytest

from orchestrator.adapters.ledgers.embedded_server import LiveServer
from tests.conftest import ToldClock
from tests.contract.ledger_machine import run_machine
from tests.contract.ledger_rigs import MemoryRig, RedisRig

_first, _, _end = os.environ.get("LEDGER_MACHINE_SEEDS", "").partition(":")
SEEDS = range(int(_first), int(_end)) if _end else range(10)
STEPS = 80

pytestmark = pytest.mark.usefixtures("few_grants")


@pytest.mark.parametrize("seed", SEEDS)
def test_both_ledgers_keep_the_rules_and_agree(
    server: LiveServer, lab_name: str, clock: ToldClock, seed: int
) -> None:
    labs = (f"{lab_name}-{number}" for number in itertools.count())

    def make() -> list[MemoryRig | RedisRig]:
        return [MemoryRig(clock), RedisRig(server.url, next(labs))]

    run_machine(make, seed, steps=STEPS, shrink=True)


@pytest.mark.parametrize("seed", range(SEEDS.start + 1000, SEEDS.stop + 1000))
def test_the_ledger_in_memory_keeps_the_rules(clock: ToldClock, seed: int) -> None:
    run_machine(lambda: [MemoryRig(clock)], seed, steps=STEPS, shrink=True)
