"""Which calls for help are due: a function of a campaign's events and the time.

The rules, chosen so that a night brings one message for each event and not a storm:

- ``needs_person`` and ``fault``: told at once, as long as they stand. The same reason is told
  again no sooner than an hour later, and then only if it was raised again meanwhile and still
  stands: a worker that asks anew after each restart rings once an hour at most.
- ``question``: a running plan asks something; told at once, and only while it waits.
- ``suspended``: told once for each suspension that has lasted the given minutes and still lasts.
- ``over``: told once, whatever the ending.
- Nothing is told any more when it became due more than six hours ago.

Two processes that read the same events find the same notices with the same keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.domain import events as ev


class NoticeKind(StrEnum):
    """What a notice is about."""

    NEEDS_PERSON = "needs_person"
    QUESTION = "question"
    FAULT = "fault"
    SUSPENDED = "suspended"
    OVER = "over"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to the people on duty, in plain words."""

    key: str
    """The same for the same event, whoever finds it: ``<campaign id>/<event id>/<kind>``."""
    kind: NoticeKind
    campaign_id: str
    at: float
    """Since when it is so, Unix time in seconds."""
    subject: str
    """One line."""
    body: str


Raised = ev.CampaignEvent | ev.InstrumentChanged | ev.Asked


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be told."""

    kind: NoticeKind
    at: float
    """From when on it is to be told, Unix time in seconds."""
    first: Raised
    """The event that it is about."""
    newest: Raised
    """The newest event that says the same; mostly the first."""

    def key(self, campaign_id: str) -> str:
        """The same for the same event, whoever finds it."""
        return f"{campaign_id}/{self.first.id}/{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeRules:
    """What is worth a message. All times in seconds."""

    suspended_s: float = 600.0
    """A suspension that has lasted so long is told."""
    repeat_s: float = 3600.0
    """Least time between two notices of the same kind, reason and campaign."""
    stale_s: float = 6 * 3600.0
    """What became due longer ago is not told any more."""
    host: str = ""
    """Machine that the lab runs on, for the reader; empty leaves it out."""
    options: str = ""
    """Options that the commands in a notice need, such as ``--data-dir /data/lab``."""


def matters(event: ev.Event) -> bool:
    """True when ``due`` needs to see this event."""
    return isinstance(event, (ev.CampaignEvent, ev.InstrumentChanged, ev.Asked))


def due(
    log: Sequence[ev.Event], now: float, rules: NoticeRules, asking: str | None = None
) -> list[Due]:
    """What should have been told by now, oldest first, told or not.

    Args:
        log: a campaign's events, at least those that matter.
        now: Unix time in seconds; an event of the log is never taken for one of the future.
        rules: what is worth a message.
        asking: id of the question that waits for an answer; None when none does.
    """
    found = [*_needs_person(log, rules), *_questions(log, asking), *_faults(log, rules)]
    found += [*_suspended(log, rules), *_over(log)]
    now = max([now, *(event.at for event in log[-1:])])  # the ledger may have another clock
    recent = [one for one in found if now - rules.stale_s <= one.at <= now]
    return sorted(recent, key=lambda one: one.at)


def followed_key(campaign_id: str) -> str:
    """Key of the mark that somebody wants to be told of this campaign, its end included."""
    return f"{campaign_id}/followed"


def _needs_person(log: Iterable[ev.Event], rules: NoticeRules) -> Iterator[Due]:
    asked: list[ev.NeedsPerson] = []
    in_fault = False
    for event in log:
        if isinstance(event, ev.InstrumentChanged):
            in_fault = event.state == "fault"
        elif isinstance(event, ev.NeedsPerson) and not in_fault:  # a fault is told as such
            asked.append(event)
    standing = _standing(log)
    for one in _apart(NoticeKind.NEEDS_PERSON, asked, rules.repeat_s):
        if one.newest in standing:
            yield one


def _questions(log: Iterable[ev.Event], asking: str | None) -> Iterator[Due]:
    for event in log:
        if isinstance(event, ev.Asked) and event.question == asking:
            yield Due(NoticeKind.QUESTION, event.at, event, event)


def _faults(log: Iterable[ev.Event], rules: NoticeRules) -> Iterator[Due]:
    changes = [event for event in log if isinstance(event, ev.InstrumentChanged)]
    faults = [event for event in changes if event.state == "fault"]
    for one in _apart(NoticeKind.FAULT, faults, rules.repeat_s):
        if one.newest == changes[-1]:
            yield one


def _suspended(log: Iterable[ev.Event], rules: NoticeRules) -> Iterator[Due]:
    standing = _standing(log)
    if standing and isinstance(standing[0], ev.Suspended):
        first = standing[0]
        yield Due(NoticeKind.SUSPENDED, first.at + rules.suspended_s, first, first)


def _over(log: Iterable[ev.Event]) -> Iterator[Due]:
    for event in log:
        if isinstance(event, ev.Ended):
            yield Due(NoticeKind.OVER, event.at, event, event)


def _standing(log: Iterable[ev.Event]) -> list[ev.CampaignEvent]:
    """The last orders of one kind, which nothing has answered yet."""
    found: list[ev.CampaignEvent] = []
    for event in log:
        if isinstance(event, ev.CampaignEvent):
            found = [*found, event] if found and type(event) is type(found[-1]) else [event]
    return found


def _apart(kind: NoticeKind, raised: Iterable[Raised], repeat_s: float) -> Iterator[Due]:
    """Each event when it is to be told, those with the same reason at least ``repeat_s`` apart.

    What is raised again too early is put off to the end of that time, together with all that
    comes until then.
    """
    planned: dict[str, list[Due]] = {}
    for event in raised:
        times = planned.setdefault(event.reason, [])
        last = times[-1].at if times else event.at - repeat_s
        if event.at < last:
            times[-1] = replace(times[-1], newest=event)
        else:
            times.append(Due(kind, max(event.at, last + repeat_s), event, event))
    for times in planned.values():
        yield from times
