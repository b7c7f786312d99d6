"""What a new worker does first: put right what an earlier one left behind.

It observes before it acts: quiet, wait until all stands still, put back what staging had changed,
compare what is read with what was last commanded. Nothing is homed, parked or set anew. What cannot
be put right is a fault, and waits for staff.
"""

import time
from collections.abc import Sequence
from typing import TypeGuard

from orchestrator.adapters.processes.child import is_proven_dead
from orchestrator.campaign import Beside
from orchestrator.domain import events as ev
from orchestrator.domain.errors import DeviceUnavailable, ExecutionError, Unusable
from orchestrator.domain.rules import CLEARED, TAKES_TRIALS
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.domain.state import CampaignStatus, fold
from orchestrator.evidence import settle_left_over
from orchestrator.ports import InstrumentState, Lab, Traces

PERSON_S = 60.0
"""Announced again and again while a person is waited for."""
LEASE_MARGIN_S = 5.0
"""Added to a lease before its holder is believed to be alive elsewhere."""
LOOK_S = 0.1
"""Seconds between two looks whether all stands still."""
UNSTATED_S = 300.0
"""Longest wait for a device whose time-out the instrument file leaves to its class."""


def recover(lab: Lab, beside: Beside, *, standby: bool = False) -> None:
    """Put right what an earlier worker left behind, on the instrument and in the ledger.

    What it left acquired is reduced ``beside`` the next trial, like any other.
    With ``standby``, a worker that can be replaced while it lives is left to its work.

    Raises:
        Unusable: a worker on another host drives the instrument, or a run in another mode left it.
        DeviceUnavailable: a device has lost its connection meanwhile.
        LeaseLost: another standby worker was faster.
    """
    name = lab.instrument.name
    record = lab.ledger.instrument(name)
    if record.state is InstrumentState.LEASED and record.holder:
        if standby and lab.gate.yields and not is_proven_dead(record.holder):
            return
        _end_lease(lab, record.holder)
    _refuse_other_mode(lab)
    while (state := _needs_recovery(lab)) is not None:
        if state is InstrumentState.FAULT:
            _await_staff(lab)
        else:
            _recover_instrument(lab)
    settle_left_over(lab, beside)


def _refuse_other_mode(lab: Lab) -> None:
    """Pass unless what is to be put right was left on the hardware, and this is its twin (or so).

    Raises:
        Unusable: it was.
    """
    name = lab.instrument.name
    record = lab.ledger.instrument(name)
    if record.state is InstrumentState.READY or record.campaign_id is None:
        return
    left = fold(lab.ledger.events(record.campaign_id))
    if left.mode != lab.instrument.mode:
        raise Unusable(
            f"instrument {name!r} is {record.state} after a run in mode {left.mode}, and this is "
            f"mode {lab.instrument.mode}: let a worker in mode {left.mode} put it right first, or "
            "use another --data-dir"
        )


def _needs_recovery(lab: Lab) -> InstrumentState | None:
    """The instrument's state when it cannot be driven as it is; None when it can.

    A fence that was claimed here and is not in the ledger says that the log went back: the
    instrument has been driven since, whatever the ledger holds of it.
    """
    record = lab.ledger.instrument(lab.instrument.name)
    is_known = record.state is InstrumentState.READY and record.fence >= lab.gate.floor
    return None if is_known else record.state


def _end_lease(lab: Lab, holder: str) -> None:
    """End the lease of a dead worker at once, of one on another host when its time is over.

    Raises:
        Unusable: it is renewed, so another host drives the instrument.
    """
    name = lab.instrument.name
    if is_proven_dead(holder):
        lab.ledger.expire(name, dead=holder)
        return
    give_up = time.monotonic() + lab.lease_s + LEASE_MARGIN_S
    while not lab.ledger.expire(name):
        if time.monotonic() >= give_up:
            raise Unusable(f"worker {holder} drives instrument {name!r}; its lease is renewed")
        lab.clock.sleep(0.2)


def _recover_instrument(lab: Lab) -> None:
    """Leaves it ready, or in fault."""
    name = lab.instrument.name
    reason = "a worker died or a device was lost: observing"
    before = lab.ledger.instrument(name)
    held = before.holder
    # Whoever held the lock that is ours now can drive no more, dead or not.
    dead = held if held and (not lab.gate.yields or is_proven_dead(held)) else None
    terms = {"floor": lab.gate.floor, "ttl_s": lab.lease_s}
    record = lab.ledger.recover(
        name, lab.worker, InstrumentState.RECOVERING, reason=reason, dead=dead, **terms
    )
    lab.gate.claim(record.fence)
    lab.executor.quiet()
    try:
        have_looked = before.reason.startswith(CLEARED)
        state, reason = InstrumentState.READY, _put_right(lab, have_looked=have_looked)
    except ExecutionError as error:
        if error.reason in ("device_disconnected", "device_unavailable"):
            raise  # a server that comes back needs a worker that connects anew
        state, reason = InstrumentState.FAULT, str(error)
    lab.ledger.recover(name, lab.worker, state, reason=reason, **terms)


