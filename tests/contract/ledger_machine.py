"""Every operation of a ledger in any order, sent by anyone, sent again, after deaths and losses.

The machine drives one or several adapters in lockstep. After each operation the audit follows the
new events, what is stored must be what they say, and adapters must have answered alike. Any
operation may be sent a second time at once, as after a lost reply: that must change nothing.
Leases are kept for ever, so that workers which lost theirs go on sending.

There is no gate at the device here: a ledger must be right without one.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope, Limit
from orchestrator.domain.errors import LedgerError
from orchestrator.domain.rules import TAKES_TRIALS
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.trial import Outcome, TrialState
from orchestrator.ports import InstrumentRecord, InstrumentState, Lease
from tests.contract.ledger_audit import Audit
from tests.contract.ledger_rigs import CAMPAIGNS, INSTRUMENT, Rig

WORKERS = ("a", "b", "c")
MOST_GRANTS = 2
"""Instead of the 20 of real ledgers, so that the machine gets there; whoever runs it sets it."""
ENVELOPE = Envelope(INSTRUMENT, {"x": Limit(0.0, 1.0, "mm")}, ())
OUTCOMES = {"y": Outcome(1 / 3, 0.1, "V")}

ORDERS: dict[str, tuple[ev.CampaignEvent, Sequence[str]]] = {
    "pause": (ev.Paused(by="me"), [CampaignStatus.RUNNING, CampaignStatus.SUSPENDED]),
    "resume": (ev.Resumed(by="me"), ["paused", "suspended", "needs_person"]),
    "suspend": (ev.Suspended(by="condition", reason="x"), [CampaignStatus.RUNNING]),
    "ask": (ev.NeedsPerson(by="worker", reason="look"), TAKES_TRIALS),
    "finish": (ev.FinishRequested(by="me", ending="stopped"), TAKES_TRIALS),
    "abort": (ev.AbortRequested(by="me", halt=False), [*TAKES_TRIALS, "finishing"]),
    "halt": (ev.AbortRequested(by="me", halt=True), [*TAKES_TRIALS, "finishing"]),
}
"""Orders and the statuses that they expect, as the project's own callers give them."""


class Deed(NamedTuple):
    """One operation with its terms, printed as the call that it is."""

    name: str
    terms: dict[str, Any]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={one!r}' for name, one in self.terms.items())})"


_PER_WEIGHT = 100
_CAMPAIGN = [*CAMPAIGNS[:1] * 6, *CAMPAIGNS]
_BACK = [0, 0, 0, 0, 0, 1, 1, 2, 3, 5]
_TTL = [1000.0, 1000.0, -10.0]
_THEN = ["queued", "queued", "queued", "abandoned", "cancelled"]
_GOAL = [*["next"] * 8, *["recovering"] * 5, *["ready"] * 2, "fault"]
_AFTERWARDS = [*["ready"] * 10, *["unknown"] * 4, "fault"]
_FREELY, _PICK = [False, True], range(6)


