"""The process that owns one instrument: connect, recover, then one trial after another.

It is never trusted after an odd end: quiet, exit, and the supervisor starts a new one.
"""

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from orchestrator.adapters.processes.child import is_proven_dead
from orchestrator.campaign import execute
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.errors import LeaseLost, LedgerUnavailable, LogWentBack, Unusable
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.state import CampaignState, CampaignStatus, fold
from orchestrator.ports import InstrumentState, Lab
from orchestrator.recovery import recover
from orchestrator.storage import go_on_with_room, may_start

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""Longest wait for news of known campaigns; conditions are looked at again afterwards."""
BUSY_S = 60.0
"""Longest time that anything beside a plan may take, waiting for the ledger included."""
STANDBY_S = 0.05
"""Wait between looks whether the instrument is free."""
MOST_REDUCTIONS = 8
"""Measured trials that may wait for a slow reducer before the instrument does: of a reducer that
is wrong one hears only at its end."""
LOST = "a device is lost: "
"""How the reason begins for which a campaign waits for a device to come back."""
NO_CAMPAIGN_S = 0.1
"""Wait between looks for a first campaign."""


@dataclass
class Errand:
    """What a worker is there for that lives in a session of the lab: attempts at one campaign."""

    campaign_id: str
    goes_on: Callable[[], bool]
    """False when it is to take no further trial."""
    most: int | None = None
    """Attempts after which it has done enough; None for any number."""
    begun: int = 0
    """Attempts that it has made."""

    @property
    def is_done(self) -> bool:
        """True when no further attempt is to be made."""
        enough = self.most is not None and self.begun >= self.most
        return enough or not self.goes_on()


@dataclass
class Worker:
    """One incarnation of a worker; it ends with its process."""

    lab: Lab
    standby: bool = False
    """True to wait while another worker drives the instrument, instead of refusing to start."""
    stays: Callable[[], bool] = lambda: True
    """False when the server of its twin, found before the wait, has been replaced meanwhile."""
    errand: Errand | None = None
    """None for any trial of any campaign, until the process must be replaced."""
    _reducer: Executor = field(default_factory=lambda: ThreadPoolExecutor(1, "reducer"))
    _reductions: "deque[tuple[Future[None], float]]" = field(default_factory=deque)
    """Those under way or waiting, the oldest first, and the longest time that each may take."""
    _own: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """This worker's instrument file, as campaigns state theirs."""
    _is_barred: bool = False
    """True once this worker must not go on: the instrument needs recovery, or a result is stuck."""
    _states: dict[str, CampaignState] = field(default_factory=dict[str, CampaignState])

    def begin(self) -> None:
        """Become the instrument's driver, connect, publish the envelope, recover.

        Raises:
            Unusable: another worker drives the instrument.
            DeviceUnavailable: devices that do not connect, or do not come to rest.
        """
        lab = self.lab
        self._own = lab.instrument.to_data()
        self._await_turn()
        lab.announce(BUSY_S)
        lab.reducer.warm_up()
        lab.announce(BUSY_S + lab.instrument.adoption_s)
        lab.executor.connect()
        lab.ledger.register(lab.instrument.name, lab.worker, envelope_of(lab.instrument))
        recover(lab, self._beside, standby=self.standby)

    def _await_turn(self) -> None:
        lab = self.lab
        if lab.gate.enter():
            return
        if not self.standby:
            raise Unusable(f"another worker already drives instrument {lab.instrument.name!r}")
        lab.executor.load()
        while not lab.gate.enter():
            if not self.stays():
                raise SystemExit(0)  # the next one finds the new server
            lab.clock.sleep(STANDBY_S)

    def work(self) -> None:
        """Run trials, oldest campaign first, until the process must be replaced."""
        while self._is_fit():
            self.lab.announce(BUSY_S)
            try:
                if not self._drain():
                    self._wait()
            except LedgerUnavailable as error:
                log.warning("the ledger is out of reach, nothing new is started: %s", error)
            except LogWentBack as error:
                log.warning("the next worker looks at what is there: %s", error)
                self._is_barred = True
        self._await_devices()

    def leave(self) -> None:
        """What is not being reduced yet is left to the next worker."""
        self._reducer.shutdown(wait=False, cancel_futures=True)

    def finish(self) -> None:
        """Until the last trial is reduced, for a worker whose process lives on."""
        try:
            self._await_reductions()
        finally:
            self._reducer.shutdown()

    def _await_devices(self) -> None:
        """While a device is gone, suspend instead of failing; the next worker connects and goes on.

        A twin that was started anew has another address: nothing comes back at the old one.
        """
        lab = self.lab
        executor = lab.executor
        while executor.is_reusable and not executor.is_connected and self.stays():
            lab.announce(BUSY_S)
            with contextlib.suppress(LedgerUnavailable):
                for campaign_id in lab.ledger.open_campaigns(lab.instrument.name):
                    order = ev.Suspended(by="devices", reason=f"{LOST}{executor.observe()}")
                    lab.ledger.order(campaign_id, order, [CampaignStatus.RUNNING])
            lab.clock.sleep(IDLE_S)

    def _go_on_connected(self, state: CampaignState) -> None:
        """Let a campaign go on that waited for a lost device: this worker has connected all."""
        held = state.status is CampaignStatus.SUSPENDED
        if held and (state.waiting_for or "").startswith(LOST):
            order = ev.Resumed(by="devices", reason="all devices are connected again")
            self.lab.ledger.order(state.campaign_id, order, [CampaignStatus.SUSPENDED])

    def _is_fit(self) -> bool:
        """False after an odd end, or when a device has lost its connection."""
        executor = self.lab.executor
        has_work = self.errand is None or not self.errand.is_done
        return has_work and executor.is_reusable and executor.is_connected and not self._is_barred

    def _beside(self, longest_s: float, reduction: Callable[[], None]) -> None:
        """Reduce a trial while the next ones run, one after the other."""
        self._await_reductions(most=MOST_REDUCTIONS - 1)
        self._reductions.append((self._reducer.submit(reduction), longest_s))

    def _await_reductions(self, most: int = 0) -> None:
        """Until so many are left; what could not be recorded is left to the next worker."""
        while self._reductions and (len(self._reductions) > most or self._reductions[0][0].done()):
            oldest, longest_s = self._reductions.popleft()
            self.lab.announce(longest_s + BUSY_S)
            self._is_barred = True
            oldest.result()
            self._is_barred = False

    def _drain(self) -> bool:
        """Run what is queued; False when nothing was."""
        lab, has_worked = self.lab, False
        for campaign_id in self._campaigns():
            if campaign_id not in self._states:
                self._follow(campaign_id)
            if self._states[campaign_id].instrument_spec != self._own:
                continue  # opened for another file or mode: not for these devices
            spec = self._spec(campaign_id)
            while self._is_fit():
                lab.announce(BUSY_S)
                if not may_start(lab.ledger, campaign_id, lab.outbox.lack):
                    break
                if not execute(lab, campaign_id, spec, self._beside):
                    break
                has_worked = True
                if self.errand is not None:
                    self.errand.begun += 1
        return has_worked

    def _campaigns(self) -> list[str]:
        """The campaigns that it works for and that are not over, oldest first."""
        found = self.lab.ledger.open_campaigns(self.lab.instrument.name)
        return [one for one in found if self.errand is None or one == self.errand.campaign_id]

    def _wait(self) -> None:
        """Until something happens in a campaign; looks whether the instrument may still be used."""
        self._await_reductions(most=MOST_REDUCTIONS)
        lab, name = self.lab, self.lab.instrument.name
        self._take_over()
        record = lab.ledger.instrument(name)
        is_in_use = record.state in (InstrumentState.READY, InstrumentState.LEASED)
        # Without an envelope the ledger has lost even that this worker is there.
        self._is_barred = not is_in_use or record.envelope is None
        campaigns = self._campaigns()
        known = {one: self._states[one].last_id for one in campaigns if one in self._states}
        for campaign_id in campaigns:
            state = self._follow(campaign_id)
            go_on_with_room(lab.ledger, state, lab.outbox.lack)
            self._go_on_connected(state)
        if any(self._states[one].last_id != last for one, last in known.items()):
            return  # something happened since the queue was looked at
        if campaigns and not self._is_barred:
            lab.ledger.wait({one: self._states[one].last_id for one in campaigns}, IDLE_S)
        elif not campaigns:
            lab.clock.sleep(NO_CAMPAIGN_S)

    def _take_over(self) -> None:
        """Under a gate that allows it: recover what another worker has died over or let go of."""
        lab, name = self.lab, self.lab.instrument.name
        if not lab.gate.yields:
            return
        record = lab.ledger.instrument(name)
        if record.holder in (None, lab.worker):
            return
        if record.state is InstrumentState.LEASED:
            dead = record.holder if is_proven_dead(record.holder) else None
            lab.ledger.expire(name, dead=dead)
        if lab.ledger.instrument(name).state in (
            InstrumentState.UNKNOWN,
            InstrumentState.RECOVERING,
        ):
            with contextlib.suppress(LeaseLost):  # another standby was faster
                recover(lab, self._beside, standby=True)

    def _follow(self, campaign_id: str) -> CampaignState:
        known = self._states.get(campaign_id, CampaignState())
        state = fold(self.lab.ledger.events(campaign_id, known.last_id), known)
        self._states[campaign_id] = state
        return state

    def _spec(self, campaign_id: str) -> CampaignSpec:
        return CampaignSpec.from_data(self._states[campaign_id].spec)