def _put_right(lab: Lab, *, have_looked: bool) -> str:
    """Wait, put back, compare; what was found, in words for the log.

    When staff ``have_looked``, nobody is asked, and what they left stays as it is.

    Raises:
        DeviceUnavailable: a device lost its connection.
        ExecutionError: it does not come to rest, or staging cannot be undone.
    """
    _await_rest(lab)
    traces = lab.executor.traces()
    found = ["every device answers and stands still"]
    if not have_looked:
        _await_person(lab, traces)
    if traces is not None:
        if restored := lab.executor.restore(traces):
            found.append(f"put back as before staging: {', '.join(restored)}")
        found += lab.executor.differences(traces)
    return "; ".join(found)


def _await_rest(lab: Lab) -> None:
    longest = rest_s(lab.instrument)
    give_up = time.monotonic() + longest
    why = None
    for _ in range(1 + round(longest / LOOK_S)):
        lab.announce(PERSON_S)
        if (why := lab.executor.observe()) is None:
            return
        if time.monotonic() >= give_up:  # each look may take seconds
            break
        if not lab.executor.is_connected:
            raise DeviceUnavailable(f"while the instrument was observed: {why}")
        lab.clock.sleep(LOOK_S)
    text = f"it does not come to rest within {longest:g} s: {why}"
    raise ExecutionError(text, "not_at_rest")


def rest_s(instrument: InstrumentSpec) -> float:
    """Seconds after which a device that still moves is no longer waited for."""
    devices = instrument.devices.values()
    return max(UNSTATED_S if one.timeout_s is None else one.timeout_s for one in devices)


def _await_person(lab: Lab, traces: Traces | None) -> None:
    """With a device marked ``takeover: person`` somebody must look and resume.

    Raises:
        ExecutionError: nobody has, and the campaign that could be asked is over.
    """
    wary = [n for n, device in lab.instrument.devices.items() if device.takeover == "person"]
    if not wary:
        return
    doing = f" (its last command was '{traces.commands[-1]}')" if _has_acted(traces) else ""
    reason = f"look at {', '.join(wary)} after the crash{doing}, then 'labwright resume'"
    question = ev.NeedsPerson(by="worker", reason=reason)
    for campaign_id in lab.ledger.open_campaigns(lab.instrument.name):
        if not _has_looked(lab.ledger.events(campaign_id), question):
            lab.ledger.order(campaign_id, question, TAKES_TRIALS)
            while lab.ledger.status(campaign_id) == CampaignStatus.NEEDS_PERSON:
                lab.announce(PERSON_S)  # waiting is not hanging
                lab.clock.sleep(0.5)
        if _has_looked(lab.ledger.events(campaign_id), question):
            return
    raise ExecutionError(f"nobody has looked at {', '.join(wary)} after the crash", "not_looked_at")


def _has_acted(traces: Traces | None) -> TypeGuard[Traces]:
    return traces is not None and bool(traces.commands)


def _has_looked(log: Sequence[ev.Event], question: ev.NeedsPerson) -> bool:
    """True when somebody was asked this since the instrument became unknown, and has resumed."""
    asked = looked = False
    for event in log:
        if isinstance(event, ev.InstrumentChanged) and event.state == InstrumentState.UNKNOWN:
            asked = looked = False
        asked |= isinstance(event, ev.NeedsPerson) and event.reason == question.reason
        looked |= asked and isinstance(event, ev.Resumed)
    return looked


def _await_staff(lab: Lab) -> None:
    """Until staff have cleared the fault. The instrument is then unknown, and observed anew."""
    name = lab.instrument.name
    record = lab.ledger.instrument(name)
    reason = (
        f"instrument {name} is in fault: {record.reason or 'no reason is known'}. Staff must look, "
        f"then say: labwright clear-fault {name} --reason '...'"
    )
    for campaign_id in lab.ledger.open_campaigns(name):
        order = ev.NeedsPerson(by="worker", reason=reason)
        lab.ledger.order(campaign_id, order, TAKES_TRIALS)
    while lab.ledger.instrument(name).state is InstrumentState.FAULT:
        lab.announce(PERSON_S)
        lab.clock.sleep(0.5)
    lab.executor.accept()
