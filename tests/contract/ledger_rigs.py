"""A ledger together with what its machine of rules needs beside the port.

A rig reads the state by which its adapter decides, not the fold that it could be compared with,
and can be rolled back, as a server that lost its last writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import redis

from orchestrator.adapters.ledgers.memory_ledger import MemoryLedger
from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.domain import events as ev
from orchestrator.domain.samples import left
from orchestrator.ports import Clock, InstrumentRecord, InstrumentState, Ledger

INSTRUMENT = "stage"
CAMPAIGNS = ("scan-1", "scan-2")


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """What the ledger decides by; None when it was never written."""

    state: str
    attempts: int
    crashes: int
    grants: int
    """Leases so far."""
    fence: int | None
    failed: int | None
    """Fence of the last attempt that was reported as failed."""
    revision: int
    """How often its parameters were replaced."""
    question: str | None = None
    """What its plan waits to be told; None when it waits for nobody."""
    is_approved: bool = False
    """True when a person has let it start."""


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """What the ledger decides by."""

    status: str
    next_trial: int
    step: int
    """Trials up to this number need an approval."""
    left: Mapping[str, int]
    """Uses that samples have left."""
    queue: tuple[int, ...]
    trials: Mapping[int, StoredTrial]


@dataclass(frozen=True, slots=True)
class Look:
    """All that there is to see at one time."""

    campaigns: Mapping[str, StoredCampaign]
    instrument: InstrumentRecord
    news: Mapping[str, Sequence[ev.Event]]
    """The events of each campaign that came after the ids that were known."""


class Rig(Protocol):
    """One adapter under test."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def ledger(self) -> Ledger:
        """The adapter."""
        ...

    def look(self, known: Mapping[str, str]) -> Look:
        """What is stored, and what happened after the event ``known`` of each campaign."""
        ...

    def save(self) -> Any:
        """All that is stored, for ``load``."""
        ...

    def load(self, saved: Any) -> None:
        """Make all that is stored what it was at ``save``."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class RedisRig:
    """The real adapter on a real server; ``script`` replaces the one that it ships with."""

    name = "redis"

    def __init__(self, url: str, lab: str, script: str | None = None) -> None:
        self.ledger = RedisLedger(url, lab=lab, patience_s=5)
        if script is not None:
            self.ledger._script = self.ledger._redis.register_script(script)
        self._raw = redis.Redis.from_url(url)
        self._lab = f"{{{lab}}}"

    def look(self, known: Mapping[str, str]) -> Look:
        """See Rig."""
        with self.ledger._redis.pipeline(transaction=False) as pipe:  # one round trip for all
            pipe.hgetall(f"{self._lab}:i:{INSTRUMENT}")
            for name in CAMPAIGNS:
                key, log, queue, trials = self.ledger._campaign_keys(name)
                pipe.hgetall(key)
                pipe.lrange(queue, 0, -1)
                pipe.hgetall(trials)
                pipe.xrange(log, f"({known[name]}" if name in known else "-", "+")
            instrument, *answers = pipe.execute()
        found = dict(zip(CAMPAIGNS, zip(*[iter(answers)] * 4, strict=True), strict=True))
        return Look(
            {name: _stored(*about) for name, (*about, _) in found.items() if about[0]},
            _record(instrument),
            {
                name: [ev.from_fields(*entry) for entry in entries]
                for name, (*_, entries) in found.items()
            },
        )

    def save(self) -> dict[bytes, bytes]:
        """See Rig."""
        return {key: self._raw.dump(key) for key in self._keys()}  # type: ignore[misc]

    def load(self, saved: dict[bytes, bytes]) -> None:
        """See Rig."""
        self._clear()
        self.ledger._instrument_of.clear()  # as in a process that starts afterwards
        for key, value in saved.items():
            self._raw.restore(key, 0, value)

    def close(self) -> None:
        """See Rig."""
        self._clear()
        self._raw.close()
        self.ledger.close()

    def _keys(self) -> list[bytes]:
        return list(self._raw.scan_iter(f"{self._lab}:*", count=1000))

    def _clear(self) -> None:
        if keys := self._keys():
            self._raw.delete(*keys)


def _record(found: Mapping[str, str]) -> InstrumentRecord:
    return InstrumentRecord(
        state=InstrumentState(found.get("state", "ready")),
        holder=found.get("holder"),
        fence=int(found.get("fence", "0")),
        campaign_id=found.get("campaign"),
        trial_id=int(found["trial"]) if "trial" in found else None,
        until=float(found["until"]) if "until" in found else None,
    )


def _stored(
    campaign: Mapping[str, str], queue: list[str], trials: Mapping[str, str]
) -> StoredCampaign:
    return StoredCampaign(
        status=campaign["status"],
        next_trial=int(campaign["next"]),
        step=int(campaign["step"]),
        left={
            name.removeprefix("left:"): int(uses)
            for name, uses in campaign.items()
            if name.startswith("left:")
        },
        queue=tuple(map(int, queue)),
        trials={
            int(name): _stored_trial(name, trials)
            for name in (key.removesuffix(":state") for key in trials if key.endswith(":state"))
        },
    )


def _stored_trial(name: str, trials: Mapping[str, str]) -> StoredTrial:
    fence, failed = (trials.get(f"{name}:{field}") for field in ("fence", "failed"))
    counts = (int(trials.get(f"{name}:{one}", "0")) for one in ("attempts", "crashes", "grants"))
    return StoredTrial(
        trials[f"{name}:state"],
        *counts,
        fence=None if fence is None else int(fence),
        failed=None if failed is None else int(failed),
        revision=int(trials.get(f"{name}:revision", "0")),
        question=_open_question(name, trials),
        is_approved=f"{name}:approved" in trials,
    )


def _open_question(name: str, trials: Mapping[str, str]) -> str | None:
    waits = trials[f"{name}:state"] == "running" and f"{name}:answer" not in trials
    return trials.get(f"{name}:question") if waits else None


class MemoryRig:
    """The adapter that tests and simulations use."""

    name = "memory"

    def __init__(self, clock: Clock) -> None:
        self.ledger = MemoryLedger(clock)

    def look(self, known: Mapping[str, str]) -> Look:
        """See Rig."""
        stored = {
            name: StoredCampaign(
                status=str(campaign.state.status),
                next_trial=campaign.state.next_trial,
                step=campaign.state.step,
                left=left(campaign.state),
                queue=tuple(campaign.queue),
                trials={
                    number: StoredTrial(
                        state=str(trial.state),
                        attempts=trial.attempts,
                        crashes=trial.crashes,
                        grants=campaign.grants.get(number, 0),
                        fence=trial.fence,
                        failed=campaign.failed.get(number),
                        revision=trial.revision,
                        question=self._open_question(campaign, trial),
                        is_approved=trial.approved_by is not None,
                    )
                    for number, trial in campaign.state.trials.items()
                },
            )
            for name, campaign in self.ledger._campaigns.items()
        }
        news = {name: self.ledger.events(name, known.get(name, "0")) for name in stored}
        return Look(stored, self.ledger.instrument(INSTRUMENT), news)

    def _open_question(self, campaign: Any, trial: Any) -> str | None:
        waits = trial.state == "running" and trial.trial_id not in campaign.answers
        return campaign.asked.get(trial.trial_id) if waits else None

    def save(self) -> Any:
        """See Rig."""
        campaigns = {name: _copy(one) for name, one in self.ledger._campaigns.items()}
        return campaigns, dict(self.ledger._instruments), dict(self.ledger._cleared)

    def load(self, saved: Any) -> None:
        """See Rig."""
        campaigns, instruments, cleared = saved
        self.ledger._campaigns = {name: _copy(one) for name, one in campaigns.items()}
        self.ledger._instruments = dict(instruments)
        self.ledger._cleared = dict(cleared)

    def close(self) -> None:
        """See Rig."""


def _copy(campaign: Any) -> Any:
    """Events and states are frozen and may be shared."""
    containers = {
        name: value.copy()
        for name, value in vars(campaign).items()
        if isinstance(value, (list, dict))
    }
    return replace(campaign, **containers)
