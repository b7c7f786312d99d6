"""The process that calls for help: follows the lab's campaigns and sends the notices that are due.

A notice goes out once through each channel, in this order: claim, send, confirm. The claim keeps a
second notifier off, and ends by itself soon after its owner has died. The confirmation is
durable, and comes after the server has taken the notice: a crash in between gives one more copy
(same key, same Message-ID) and never a call for help that nobody hears.

Each channel sends in a thread of its own, so that a server that hangs holds up neither the others
nor the look at the campaigns. Only the main thread touches the ledger.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from orchestrator.domain import events as ev
from orchestrator.domain.errors import LabError, LedgerUnavailable, NotDelivered
from orchestrator.domain.notice_words import written
from orchestrator.domain.notices import Due, Notice, NoticeRules, due, followed_key, matters
from orchestrator.domain.state import OVER, CampaignState, fold
from orchestrator.ports import Clock, Ledger, NoticeChannel

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Seconds between two looks at the campaigns."""
CLAIM_S = 10.0
"""Seconds that a claim outlives its owner; renewed while a notice is being sent."""
FIRST_WAIT_S = 5.0
"""Wait after a first failure; doubled after each further one."""
LONGEST_WAIT_S = 300.0
LAST_CHANCE_S = 15.0
"""Longest time that the end of this process may be held up by what is still to be sent. More
than a claim, so that what a predecessor has left half done is sent too."""
RECENT = 20
"""Campaigns that were over before this process started, of which so many are looked at."""


@dataclass
class Followed:
    """A campaign and what of its log matters here."""

    state: CampaignState = field(default_factory=CampaignState)
    log: list[ev.Event] = field(default_factory=list[ev.Event])


@dataclass
class Delivery:
    """One notice on its way through one channel."""

    key: str
    """The notice's key and the channel."""
    notice: Notice
    channel: NoticeChannel
    failures: int = 0
    not_before: float = 0.0
    """By the monotonic clock."""
    sending: "Future[str] | None" = None
    is_sent: bool = False
    is_confirmed: bool = False