def _deeds() -> Iterator[Deed]:
    """Operations in the proportions in which they are wanted, each with many different terms."""
    draw = random.Random(0)

    def some(weight: int, name: str, **terms: Sequence[Any]) -> Iterator[Deed]:
        for _ in range(weight * _PER_WEIGHT):
            yield Deed(name, {term: draw.choice(values) for term, values in terms.items()})

    hold, wind_down = ["resume"] * 9 + ["pause", "suspend", "ask"], ["finish", "abort", "halt"]
    found, dead = ["found", "found", *_THEN], ["holder"] * 4 + ["late"] * 3 + [*WORKERS]
    someone, died = ["holder"] * 4 + [*WORKERS], [None, None, None, "holder", *WORKERS]
    yield from some(8, "acquire", campaign=_CAMPAIGN, worker=WORKERS, floored=_FREELY, ttl=_TTL)
    yield from some(9, "start", back=_BACK)
    yield from some(3, "ask", back=_BACK, number=[1, 1, 2])
    yield from some(3, "answer", campaign=_CAMPAIGN, pick=_PICK, off=[0, 0, 0, 1], text=["", "yes"])
    yield from some(6, "acquired", back=_BACK)
    yield from some(4, "fail", back=_BACK, then=_THEN, crash=_FREELY, afterwards=_AFTERWARDS)
    yield from some(1, "remark", back=_BACK, key=["u", "v", "w"], late=_FREELY)
    yield from some(2, "renew", back=_BACK, ttl=_TTL)
    yield from some(2, "beat", off=[0, 0, 1], ttl=_TTL)
    yield from some(8, "propose", campaign=_CAMPAIGN, off=[0] * 6 + [-1, 1], x=_PICK)
    yield from some(3, "supersede", campaign=_CAMPAIGN, pick=_PICK, off=[0, 0, 0, 1], x=_PICK)
    yield from some(5, "settle", campaign=_CAMPAIGN, pick=_PICK, kind=range(4), again=_FREELY)
    yield from some(2, "correct", campaign=_CAMPAIGN, pick=_PICK, value=[0, 1], again=_FREELY)
    yield from some(4, "expire", dead=dead, again=_FREELY)
    yield from some(9, "recover", worker=someone, goal=_GOAL, floored=_FREELY, dead=died, ttl=_TTL)
    yield from some(2, "clear_fault", again=_FREELY)
    yield from some(3, "resolve", campaign=_CAMPAIGN, pick=_PICK, then=found, again=_FREELY)
    yield from some(2, "cancel", campaign=_CAMPAIGN, pick=_PICK, again=_FREELY)
    yield from some(3, "order", campaign=_CAMPAIGN, order=hold, again=_FREELY)
    yield from some(1, "wind_down", campaign=_CAMPAIGN, order=wind_down)
    yield from some(1, "end", campaign=_CAMPAIGN, late=_FREELY, again=_FREELY)
    yield from some(1, "step", campaign=_CAMPAIGN, upto=[0, 0, 1, 3])
    yield from some(2, "approve", campaign=_CAMPAIGN, pick=_PICK, off=[0, 0, 0, 1], by=["a", "b"])
    yield from some(1, "open", campaign=_CAMPAIGN, opener=["a", "b"], again=_FREELY)
    yield from some(2, "remember")
    yield from some(2, "roll_back")


DEEDS = st.sampled_from(random.Random(0).sample(table := list(_deeds()), len(table)))
"""A table, so that a step is one choice: with one for each term, drawing took most of the time.

It is shuffled, because hypothesis likes small numbers better.
"""


class Reply(NamedTuple):
    """What an operation gave, or that it was refused by an error."""

    value: Any
    refused: bool = False


Op = Callable[[Rig, Audit], object]


