"""A small world in full: whatever happens, and whenever, nothing is lost and nothing is stuck.

Two workers share an instrument, two trials are to be measured. A worker may die before any of its
steps; it may be frozen until its lease is over, and then go on believing in it; a plan may fail;
the server may lose its last write. Every order of all steps with two such mishaps is tried on the
ledger in memory, with no gate at the device. Worlds in which the ledger decides alike and
everybody stands alike count as one. The workers take the steps of ``campaign.execute`` and
``Worker.recover``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.domain import events as ev
from orchestrator.domain.errors import IllegalTransition, LeaseLost
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentRecord, InstrumentState, Lease
from tests.conftest import ToldClock
from tests.contract.ledger_audit import Audit
from tests.contract.ledger_machine import ENVELOPE, MOST_GRANTS, OUTCOMES
from tests.contract.ledger_rigs import INSTRUMENT, MemoryRig

CAMPAIGN, TRIALS = "scan-1", 2
TTL_S = 30.0

pytestmark = pytest.mark.usefixtures("few_grants")


@dataclass(frozen=True)
class Worker:
    """A place for a worker; ``life`` counts the processes that were there."""

    place: str
    life: int = 0
    step: str = "idle"
    """What it did last: idle, leased, started, saved, acquired, recovering; or it is dead."""
    lease: Lease | None = None
    attempt: int = 0

    @property
    def name(self) -> str:
        """Unique to the process."""
        return f"{self.place}{self.life}"

    def key(self) -> tuple[Any, ...]:
        """Equal for workers that will do the same."""
        lease = self.lease and (self.lease.trial_id, self.lease.fence, self.lease.worker)
        return self.life, self.step, lease, self.attempt


@dataclass(frozen=True)
class World:
    """All there is; ``deaths`` and so on say how often each may still happen."""

    saved: Any
    """What the ledger keeps."""
    audit: Audit
    workers: tuple[Worker, Worker] = (Worker("a"), Worker("b"))
    documents: frozenset[tuple[int, int]] = frozenset()
    """Attempts whose documents are safe on disk, as (trial, attempt)."""
    floor: int = 0
    """The highest fence that the device has seen."""
    deaths: int = 0
    freezes: int = 0
    failures: int = 0
    losses: int = 0
    before: "World | None" = None
    """The world before the last write, while that may be lost."""

    @property
    def record(self) -> InstrumentRecord:
        """The instrument, as the ledger knows it."""
        return self.saved[1][INSTRUMENT]

    def trials(self, *states: TrialState) -> list[Any]:
        """The trials in one of these states."""
        return self.saved[0][CAMPAIGN].state.in_state(*states)

    def is_done(self) -> bool:
        """True when every trial has come to its end."""
        return all(trial.is_terminal for trial in self.trials(*TrialState))

    def key(self) -> Any:
        """Equal for worlds with the same future."""
        before = self.before.ledger_key() if self.before and self.losses else None
        chances = (self.deaths, self.freezes, self.failures, self.losses)
        people = tuple(worker.key() for worker in self.workers)
        return self.ledger_key(), people, self.documents, self.floor, chances, before

    def ledger_key(self) -> Any:
        """What the ledger decides by."""
        one, record = self.saved[0][CAMPAIGN], self.record
        trials = [(t.state, t.attempts, t.crashes, t.fence) for t in self.trials(*TrialState)]
        counts = tuple(sorted(one.grants.items())), tuple(sorted(one.failed.items()))
        held = (record.state, record.holder, record.fence, record.trial_id)
        return tuple(trials), tuple(one.queue), counts, held


@pytest.mark.parametrize(
    "chances",
    [
        {"deaths": 2},
        {"deaths": 1, "freezes": 1},
        {"deaths": 1, "failures": 1},
        {"deaths": 1, "losses": 1},
        {"freezes": 1, "losses": 1},
    ],
    ids=lambda chances: "-".join(f"{number}-{name}" for name, number in chances.items()),
)
def test_every_order_of_what_may_happen(chances: dict[str, int]) -> None:
    first = replace(_first(), **chances)
    worlds, came_from = {first.key(): first}, defaultdict[Any, list[Any]](list)
    waiting = [first]
    while waiting:
        world = waiting.pop()
        key = world.key()
        for following in _moves(world):
            then = following.key()
            came_from[then].append(key)
            if then not in worlds:
                worlds[then] = following
                waiting.append(following)
    assert any(world.is_done() for world in worlds.values()), "no world comes to its end"
    print(f"\n{len(worlds)} worlds, {sum(map(len, came_from.values()))} moves")
    ends = [key for key, world in worlds.items() if world.is_done()]
    hopeful = set(ends)
    while ends:
        news = set(came_from[ends.pop()]) - hopeful
        hopeful |= news
        ends.extend(news)
    stuck = [world for key, world in worlds.items() if key not in hopeful]
    assert not stuck, f"no way out of {len(stuck)} worlds, such as {stuck[0].key()}"


def test_control_a_ledger_without_its_fence_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryLedger, "_held", MemoryLedger._leased)
    with pytest.raises((AssertionError, IllegalTransition)):
        test_every_order_of_what_may_happen({"freezes": 1})


def _first() -> World:
    rig = MemoryRig(ToldClock())
    rig.ledger.open_campaign(
        ev.Opened(
            campaign_id=CAMPAIGN, instrument=INSTRUMENT, mode="twin", spec={}, instrument_spec={}
        )
    )
    rig.ledger.register(INSTRUMENT, "a0", ENVELOPE)
    for number in range(1, TRIALS + 1):
        proposed = ev.Proposed(
            trial_id=number, parameters={"x": 0.5}, source="initial", basis="0", seed=number
        )
        rig.ledger.propose(CAMPAIGN, proposed)
    audit = Audit()
    audit.take(CAMPAIGN, rig.ledger.events(CAMPAIGN))
    return World(rig.save(), audit)


def _moves(world: World) -> Iterator[World]:
    """All that can happen next."""
    for worker in world.workers:
        yield from _STEPS[worker.step](world, worker)
        if world.deaths and worker.step != "dead":
            fewer = replace(world, deaths=world.deaths - 1)
            yield _with(fewer, replace(worker, step="dead", lease=None, attempt=0))
    if world.freezes and world.record.state is InstrumentState.LEASED:
        over, _ = _do(world, lambda ledger: ledger.expire(INSTRUMENT), later=True)
        yield replace(over, freezes=world.freezes - 1)
    if world.freezes and world.record.state is InstrumentState.RECOVERING:
        for worker in world.workers:  # the one that recovers is frozen, another takes over
            if worker.step == "idle" and worker.name != world.record.holder:
                fewer = replace(world, freezes=world.freezes - 1)
                yield _taken(fewer, worker, later=True)
    if world.losses and world.before:
        kept = world.before
        yield replace(
            world, saved=kept.saved, audit=kept.audit, losses=world.losses - 1, before=None
        )


def _with(world: World, worker: Worker) -> World:
    one, other = world.workers
    return replace(world, workers=(worker, other) if worker.place == one.place else (one, worker))


def _do(
    world: World, op: Callable[[MemoryLedger], object], *, later: bool = False
) -> tuple[World, Any]:
    """The world after this operation and its answer, None when the lease was lost; audited."""
    clock = ToldClock()
    rig, audit = MemoryRig(clock), world.audit.fork()
    rig.load(world.saved)
    if later:
        clock.sleep(2 * TTL_S)
    try:
        answer = op(rig.ledger)
    except LeaseLost:
        answer = None
    look = rig.look({CAMPAIGN: audit.campaigns[CAMPAIGN].state.last_id})
    if look.instrument.state is InstrumentState.RECOVERING and look.instrument.fence != audit.fence:
        audit.draw(look.instrument.fence)
    audit.take(CAMPAIGN, look.news[CAMPAIGN])
    audit.check(look.instrument)
    audit.campaigns[CAMPAIGN].check(look.campaigns[CAMPAIGN], MOST_GRANTS)
    before = world if look.news[CAMPAIGN] else world.before
    if before is not None:
        before = replace(before, before=None)
    return replace(world, saved=rig.save(), audit=audit, before=before), answer


def _idle(world: World, worker: Worker) -> Iterator[World]:
    """First what an earlier worker left behind, then the next trial."""
    record = world.record
    is_alive = _dead_holder(world) is None
    suspects = world.trials(TrialState.SUSPECT)
    if record.state is InstrumentState.RECOVERING and record.holder == worker.name:
        yield _with(world, Worker(worker.place, worker.life + 1))  # barred, so it is replaced
    elif record.state is InstrumentState.LEASED and not is_alive:
        yield _do(world, lambda ledger: ledger.expire(INSTRUMENT, record.holder))[0]
    elif record.state is InstrumentState.UNKNOWN or (
        record.state is InstrumentState.RECOVERING and not is_alive
    ):
        yield _taken(world, worker)
    elif suspects and record.state is InstrumentState.READY:
        event = _verdict(world, suspects[0])
        yield _do(world, lambda ledger: ledger.resolve(CAMPAIGN, event))[0]
    elif left_over := world.trials(TrialState.ACQUIRED):
        yield _measured(world, left_over[0].trial_id)
    else:
        after, lease = _do(
            world,
            lambda ledger: ledger.acquire(
                CAMPAIGN, INSTRUMENT, worker.name, floor=world.floor, ttl_s=TTL_S
            ),
        )
        # None may have given a trial up that was leased too often.
        yield _with(after, replace(worker, step="leased", lease=lease)) if lease else after


def _dead_holder(world: World) -> str | None:
    """Who held the instrument last, if it is proven dead."""
    alive = [one.name for one in world.workers if one.step != "dead"]
    return None if world.record.holder in alive else world.record.holder


def _taken(world: World, worker: Worker, *, later: bool = False) -> World:
    goal = InstrumentState.RECOVERING
    after, taken = _do(world, lambda ledger: _recover(ledger, world, worker, goal), later=later)
    assert taken is not None, "recovery was refused where it was due"
    after = replace(after, floor=max(world.floor, taken.fence))
    return _with(after, replace(worker, step="recovering"))


def _recover(ledger: MemoryLedger, world: World, worker: Worker, goal: InstrumentState) -> Any:
    told = {"floor": world.floor, "ttl_s": TTL_S, "reason": "", "dead": _dead_holder(world)}
    return ledger.recover(INSTRUMENT, worker.name, goal, **told)


def _recovering(world: World, worker: Worker) -> Iterator[World]:
    goal = InstrumentState.READY
    after, _ = _do(world, lambda ledger: _recover(ledger, world, worker, goal))
    yield _with(after, replace(worker, step="idle"))


def _verdict(world: World, trial: Any) -> ev.Acquired | ev.Failed:
    if (trial.trial_id, trial.attempts) in world.documents:
        return replace(_evidence(trial.trial_id, trial.attempts), salvaged=True)
    return _failed(trial.trial_id, crash=True)


def _leased(world: World, worker: Worker) -> Iterator[World]:
    lease = worker.lease
    assert lease is not None
    after, attempt = _do(world, lambda ledger: ledger.start(lease))
    if attempt is None:
        yield _with(after, replace(worker, step="idle", lease=None))
        return
    step = "saved" if (lease.trial_id, attempt) in world.documents else "started"
    after = replace(after, floor=max(world.floor, lease.fence))
    yield _with(after, replace(worker, step=step, attempt=attempt))


def _started(world: World, worker: Worker) -> Iterator[World]:
    lease = worker.lease
    assert lease is not None
    documents = world.documents | {(lease.trial_id, worker.attempt)}
    yield _with(replace(world, documents=documents), replace(worker, step="saved"))
    if world.failures:
        event = _failed(lease.trial_id, crash=False)
        after, _ = _do(world, lambda ledger: ledger.fail(lease, event, InstrumentState.READY))
        after = replace(after, failures=world.failures - 1)
        yield _with(after, replace(worker, step="idle", lease=None, attempt=0))


def _saved(world: World, worker: Worker) -> Iterator[World]:
    lease = worker.lease
    assert lease is not None
    event = _evidence(lease.trial_id, worker.attempt)
    after, taken = _do(world, lambda ledger: ledger.acquired(lease, event) or True)
    if taken:
        yield _with(after, replace(worker, step="acquired"))
    else:
        yield _with(after, replace(worker, step="idle", lease=None, attempt=0))


def _acquired(world: World, worker: Worker) -> Iterator[World]:
    assert worker.lease is not None
    after = _measured(world, worker.lease.trial_id)
    yield _with(after, replace(worker, step="idle", lease=None, attempt=0))


def _measured(world: World, number: int) -> World:
    assert any(number == trial_id for trial_id, _ in world.documents), "measured out of nothing"
    event = ev.Measured(trial_id=number, outcomes=OUTCOMES)
    return _do(world, lambda ledger: ledger.settle(CAMPAIGN, event))[0]


def _dead(world: World, worker: Worker) -> Iterator[World]:
    yield _with(world, Worker(worker.place, worker.life + 1))


def _evidence(number: int, attempt: int) -> ev.Acquired:
    return ev.Acquired(trial_id=number, attempt=attempt, run_uid="u", documents="d", sha256="s")


def _failed(number: int, *, crash: bool) -> ev.Failed:
    return ev.Failed(trial_id=number, reason="x", message="", crash=crash, then=TrialState.QUEUED)


_STEPS: dict[str, Callable[[World, Worker], Iterator[World]]] = {
    "idle": _idle,
    "recovering": _recovering,
    "leased": _leased,
    "started": _started,
    "saved": _saved,
    "acquired": _acquired,
    "dead": _dead,
}