@dataclass
class Notifier:
    """One incarnation; what it knows is lost with it, what it has sent is in the ledger."""

    ledger: Ledger
    channels: Sequence[NoticeChannel]
    rules: NoticeRules
    clock: Clock
    name: str
    """Unique among all notifiers ever."""
    first_wait_s: float = FIRST_WAIT_S
    _campaigns: dict[str, Followed] = field(default_factory=dict[str, Followed])
    _left_out: set[str] = field(default_factory=set[str])
    """Campaigns of which nobody wants to hear: over before, or not to be read."""
    _deliveries: dict[str, Delivery] = field(default_factory=dict[str, Delivery])
    _threads: Mapping[str, ThreadPoolExecutor] = field(init=False)
    _has_begun: bool = False

    def __post_init__(self) -> None:
        """One thread for each channel."""
        self._threads = {one.name: ThreadPoolExecutor(1, one.name) for one in self.channels}

    def run(self, pause: Callable[[float], bool]) -> None:
        """Call for help until ordered to end, then send once more what is due.

        Args:
            pause: waits at most so many seconds; True when this process was ordered to end.
        """
        while not pause(LOOK_S):
            try:
                self.step()
            except LedgerUnavailable as error:
                log.warning("the ledger is out of reach, looking again: %s", error)
        self._last_chance()
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)

    def _last_chance(self) -> None:
        """Try once more what is due, and wait for what is on its way."""
        give_up = time.monotonic() + LAST_CHANCE_S
        for delivery in self._deliveries.values():
            delivery.not_before = 0.0
        try:
            while self.step() and time.monotonic() < give_up:
                time.sleep(0.05)
        except LedgerUnavailable as error:  # nobody is left who would start it again
            log.warning("ending without the ledger: %s", error)

    def step(self) -> bool:
        """Look at the campaigns, send what is due; True while something is on its way.

        Raises:
            LedgerUnavailable: the server does not answer.
        """
        self._find_campaigns()
        standing = {key for one in list(self._campaigns) for key in self._news_of(one)}
        wanted = [
            one
            for key, one in self._deliveries.items()
            if not one.is_confirmed and (key in standing or one.sending or one.is_sent)
        ]
        for delivery in wanted:
            self._settle(delivery)
        for delivery in wanted:
            self._send(delivery)
        return any(not one.is_confirmed and one.not_before <= time.monotonic() for one in wanted)

    # Which campaigns

    def _find_campaigns(self) -> None:
        """Follow what is open, what is new, and what ended before somebody could be told."""
        listed = self.ledger.campaigns()
        unknown = [
            one for one in listed if one not in self._campaigns and one not in self._left_out
        ]
        over = [one for one in unknown if not self._has_begun and self._is_over(one)]
        wanted = {one for one in over[-RECENT:] if self.ledger.is_confirmed(followed_key(one))}
        for campaign_id in unknown:
            if campaign_id in over and campaign_id not in wanted:
                self._left_out.add(campaign_id)
            else:
                self.ledger.confirm_notice(followed_key(campaign_id))
                self._campaigns[campaign_id] = Followed()
        self._has_begun = True

    def _is_over(self, campaign_id: str) -> bool:
        return self.ledger.status(campaign_id) in OVER

    def _news_of(self, campaign_id: str) -> list[str]:
        """Read what has happened in a campaign; gives the keys of all that is to be told now."""
        followed = self._campaigns[campaign_id]
        try:
            news = self.ledger.events(campaign_id, followed.state.last_id)
            followed.state = fold(news, followed.state)
        except LedgerUnavailable:
            raise
        except LabError as error:
            self._start_over(campaign_id, error)
            return []
        followed.log += [event for event in news if matters(event)]
        question = followed.state.question
        found = due(followed.log, self.clock.now(), self.rules, question)
        return [key for one in found for key in self._deliveries_of(one, followed.state)]

    def _start_over(self, campaign_id: str, error: LabError) -> None:
        """Read a campaign again from its start; give it up when that does not help."""
        if self._campaigns[campaign_id].state.campaign_id:
            self._campaigns[campaign_id] = Followed()
            return
        log.error("nobody can be told of campaign %s: %s", campaign_id, error)
        self._left_out.add(campaign_id)
        del self._campaigns[campaign_id]

    def _deliveries_of(self, one: Due, state: CampaignState) -> list[str]:
        """Keys of the deliveries of one notice, which is written when it is first seen."""
        keys = [f"{one.key(state.campaign_id)}/{channel.name}" for channel in self.channels]
        if any(key not in self._deliveries for key in keys):
            notice = written(one, state, self.rules)
            for key, channel in zip(keys, self.channels, strict=True):
                self._deliveries.setdefault(key, Delivery(key, notice, channel))
        return keys

    # Claim, send, confirm

    def _settle(self, delivery: Delivery) -> None:
        """Note how a sending came out, and confirm what was sent."""
        sending = delivery.sending
        if sending is not None and sending.done():
            delivery.sending = None
            self._take_answer(delivery, sending)
        if delivery.is_sent:
            self.ledger.confirm_notice(delivery.key)
            delivery.is_confirmed = True

    def _take_answer(self, delivery: Delivery, sending: "Future[str]") -> None:
        try:
            remark = sending.result()
        except Exception as error:
            delivery.failures += 1
            wait = min(self.first_wait_s * 2 ** (delivery.failures - 1), LONGEST_WAIT_S)
            delivery.not_before = time.monotonic() + wait
            # Only our own errors are known to hold no secret.
            why = str(error) if isinstance(error, NotDelivered) else type(error).__name__
            text = "notice %s was not sent, next try in %.0f s: %s"
            log.warning(text, delivery.key, wait, why)
        else:
            delivery.is_sent = True
            level = logging.WARNING if remark else logging.INFO
            log.log(level, "notice %s was sent: %s", delivery.key, remark or "taken by the server")

    def _send(self, delivery: Delivery) -> None:
        """Claim a delivery for its channel's thread; prolong the claim while it is sending."""
        if delivery.is_confirmed or delivery.not_before > time.monotonic():
            return
        if self.ledger.claim_notice(delivery.key, self.name, CLAIM_S):
            if delivery.sending is None:
                thread = self._threads[delivery.channel.name]
                delivery.sending = thread.submit(delivery.channel.send, delivery.notice)
        elif delivery.sending is None:
            delivery.is_confirmed = self.ledger.is_confirmed(delivery.key)


def until_terminated() -> Callable[[float], bool]:
    """Gives what waits so many seconds, or until SIGTERM; it says whether SIGTERM has come.

    Belongs into the main thread. A process that was started with SIGTERM held back hears one that
    came before this call, too.
    """
    heard, told = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(told, b"."))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return lambda seconds: bool(select.select([heard], [], [], seconds)[0])