class LedgerMachine(RuleBasedStateMachine):
    """Rigs in lockstep under random operations.

    It has one rule: of several, hypothesis leaves a random half out of each program, and with
    them nearly all of the long chains (lease, start, death, recovery, evidence, result).
    """

    def __init__(self, rigs: Sequence[Rig]) -> None:
        super().__init__()
        self.rigs = rigs
        self.audits = [Audit() for _ in rigs]
        self.looks = [rig.look({}) for rig in rigs]
        """What was seen of each after the last operation."""
        self.leases: list[Lease] = []
        """All that were ever given, newest last."""
        self.claimed = 0
        """The highest fence that a device has seen: the floor."""
        self.is_late = False
        """True when the time of the present lease is over."""
        self.saved: tuple[list[Any], list[Audit], bool] | None = None
        self.was_rolled_back = False
        self.is_whole = True
        """False once an operation failed half-way: then the audit has not followed to the end."""

    @initialize()
    def begin(self) -> None:
        self.open(CAMPAIGNS[0], "a", again=False)
        self.send(lambda rig, _: _told(rig.ledger.register(INSTRUMENT, WORKERS[0], ENVELOPE)))
        self.propose(CAMPAIGNS[0], off=0, x=1)

    @rule(deed=DEEDS)
    def do(self, deed: Deed) -> None:
        self.is_whole = False
        getattr(self, deed.name)(**deed.terms)
        self.is_whole = True

    @invariant()
    def what_is_stored_is_what_happened(self) -> None:
        for look, audit in zip(self.looks, self.audits, strict=True):
            assert look.campaigns.keys() == audit.campaigns.keys()
            for name, campaign in audit.campaigns.items():
                campaign.check(look.campaigns[name], MOST_GRANTS)
            audit.check(look.instrument)

    def teardown(self) -> None:
        try:
            for rig, audit in zip(self.rigs, self.audits, strict=True):
                for name, campaign in audit.campaigns.items() if self.is_whole else ():
                    campaign.check_fold(rig.ledger.events(name))
                    campaign.check_chain(rig.ledger.stored(name))
        finally:
            for rig in self.rigs:
                rig.close()

    # Sending and looking

    def send(self, op: Op, *, again: bool = False, alike: bool = False) -> Reply:
        """Let every rig do it, once or twice; the reply, on which they must agree.

        ``alike``: the second reply must be the first one, too.
        """
        reply = self._once(op)
        if again:
            before = self.seen()
            second = self._once(op)
            assert self.seen() == before, "sent again, it changed something"
            assert not alike or second == reply, f"sent again: {second}, at first {reply}"
        return reply

    def _once(self, op: Op) -> Reply:
        replies = [_ask(op, *both) for both in zip(self.rigs, self.audits, strict=True)]
        news = self._look()
        for rig, reply, new in zip(self.rigs[1:], replies[1:], news[1:], strict=True):
            both = f"{self.rigs[0].name} and {rig.name}"
            assert reply == replies[0], f"{both} answered {replies[0]} and {reply}"
            assert new == news[0], f"{both} wrote {news[0]} and {new}"
        return replies[0]

    def _look(self) -> list[list[ev.Event]]:
        """Look at each rig; what it wrote since the last time, audited, without ids and times."""
        self.looks, news = [], []
        for rig, audit in zip(self.rigs, self.audits, strict=True):
            look = rig.look({name: one.state.last_id for name, one in audit.campaigns.items()})
            for name, events in look.news.items():
                if events:
                    audit.take(name, events)
            self.looks.append(look)
            news.append([_bare(event) for events in look.news.values() for event in events])
        return news

    def seen(self, *, remarks: bool = True) -> list[Any]:
        """All that an operation without effect leaves alone; without remarks, nearly without."""
        return [
            (
                look.campaigns,
                _told(look.instrument),
                {name: _weight(one.log, remarks) for name, one in audit.campaigns.items()},
            )
            for look, audit in zip(self.looks, self.audits, strict=True)
        ]

    def state(self, campaign: str) -> CampaignState:
        """The campaign by its events; empty when it was not opened."""
        audited = self.audits[0].campaigns.get(campaign)
        return audited.state if audited else CampaignState()

    def _log(self, campaign: str) -> list[ev.Event]:
        audited = self.audits[0].campaigns.get(campaign)
        return audited.log if audited else []

    def last_order(self, campaign: str) -> ev.Event | None:
        """The last change of status but the end; None when there was none."""
        orders = [
            _bare(event)
            for event in self._log(campaign)
            if isinstance(event, ev.CampaignEvent) and not isinstance(event, ev.Ended)
        ]
        return orders[-1] if orders else None

    def is_in(self, campaign: str, number: int, *states: str) -> bool:
        """True when the trial exists and is in one of these states."""
        trial = self.state(campaign).trials.get(number)
        return trial is not None and trial.state in states

    def pick(self, campaign: str, pick: int, *states: TrialState) -> int:
        """A trial in one of these states; now and then any number, taken or not."""
        state = self.state(campaign)
        fitting = [trial.trial_id for trial in state.in_state(*states)]
        return fitting[pick % len(fitting)] if fitting and pick else 1 + pick % state.next_trial

    @property
    def record(self) -> InstrumentRecord:
        """The instrument as the first rig knows it."""
        return self.looks[0].instrument

    def is_current(self, lease: Lease) -> bool:
        """True while this lease is the one that the instrument is under."""
        grant = self.audits[0].grant
        return grant == (lease.campaign_id, lease.trial_id, lease.fence, lease.worker)

    def floor(self, floored: bool) -> int:
        """What the device has seen; a worker may leave it out as long as nothing was lost."""
        return self.claimed if floored or self.was_rolled_back else 0

    # Campaigns

    def open(self, campaign: str, opener: str, again: bool) -> None:
        opened = ev.Opened(
            campaign_id=campaign,
            instrument=INSTRUMENT,
            mode="twin",
            spec={"budget": {"trials": 3}},
            instrument_spec={"name": INSTRUMENT},
            step=0 if campaign == CAMPAIGNS[0] else 2,
            sample="s",
            samples={"a": 2, "b": 1},
            opener=opener,
        )
        known = self.audits[0].campaigns.get(campaign)
        reply = self.send(lambda rig, _: rig.ledger.open_campaign(opened), again=again, alike=True)
        assert reply.value == (known is None or _bare(known.log[0]) == opened)

    def propose(self, campaign: str, off: int, x: int) -> None:
        state = self.state(campaign)
        event = _proposed(max(1, state.next_trial + off), x)
        reply = self.send(
            lambda rig, _: rig.ledger.propose(campaign, event), again=True, alike=True
        )
        if state.opened_at is not None and state.status in TAKES_TRIALS and not off:
            assert reply.value, "the next proposal was not taken"

    def supersede(self, campaign: str, pick: int, off: int, x: int) -> None:
        number = self.pick(campaign, pick, TrialState.QUEUED)
        state = self.state(campaign)
        trial = state.trials.get(number)
        revision = 1 + off + (trial.revision if trial else 0)
        event = replace(_proposed(number, x), source="model")
        before = self.seen()
        reply = self.send(
            lambda rig, _: rig.ledger.supersede(campaign, event, revision), again=True, alike=True
        )
        waits = trial is not None and (trial.state, trial.attempts) == (TrialState.QUEUED, 0)
        due = waits and not off and state.status in TAKES_TRIALS
        assert reply.refused or reply.value == due, f"trial {number}: {reply.value}"
        if due:
            assert self.state(campaign).trials[number].parameters == event.parameters
        else:
            assert self.seen() == before, "what was not taken changed something"

    def order(self, campaign: str, order: str, again: bool) -> None:
        event, expected = ORDERS[order]
        due = self.state(campaign).status in expected or event == self.last_order(campaign)
        reply = self.send(
            lambda rig, _: rig.ledger.order(campaign, event, expected), again=again, alike=True
        )
        assert reply.refused or reply.value == due
        self.send(lambda rig, _: rig.ledger.status(campaign))

    def wind_down(self, campaign: str, order: str) -> None:
        if self._is_well_on():
            self.order(campaign, order, again=True)

    def end(self, campaign: str, late: bool, again: bool) -> None:
        if not self._is_well_on():
            return
        event = ev.Ended(by="campaign", reason="budget", status="done")

        def op(rig: Rig, audit: Audit) -> bool:
            log = audit.campaigns[campaign].log if campaign in audit.campaigns else []
            known = ["0", *(one.id for one in log)]
            return rig.ledger.end(campaign, event, known[-2 if late and log else -1])

        is_over = self.state(campaign).is_over
        reply = self.send(op, again=again)
        due = not late and not is_over
        assert reply.refused or reply.value == due, f"ended: {reply.value}, due: {due}"
        self.send(lambda rig, _: (rig.ledger.open_campaigns(INSTRUMENT), rig.ledger.campaigns()))

    def _is_well_on(self) -> bool:
        """True when enough has happened that a campaign may end."""
        return sum(len(one.log) for one in self.audits[0].campaigns.values()) > 15

    def step(self, campaign: str, upto: int) -> None:
        event = ev.Stepped(upto=upto, by="me")
        self.send(lambda rig, _: rig.ledger.step(campaign, event), again=True, alike=True)

    def approve(self, campaign: str, pick: int, off: int, by: str) -> None:
        number, state = self.pick(campaign, pick, TrialState.QUEUED), self.state(campaign)
        trial = state.trials.get(number)
        event = ev.Approved(trial_id=number, revision=off + (trial.revision if trial else 0), by=by)
        before = self.seen()
        reply = self.send(
            lambda rig, _: rig.ledger.approve(campaign, event), again=True, alike=True
        )
        due = not off and self.is_in(campaign, number, "queued") and number <= state.step
        assert reply.refused or reply.value == due, f"trial {number}: {reply.value}"
        if due:
            assert self.state(campaign).trials[number].approved_by
        else:
            assert self.seen() == before, "what needs no approval was changed by one"

    # Who holds a lease, or once held it

    def acquire(self, campaign: str, worker: str, floored: bool, ttl: float) -> None:
        before, seen, is_due = self.audits[0].grant, self.floor(floored), self._is_due(campaign)
        reply = self.send(
            lambda rig, _: rig.ledger.acquire(campaign, INSTRUMENT, worker, floor=seen, ttl_s=ttl),
            again=True,
            alike=True,
        )
        grant, lease = self.audits[0].grant, reply.value
        if lease is None:
            assert not (is_due and self._is_due(campaign)), "all was ready, and nothing leased"
            assert grant == before
            return
        assert grant == (campaign, lease.trial_id, lease.fence, worker)
        if grant != before:
            assert is_due, "leased although something spoke against it"
            assert lease.fence > seen, f"fence {lease.fence} is not above {seen}"
            self.is_late = ttl < 0
            self.leases.append(lease)

    def _is_due(self, campaign: str) -> bool:
        stored = self.looks[0].campaigns.get(campaign)
        if stored is None or self.record.state is not InstrumentState.READY:
            return False
        first = stored.queue[:1]
        if not first or (first[0] <= stored.step and not stored.trials[first[0]].is_approved):
            return False
        return stored.status == "running"

    def start(self, back: int) -> None:
        if (lease := self._lease(back)) is None:
            return
        if self._by(lease, lambda rig, _: rig.ledger.start(lease), is_due=True):
            self.claimed = max(self.claimed, lease.fence)

    def ask(self, back: int, number: int) -> None:
        if (lease := self._lease(back)) is None:
            return
        question = f"{lease.trial_id}-{lease.fence}-{number}"
        asked = ev.Asked(trial_id=lease.trial_id, question=question, text="loaded?")
        is_due = self.is_in(lease.campaign_id, lease.trial_id, TrialState.RUNNING)
        self._by(lease, lambda rig, _: rig.ledger.ask(lease, asked), is_due=is_due)

    def answer(self, campaign: str, pick: int, off: int, text: str) -> None:
        number = self.pick(campaign, pick, TrialState.RUNNING)
        trial = self.state(campaign).trials.get(number)
        open_one = trial.question.question if trial and trial.question else f"{number}-1-1"
        question = open_one if not off else f"{number}-0-1"
        event = ev.Answered(trial_id=number, question=question, text=text, by="me")
        said = [one for one in map(_bare, self._log(campaign)) if isinstance(one, ev.Answered)]
        due = trial is not None and trial.question is not None and not off
        before = self.seen()
        reply = self.send(lambda rig, _: rig.ledger.answer(campaign, event), again=True, alike=True)
        if due:
            assert reply.value, f"trial {number} asks, and the answer was not taken"
            assert self.state(campaign).trials[number].question is None, "it waits still"
        else:
            assert not reply.value or event in said, f"trial {number} asks nothing: {reply.value}"
            assert self.seen() == before, "nothing was asked, and something changed"

    def acquired(self, back: int) -> None:
        if (lease := self._lease(back)) is None:
            return
        where = lease.campaign_id, lease.trial_id
        trial = self.state(where[0]).trials.get(where[1])
        event = _evidence(lease.trial_id, trial.attempts if trial else 1)
        is_due = self.is_in(*where, TrialState.RUNNING)
        self._by(lease, lambda rig, _: rig.ledger.acquired(lease, event), is_due=is_due)

    def fail(self, back: int, then: str, crash: bool, afterwards: str) -> None:
        if (lease := self._lease(back)) is None:
            return
        event, state = _failed(lease.trial_id, then, crash), InstrumentState(afterwards)
        self._by(lease, lambda rig, _: rig.ledger.fail(lease, event, state), is_due=True)

    def remark(self, back: int, key: str, late: bool) -> None:
        if (lease := self._lease(back)) is None:
            return
        event: ev.Remark = ev.Noted(by="me", text="looked", key=key)
        if late:
            event = ev.LateResult(
                trial_id=lease.trial_id, attempt=1, run_uid=key, documents=f"runs/{key}"
            )
        before, log = self.seen(remarks=False), self.state(lease.campaign_id).last_id
        remarks = [one for one in self._log(lease.campaign_id) if isinstance(one, ev.Remark)]
        known = any(one.key == key for one in remarks)
        self.send(
            lambda rig, _: rig.ledger.remark(lease.campaign_id, event), again=True, alike=True
        )
        assert self.seen(remarks=False) == before, "a remark counted for something"
        assert not known or log == self.state(lease.campaign_id).last_id, "it was noted before"

    def renew(self, back: int, ttl: float) -> None:
        if (lease := self._lease(back)) is not None:
            self._renew(lease.worker, lease.fence, ttl)

    def beat(self, off: int, ttl: float) -> None:
        """The heartbeat of whoever holds or recovers the instrument, or of one before."""
        self._renew(self.record.holder or WORKERS[0], self.record.fence - off, ttl)

    def _renew(self, worker: str, fence: int, ttl: float) -> None:
        before, record = self.seen(), self.record
        is_held = record.state in (InstrumentState.LEASED, InstrumentState.RECOVERING)
        due = is_held and (record.holder, record.fence) == (worker, fence)
        told = (INSTRUMENT, worker, fence, ttl)
        reply = self.send(lambda rig, _: rig.ledger.renew(*told), again=True, alike=True)
        assert reply.value == due, f"renewed by {worker} with {fence}: {reply.value}"
        assert self.seen() == before, "a renewal changed more than a time"
        self.is_late = ttl < 0 if due else self.is_late

    def _lease(self, back: int) -> Lease | None:
        return self.leases[-1 - back % len(self.leases)] if self.leases else None

    def _by(self, lease: Lease, op: Op, *, is_due: bool) -> bool:
        """Send it by this lease; True when it was in force. One that is over changes nothing."""
        if self.is_current(lease):
            reply = self.send(op, again=True, alike=True)
            assert not (is_due and reply.refused), "the holder was refused"
            return True
        before = self.seen()
        reply = self.send(op, again=True, alike=True)
        assert self.seen() == before, f"{lease} is over, and changed something"
        assert not reply.value, f"{lease} is over, and was taken for good"
        return False

    # Results, and who withdraws

    def settle(self, campaign: str, pick: int, kind: int, again: bool) -> None:
        number = self.pick(campaign, pick, TrialState.ACQUIRED, TrialState.UNREDUCED)
        event = (
            ev.Measured(trial_id=number, outcomes=OUTCOMES),
            ev.Invalidated(trial_id=number, outcomes=OUTCOMES, reason="dim"),
            ev.Unreduced(trial_id=number, reason="raised this"),
            ev.Unreduced(trial_id=number, reason="raised that"),
        )[kind]
        expected = self.is_in(campaign, number, "acquired", "unreduced")
        reply = self.send(lambda rig, _: rig.ledger.settle(campaign, event), again=again)
        assert reply.refused or reply.value == expected, f"trial {number}: {reply.value}"

    def correct(self, campaign: str, pick: int, value: int, again: bool) -> None:
        number = self.pick(campaign, pick, TrialState.MEASURED)
        event = ev.Corrected(
            trial_id=number,
            outcomes={"y": Outcome(value / 3)},
            reducer="lab.reduce",
            reducer_sha256="s",
            by="me",
        )
        expected = self.is_in(campaign, number, TrialState.MEASURED)
        reply = self.send(
            lambda rig, _: rig.ledger.correct(campaign, event), again=again, alike=True
        )
        assert reply.refused or reply.value == expected, f"trial {number}: {reply.value}"
        if expected:
            assert self.state(campaign).trials[number].outcomes == event.outcomes

    def cancel(self, campaign: str, pick: int, again: bool) -> None:
        number = self.pick(campaign, pick, TrialState.LEASED, TrialState.SUSPECT)
        expected = self.is_in(campaign, number, "queued", "suspect")
        told = {"by": "me", "reason": "no"}
        reply = self.send(lambda rig, _: rig.ledger.cancel(campaign, number, **told), again=again)
        assert reply.refused or reply.value == expected, f"trial {number}: {reply.value}"

    def resolve(self, campaign: str, pick: int, then: str, again: bool) -> None:
        number = self.pick(campaign, pick, TrialState.SUSPECT)
        if then == "found":
            event = replace(_evidence(number, 1), salvaged=True)
        else:
            event = _failed(number, then, crash=True)
        due, before = self.is_in(campaign, number, TrialState.SUSPECT), self.seen()
        was_said = event in map(_bare, self._log(campaign))
        reply = self.send(
            lambda rig, _: rig.ledger.resolve(campaign, event), again=again, alike=True
        )
        if due:
            assert reply.value, f"trial {number} was not decided"
            assert not self.is_in(campaign, number, TrialState.SUSPECT), "it is suspect still"
        else:
            assert not reply.value or was_said, f"trial {number} was not suspect, and decided"
            assert self.seen() == before, f"trial {number} was not suspect, and changed"

    # Death, recovery, loss

    def expire(self, dead: str, again: bool) -> None:
        record = self.record
        who = {"holder": record.holder, "late": None}.get(dead, dead)
        is_over = who == record.holder if who else self.is_late
        reply = self.send(lambda rig, _: rig.ledger.expire(INSTRUMENT, who), again=again)
        due = record.state is InstrumentState.LEASED and is_over
        assert reply.value == due, f"{record.holder}'s lease, ended for {dead}: {reply.value}"

    def recover(self, worker: str, goal: str, floored: bool, dead: str | None, ttl: float) -> None:
        before, seen = self.record, self.floor(floored)
        if goal == "next":
            goal = "ready" if before.state is InstrumentState.RECOVERING else "recovering"
        state = InstrumentState(goal)
        who = worker if worker != "holder" else before.holder or WORKERS[0]
        died = before.holder if dead == "holder" else dead
        told = {"floor": seen, "ttl_s": ttl, "reason": "looked", "dead": died}
        due = self._may_recover(before, who, state, died, seen)

        def op(rig: Rig, audit: Audit) -> object:
            record = rig.ledger.recover(INSTRUMENT, who, state, **told)
            if record.fence != audit.fence:
                audit.draw(record.fence)
            if record.campaign_id is None:  # rolled back before its first lease: in no log
                audit.instrument = record.state
            return _told(record)

        reply = self.send(op, again=True, alike=True)
        assert reply.refused != due, f"{who}, {before.state} of {before.holder} to {state}: {reply}"
        after = self.record
        if reply.refused or _told(after) == _told(before):
            return
        assert (after.state, after.holder) == (state, who)
        if state is InstrumentState.RECOVERING:
            assert after.fence > seen, f"fence {after.fence} is not above {seen}"
            self.claimed, self.is_late = max(self.claimed, after.fence), ttl < 0

    def _may_recover(
        self,
        record: InstrumentRecord,
        who: str,
        goal: InstrumentState,
        dead: str | None,
        floor: int,
    ) -> bool:
        """True when ``who`` may bring the instrument there, or has done so already."""
        mine, recovering = record.holder == who, record.state is InstrumentState.RECOVERING
        if record.state is goal and mine:
            return True
        if goal is not InstrumentState.RECOVERING:
            return recovering and mine
        takeover = recovering and (dead == record.holder or self.is_late)
        went_back = record.state is InstrumentState.READY and floor > record.fence
        return record.state is InstrumentState.UNKNOWN or takeover or went_back

    def clear_fault(self, again: bool) -> None:
        due, before = self.record.state is InstrumentState.FAULT, self.seen()

        def op(rig: Rig, audit: Audit) -> bool:
            is_cleared = rig.ledger.clear_fault(INSTRUMENT, "looked")
            if rig.ledger.instrument(INSTRUMENT).campaign_id is None:
                audit.instrument = rig.ledger.instrument(INSTRUMENT).state
            return is_cleared

        reply = self.send(op, again=again, alike=True)
        assert reply.value or not due, "a fault was not cleared"
        assert due or self.seen() == before, "there was no fault, and something changed"

    def remember(self) -> None:
        kept = [rig.save() for rig in self.rigs]
        self.saved = kept, [audit.fork() for audit in self.audits], self.is_late

    def roll_back(self) -> None:
        """The server lost its last writes; devices, workers and their leases did not."""
        if self.saved is None:
            return
        kept, self.audits, self.is_late = self.saved
        for rig, saved in zip(self.rigs, kept, strict=True):
            rig.load(saved)
        assert not any(self._look()), "there is more than what was saved"
        self.saved, self.was_rolled_back = None, True


