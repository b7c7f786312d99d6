"""The ledger on Redis or Valkey: one Lua script holds every transition.

redis-py's own retries are off. Operations are idempotent, so this adapter sends them again itself
until its patience is over; a lost reply cannot be told from a lost request, and need not be.
"""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.domain import events as ev
from orchestrator.domain.chain import Entry, Head, StoredCampaign
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.errors import LeaseLost, LedgerError, LedgerFull, LedgerUnavailable
from orchestrator.domain.rules import MOST_GRANTS, SETTLED, STATUS_AFTER, urgency_of
from orchestrator.domain.trial import TrialState
from orchestrator.ports import InstrumentRecord, InstrumentState, Lease

T = TypeVar("T")


class RedisLedger:
    """ports.Ledger on one Redis-compatible server.

    Args:
        url: address of the server.
        lab: prefix of all keys.
        patience_s: how long an operation is tried again before LedgerUnavailable, or LedgerFull.
        timeout_s: how long one answer is waited for.
    """

    def __init__(
        self, url: str, *, lab: str = "lab", patience_s: float = 30.0, timeout_s: float = 15.0
    ) -> None:
        self.url = url
        self._redis: redis.Redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=min(5.0, timeout_s),
            socket_timeout=timeout_s,
        )
        self._lab = f"{{{lab}}}"
        self._patience_s = patience_s
        source = files("orchestrator.adapters.ledgers").joinpath("ledger.lua").read_text()
        self._script = self._redis.register_script(source)
        self._instrument_of: dict[str, str] = {}

    # Talking to the server

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Run an idempotent operation, again and again while the server does not answer."""
        give_up = time.monotonic() + self._patience_s
        while True:
            try:
                return operation()
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if time.monotonic() >= give_up:
                    raise LedgerUnavailable(
                        f"the ledger's server does not answer: {error}"
                    ) from error
                time.sleep(0.05)
            except redis.ResponseError as error:
                if not _is_full(error):
                    raise LedgerError(f"the ledger's server refused: {error}") from error
                if time.monotonic() >= give_up:
                    raise _full(error) from error
                time.sleep(0.5)  # nothing was changed; room comes when somebody makes it

    def _call(self, campaign: str, instrument: str, operation: str, *args: object) -> list[str]:
        keys = [
            *self._campaign_keys(campaign),
            f"{self._lab}:i:{instrument}",
            f"{self._lab}:i:{instrument}:open",
            f"{self._lab}:campaigns",
        ]
        argv = [operation, str(ev.SCHEMA_VERSION), *map(str, args)]
        reply: list[str] = self._patiently(lambda: self._script(keys=keys, args=argv))  # type: ignore[assignment]
        if reply[0] == "lost":
            raise LeaseLost(f"{operation} on {instrument}: {reply[1]}")
        return reply

    def _campaign_keys(self, campaign: str) -> list[str]:
        base = f"{self._lab}:c:{campaign}"
        return [base, f"{base}:log", f"{base}:q", f"{base}:trials"]

    def _instrument(self, campaign: str) -> str:
        if campaign not in self._instrument_of:
            key = self._campaign_keys(campaign)[0]
            name = self._patiently(lambda: self._redis.hget(key, "instrument"))
            if name is None:
                raise LedgerError(f"there is no campaign {campaign!r}; 'labwright list' shows all")
            self._instrument_of[campaign] = str(name)
        return self._instrument_of[campaign]

    def _on(self, campaign: str, operation: str, *args: object) -> list[str]:
        return self._call(campaign, self._instrument(campaign), operation, *args)

    # Campaigns and their log

    def open_campaign(self, opened: ev.Opened) -> bool:
        """See ports.Ledger."""
        args = (opened.campaign_id, opened.instrument, int(opened.step), ev.to_json(opened))
        samples = [item for pair in opened.samples.items() for item in pair]
        call = (opened.campaign_id, opened.instrument, "open", *args, opened.sample, *samples)
        return self._call(*call)[0] == "ok"

    def campaigns(self) -> list[str]:
        """See ports.Ledger."""
        key = f"{self._lab}:campaigns"
        return self._patiently(lambda: list(self._redis.lrange(key, 0, -1)))  # type: ignore[arg-type]

    def knows(self, campaign_id: str) -> bool:
        """True when the server has this campaign, asked now: a server may come back empty."""
        key = self._campaign_keys(campaign_id)[0]
        return self._patiently(lambda: bool(self._redis.exists(key)))

    def open_campaigns(self, instrument: str) -> list[str]:
        """See ports.Ledger."""
        key = f"{self._lab}:i:{instrument}:open"
        return self._patiently(lambda: list(self._redis.lrange(key, 0, -1)))  # type: ignore[arg-type]

    def events(self, campaign_id: str, after: str = "0") -> list[ev.Event]:
        """See ports.Ledger."""
        self._instrument(campaign_id)
        log = self._campaign_keys(campaign_id)[1]
        start = "-" if after == "0" else after
        entries: Any = self._patiently(lambda: self._redis.xrange(log, start, "+"))
        found = [ev.from_fields(event_id, stored) for event_id, stored in entries]
        return found if after == "0" else ev.after_known(found, campaign_id, after)

    def stored(self, campaign_id: str) -> StoredCampaign:
        """See ports.Ledger."""
        self._instrument(campaign_id)
        campaign, log, _, trials = self._campaign_keys(campaign_id)

        def read() -> list[Any]:
            with self._redis.pipeline(transaction=True) as pipe:  # all of one moment
                pipe.xrange(log, "-", "+")
                pipe.hmget(campaign, "last", "chain", "status")
                pipe.hgetall(trials)
                return pipe.execute()

        entries, (last, chain, status), kept = self._patiently(read)
        return StoredCampaign(
            entries=[Entry(*entry) for entry in entries],
            head=Head(last or "", chain or ""),
            status=status,
            trials={
                int(name.removesuffix(":state")): state
                for name, state in kept.items()
                if name.endswith(":state")
            },
        )

    def wait(self, cursors: Mapping[str, str], timeout_s: float) -> None:
        """See ports.Ledger."""
        streams = {self._campaign_keys(campaign)[1]: after for campaign, after in cursors.items()}
        try:
            # 10 s stays below the socket's timeout; callers wait in a loop anyway.
            block = max(1, min(int(timeout_s * 1000), 10_000))
            self._redis.xread(streams, count=1, block=block)  # type: ignore[arg-type]
        except (redis.ConnectionError, redis.TimeoutError):
            time.sleep(min(timeout_s, 0.2))

    # Trials

    def propose(self, campaign_id: str, proposed: ev.Proposed) -> bool:
        """See ports.Ledger."""
        args = (proposed.trial_id, ev.to_json(proposed))
        return self._on(campaign_id, "propose", *args)[0] == "ok"

    def supersede(self, campaign_id: str, proposed: ev.Proposed, revision: int) -> bool:
        """See ports.Ledger."""
        args = (proposed.trial_id, revision, ev.to_json(proposed))
        return self._on(campaign_id, "supersede", *args)[0] == "ok"

    def acquire(
        self, campaign_id: str, instrument: str, worker: str, *, floor: int, ttl_s: float
    ) -> Lease | None:
        """See ports.Ledger."""
        self._instrument(campaign_id)
        args = (campaign_id, worker, floor, ttl_s, MOST_GRANTS)
        reply = self._call(campaign_id, instrument, "acquire", *args)
        if reply[0] == "no":
            return None
        return Lease(
            campaign_id=campaign_id,
            instrument=instrument,
            worker=worker,
            trial_id=int(reply[1]),
            fence=int(reply[2]),
            attempts=int(reply[3]),
            crashes=int(reply[4]),
            proposal=ev.Proposed(**json.loads(reply[5])),
        )

    def start(self, lease: Lease) -> int:
        """See ports.Ledger."""
        return int(self._held(lease, "start")[1])

    def ask(self, lease: Lease, asked: ev.Asked) -> str | None:
        """See ports.Ledger."""
        reply = self._held(lease, "ask", asked.question, ev.to_json(asked))
        return reply[1] if len(reply) > 1 else None

    def answer(self, campaign_id: str, answered: ev.Answered) -> bool:
        """See ports.Ledger."""
        args = (answered.trial_id, answered.question, answered.text, ev.to_json(answered))
        return self._on(campaign_id, "answer", *args)[0] == "ok"

    def renew(
        self,
        instrument: str,
        worker: str,
        fence: int,
        ttl_s: float,
        deadline: float | None = None,
    ) -> bool:
        """See ports.Ledger."""
        until = "" if deadline is None else deadline
        return self._call("-", instrument, "renew", worker, fence, ttl_s, until)[0] == "ok"

    def acquired(self, lease: Lease, acquired: ev.Acquired) -> None:
        """See ports.Ledger."""
        self._held(lease, "acquired", ev.to_json(acquired))

    def remark(self, campaign_id: str, remark: ev.Remark) -> None:
        """See ports.Ledger."""
        trial = remark.trial_id if isinstance(remark, ev.LateResult) else ""
        args = (trial, remark.key, ev.type_of(remark), ev.to_json(remark))
        self._on(campaign_id, "remark", *args)

    def fail(self, lease: Lease, failed: ev.Failed, instrument: InstrumentState) -> None:
        """See ports.Ledger."""
        args = (failed.then, int(failed.crash), instrument, ev.to_json(failed))
        self._held(lease, "fail", *args)

    def _held(self, lease: Lease, operation: str, *args: object) -> list[str]:
        head = (lease.campaign_id, lease.instrument, operation, lease.trial_id, lease.fence)
        return self._call(*head, lease.worker, *args)

    def settle(self, campaign_id: str, event: ev.Measured | ev.Invalidated | ev.Unreduced) -> bool:
        """See ports.Ledger."""
        state = SETTLED[type(event)]
        args = (event.trial_id, state, ev.type_of(event), ev.to_json(event))
        return self._on(campaign_id, "settle", *args)[0] == "ok"

    def correct(self, campaign_id: str, event: ev.Corrected) -> bool:
        """See ports.Ledger."""
        args = (event.trial_id, ev.to_json(event))
        return self._on(campaign_id, "correct", *args)[0] == "ok"

    def cancel(self, campaign_id: str, trial_id: int, *, by: str, reason: str) -> bool:
        """See ports.Ledger."""
        event = ev.Cancelled(trial_id=trial_id, by=by, reason=reason)
        return self._on(campaign_id, "cancel", trial_id, ev.to_json(event))[0] == "ok"

    def resolve(self, campaign_id: str, event: ev.Acquired | ev.Failed) -> bool:
        """See ports.Ledger."""
        salvaged = isinstance(event, ev.Acquired)
        state = TrialState.ACQUIRED if salvaged else event.then
        args = (event.trial_id, state, int(not salvaged), ev.type_of(event), ev.to_json(event))
        return self._on(campaign_id, "resolve", *args)[0] == "ok"

    # Orders

    def order(self, campaign_id: str, event: ev.CampaignEvent, expected: Sequence[str]) -> bool:
        """See ports.Ledger."""
        args = (
            ",".join(expected),
            STATUS_AFTER[type(event)],
            urgency_of(event),
            ev.type_of(event),
            ev.to_json(event),
        )
        return self._on(campaign_id, "order", *args)[0] == "ok"

    def status(self, campaign_id: str) -> str:
        """See ports.Ledger."""
        key = self._campaign_keys(campaign_id)[0]
        try:
            found: Any = self._redis.hmget(key, "status", "urgency")
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise LedgerUnavailable(f"the ledger's server does not answer: {error}") from error
        if found[0] is None:
            raise LedgerError(f"there is no campaign {campaign_id!r}; 'labwright list' shows all")
        return str(found[1] if found[0] == "finishing" else found[0])

    def end(self, campaign_id: str, event: ev.Ended, last_id: str) -> bool:
        """See ports.Ledger."""
        args = (campaign_id, event.status, last_id, ev.to_json(event))
        return self._on(campaign_id, "finish", *args)[0] == "ok"

    def step(self, campaign_id: str, stepped: ev.Stepped) -> None:
        """See ports.Ledger."""
        self._on(campaign_id, "step", stepped.upto, ev.to_json(stepped))

    def approve(self, campaign_id: str, approved: ev.Approved) -> bool:
        """See ports.Ledger."""
        args = (approved.trial_id, approved.revision, ev.to_json(approved))
        return self._on(campaign_id, "approve", *args)[0] == "ok"

    # Instruments

    def register(self, instrument: str, worker: str, envelope: Envelope) -> InstrumentRecord:
        """See ports.Ledger."""
        self._call("-", instrument, "register", worker, envelope.to_json())
        return self.instrument(instrument)

    def instrument(self, instrument: str) -> InstrumentRecord:
        """See ports.Ledger."""
        key = f"{self._lab}:i:{instrument}"
        found: Any = self._patiently(lambda: self._redis.hgetall(key))
        if not found:
            return InstrumentRecord(InstrumentState.READY)
        envelope = found.get("envelope")
        return InstrumentRecord(
            state=InstrumentState(found["state"]),
            holder=found.get("holder"),
            fence=int(found.get("fence", "0")),
            campaign_id=found.get("campaign"),
            trial_id=int(found["trial"]) if "trial" in found else None,
            until=float(found["until"]) if "until" in found else None,
            seen=float(found["seen"]) if "seen" in found else None,
            deadline=float(found["deadline"]) if "deadline" in found else None,
            envelope=Envelope.from_json(envelope) if envelope else None,
            reason=found.get("reason", ""),
        )

    def expire(self, instrument: str, dead: str | None = None) -> bool:
        """See ports.Ledger."""
        record = self.instrument(instrument)
        if record.campaign_id is None:
            return False
        args = (record.campaign_id, dead or "")  # it may be leased for another meanwhile
        return self._call(record.campaign_id, instrument, "expire", *args)[0] == "ok"

    def recover(
        self,
        instrument: str,
        worker: str,
        state: InstrumentState,
        *,
        floor: int,
        ttl_s: float,
        reason: str,
        dead: str | None = None,
    ) -> InstrumentRecord:
        """See ports.Ledger."""
        record = self.instrument(instrument)
        begins = state is InstrumentState.RECOVERING
        expected = "unknown,recovering" if begins else "recovering"
        event = ev.InstrumentChanged(state=state, reason=reason)
        args = (worker, state, floor, expected, ttl_s, dead or "", reason, ev.to_json(event))
        self._call(record.campaign_id or "-", instrument, "recover", *args)
        return self.instrument(instrument)

    def clear_fault(self, instrument: str, reason: str) -> bool:
        """See ports.Ledger."""
        record = self.instrument(instrument)
        event = ev.InstrumentChanged(state=InstrumentState.UNKNOWN, reason=reason)
        args = (reason, ev.to_json(event))
        return self._call(record.campaign_id or "-", instrument, "clear", *args)[0] == "ok"

    # Processes

    def set_process(self, pid: int, about: Mapping[str, Any] | None) -> None:
        """See ports.Ledger."""
        key, name = f"{self._lab}:processes", f"{platform.node()}:{pid}"
        if about is None:
            self._patiently(lambda: self._redis.hdel(key, name))
        else:
            text = json.dumps(dict(about))
            self._patiently(lambda: self._redis.hset(key, name, text))

    def processes(self) -> dict[int, dict[str, Any]]:
        """See ports.Ledger."""
        key = f"{self._lab}:processes"
        found: Any = self._patiently(lambda: self._redis.hgetall(key))
        here = f"{platform.node()}:"
        return {
            int(name.removeprefix(here)): json.loads(text)
            for name, text in found.items()
            if name.startswith(here)
        }

    # Notices

    def claim_notice(self, key: str, by: str, ttl_s: float) -> bool:
        """See ports.Ledger."""
        claim, lasts = f"{self._lab}:notice:{key}", max(1, int(ttl_s * 1000))

        def take() -> bool:
            if not self._redis.set(claim, by, nx=True, px=lasts):
                if self._redis.get(claim) != by or not self._redis.pexpire(claim, lasts):
                    return False
            # After the claim: whoever held it before has confirmed before it ended.
            return not self._redis.hexists(f"{self._lab}:notices", key)

        return self._patiently(take)

    def confirm_notice(self, key: str) -> None:
        """See ports.Ledger."""
        self._patiently(lambda: self._redis.hsetnx(f"{self._lab}:notices", key, str(time.time())))

    def is_confirmed(self, key: str) -> bool:
        """See ports.Ledger."""
        return self._patiently(lambda: bool(self._redis.hexists(f"{self._lab}:notices", key)))

    # The server itself

    def ping(self) -> None:
        """Pass when the server answers at once.

        Raises:
            LedgerUnavailable: it does not.
        """
        try:
            self._redis.ping()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise LedgerUnavailable(str(error)) from error
        except redis.ResponseError as error:
            if not _is_full(error):  # a server without room refuses even this, and is there
                raise LedgerError(f"the ledger's server refused: {error}") from error

    def check(self) -> None:
        """Pass when the server answers at once and would save what it is told.

        Raises:
            LedgerFull: it answers, and refuses to write.
            LedgerUnavailable: it does not answer.
        """
        try:
            # A write that needs room, and that changes nothing: there is no such list.
            self._redis.lpushx(f"{self._lab}:nothing", "")
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise LedgerUnavailable(str(error)) from error
        except redis.ResponseError as error:
            if _is_full(error):  # any other refusal is told by the operation that meets it
                raise _full(error) from error

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()


def _is_full(error: redis.ResponseError) -> bool:
    """True when the server refuses writes because its disk or its memory is full."""
    return isinstance(error, redis.OutOfMemoryError) or "MISCONF" in str(error)


def _full(error: redis.ResponseError) -> LedgerFull:
    return LedgerFull(f"the log cannot be saved: the server refuses to write ({error})")