def _ask(op: Op, rig: Rig, audit: Audit) -> Reply:
    try:
        return Reply(op(rig, audit))
    except LedgerError as error:
        if "server refused" in str(error):
            raise  # the script itself broke: never an answer
        return Reply(None, refused=True)


def _bare(event: ev.Event) -> ev.Event:
    return replace(event, id="", at=0.0)


def _weight(log: Sequence[ev.Event], remarks: bool) -> int:
    """How many events there are, remarks counted or not."""
    return sum(remarks or not isinstance(event, ev.Remark) for event in log)


def _told(record: InstrumentRecord) -> tuple[Any, ...]:
    """What adapters must agree on, and what time alone does not change."""
    return record.state, record.holder, record.fence, record.campaign_id, record.trial_id


def _proposed(number: int, x: int) -> ev.Proposed:
    parameters = {"x": x / 3, "s": "abc"[x % 3]}
    return ev.Proposed(trial_id=number, parameters=parameters, source="initial", basis="0", seed=1)


def _evidence(number: int, attempt: int) -> ev.Acquired:
    return ev.Acquired(trial_id=number, attempt=attempt, run_uid="u", documents="d", sha256="s")


def _failed(number: int, then: str, crash: bool) -> ev.Failed:
    return ev.Failed(trial_id=number, reason="hang", message="", crash=crash, then=then)


EXAMPLES_PER_SEED = 10
"""So few that hypothesis draws each afresh; of more, most are small changes of one another."""


def run_machine(
    make: Callable[[], Sequence[Rig]], number: int, *, steps: int, shrink: bool
) -> None:
    """Run programs of so many steps: the same ones for the same seed in the same run of tests.

    Other test modules may change them, as hypothesis likes numbers that it finds in loaded code.
    """
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        seed(number)(lambda: LedgerMachine(make())),  # type: ignore[arg-type]
        settings=settings(
            max_examples=EXAMPLES_PER_SEED,
            stateful_step_count=steps,
            phases=phases,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=[*HealthCheck],  # type: ignore[list-item]
        ),
    )
