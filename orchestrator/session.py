"""A campaign in the lab's own session: IPython or a notebook, with the lab's RunEngine and devices.

It is on the same ledger as any other, and one whose session dies is continued by ``labwright run
--resume ID``. Where ``labwright run`` has a worker process, the session itself is the worker::

    with Campaign("campaign.yaml", namespace=globals()) as campaign:
        RE(campaign.plan(n=20))
"""

import atexit
import contextlib
import time
from collections.abc import Generator, Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orchestrator import campaign_files, launcher, service
from orchestrator.adapters.ledgers.embedded_server import prepare_folder
from orchestrator.adapters.reduction.reducer import checked
from orchestrator.domain.errors import (
    LabError,
    LedgerUnavailable,
    PlanFailed,
    ReductionError,
    Unusable,
)
from orchestrator.domain.realignment import REALIGNMENT_KEY
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, CampaignStatus
from orchestrator.domain.stopping import best_trials
from orchestrator.domain.summary import columns, rows
from orchestrator.domain.trial import ParameterValue, Trial
from orchestrator.keeper import Keeper
from orchestrator.ledger_access import check_lab, check_server, ledger_at, server_url
from orchestrator.resident import ByHand, Resident
from orchestrator.settings import Settings
from orchestrator.worker import Errand

if TYPE_CHECKING:
    import pandas as pd
    from bluesky.run_engine import RunEngine

    from orchestrator.adapters.engines.hosted_engine import HostedEngine


class ToMeasure(NamedTuple):
    """A trial for a person."""

    trial_id: int
    parameters: Mapping[str, ParameterValue]
    realigns: bool = False
    """True when nothing is measured: the instrument drifts, and is to be brought back. Then
    ``ingest`` without outcomes."""


class Campaign:
    """A campaign whose trials this process measures, until ``close``.

    Args:
        file: campaign file; None with the ``id`` of a campaign that is there already.
        id: of the campaign, which is continued when it is there already; None makes a new one.
        run_engine: the RunEngine that will be given ``plan()``; None takes ``RE`` of the
            namespace. Without any, trials can be measured by hand only.
        namespace: the session's ``globals()``, or devices by name. A device of the instrument file
            is taken from here; what is not here is made as the file says.
        data_dir: folder of everything that Labwright keeps (default: ./labwright-data).
        redis: address of an existing server, instead of one inside the data folder.
        hardware: True to allow a real instrument to move.
        trials: run exactly this many; replaces the budget and the stop rules of the file.
        seed: of the optimizer; None takes the file's.

    Raises:
        SpecError: the files are wrong; with every problem found.
        Unusable: somebody else works on the instrument, or there is no such campaign.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        id: str | None = None,
        run_engine: "RunEngine | None" = None,
        namespace: MutableMapping[str, Any] | None = None,
        data_dir: str | Path | None = None,
        redis: str | None = None,
        hardware: bool = False,
        trials: int | None = None,
        seed: int | None = None,
    ) -> None:
        given = {"data_dir": Path(data_dir) if data_dir is not None else None, "redis_url": redis}
        self._settings = Settings.from_environment(
            **{name: value for name, value in given.items() if value is not None}
        )
        if file is None and id is None:
            raise Unusable("name a campaign file, or give the id of a campaign")
        files = None
        if file is None:
            check_lab(self._settings)  # before a mistyped folder is made
        else:
            files = campaign_files.read_files(str(file))
            campaign_files.check_mode(files.instrument, hardware=hardware)
            spec = files.campaign.with_run_options(trials=trials, seed=seed)
            files = campaign_files.Files(spec, files.instrument)
        self._engine = _hosted(run_engine, namespace if namespace is not None else {})
        self._hand: ByHand | None = None
        self._to_measure: ToMeasure | None = None
        self._is_closed = False
        with contextlib.ExitStack() as begun:
            self._begin(begun, files, id, hardware=hardware)
            self._opened = begun.pop_all()
        atexit.register(self.close)

    def _begin(
        self,
        begun: contextlib.ExitStack,
        files: campaign_files.Files | None,
        id: str | None,
        *,
        hardware: bool,
    ) -> None:
        settings = self._settings
        check_server(settings)
        prepare_folder(settings.data_dir)
        self._keeper = begun.enter_context(contextlib.closing(Keeper(settings)))
        ledger = ledger_at(settings, server_url(settings))
        self._ledger = begun.enter_context(contextlib.closing(ledger))
        continued = id if files is None or (id and id in ledger.campaigns()) else None
        if continued is not None:
            state = service.state_of(ledger, service.find(ledger, continued))
            known = campaign_files.Files(
                CampaignSpec.from_data(state.spec), InstrumentSpec.from_data(state.instrument_spec)
            )
            if files is not None and files != known:
                raise Unusable(
                    f"campaign {continued!r} was opened with other files than these; leave them "
                    "out to continue it as it is, or give another id"
                )
            open_campaign = launcher.resumer(continued, hardware=hardware)
            files = known
        elif files is not None:
            id = launcher.checked_id(id) if id else None
            id = id or service.new_campaign_id(files.campaign.name, time.time())
            open_campaign = launcher.opener(files, id, settings.data_dir)
        else:
            raise Unusable("name a campaign file")
        self.id, self.spec, self.instrument = str(id), files.campaign, files.instrument
        resident = Resident(settings, ledger, self.instrument, self._engine)
        self._resident = begun.enter_context(contextlib.closing(resident))
        open_campaign(ledger)
        if not self.state.is_over:
            self._keeper.propose(self.id)
        if self._engine is not None:
            self._engine.guard()
            begun.callback(self._engine.unguard)

    def plan(self, n: int | None = None) -> Generator[Any, Any, int]:
        """A plan for the session's RunEngine that measures trials, each under the usual guard.

        It ends after ``n`` attempts (None for any number), or when the campaign is over. While a
        condition suspends the campaign it waits. Its value is the number of attempts.

        Raises:
            Unusable: there is no RunEngine, or nothing can be measured now; while it runs: the
                campaign waits for a person, or an attempt came to no orderly end.
            DeviceUnavailable: while it runs: a device is not there, or does not connect.
        """
        if self._engine is None:
            raise Unusable("which RunEngine? give run_engine=RE, or namespace=globals()")
        if n is not None and n < 1:
            raise Unusable(f"n is {n}; give a number of attempts above 0, or None for any number")
        if self._to_measure is not None:
            raise Unusable(f"trial {self._to_measure.trial_id} is being measured by hand")
        self._refuse_idle()
        self._engine.guard()
        return self._plan(self._engine, n)

    def _plan(self, engine: "HostedEngine", n: int | None) -> Generator[Any, Any, int]:
        errand = Errand(self.id, lambda: engine.goes_on and self._may_go_on(), n)
        yield from engine.serve(partial(self._resident.measure, errand, self._resident.executor))
        self._keeper.check()
        self._refuse_held()
        return errand.begun

    def suggest(self, timeout_s: float | None = None) -> ToMeasure:
        """The next trial, for a person to measure: the same one until ``ingest`` or ``give_up``.

        Args:
            timeout_s: longest wait for it; None waits as long as the optimizer thinks.

        Raises:
            Unusable: nothing can be measured now, or there was no trial in time.
            DeviceUnavailable: the instrument must be looked at first, and a device does not answer.
        """
        if self._to_measure is not None:
            return self._to_measure
        self._refuse_idle()
        if self._engine is not None and self._engine.is_at_work:
            raise Unusable("a plan of this campaign measures the trials")
        self._hand = hand = self._resident.by_hand(self.id, self._may_go_on)
        try:
            has_come = hand.wait(timeout_s)
        except BaseException:  # Ctrl-C, above all
            self._hand = None
            hand.executor.answer(PlanFailed("nobody waits for it any more", "given_up"))
            raise
        request = hand.executor.request
        if not has_come or request is None:
            self._end_hand(PlanFailed(f"it was not there within {timeout_s} s", "given_up"))
            self._refuse_idle()
            raise Unusable(f"there was no trial within {timeout_s} s")
        about = request.metadata
        realigns = REALIGNMENT_KEY in about
        self._to_measure = ToMeasure(about["trial_id"], about["parameters"], realigns)
        return self._to_measure

    def ingest(self, trial_id: int, outcomes: Mapping[str, Any]) -> str:
        """Hand in what was measured for the trial of ``suggest``; gives the trial's state.

        Args:
            trial_id: of that trial.
            outcomes: by name, each a value, ``(mean, sem)`` or ``(mean, sem, unit)``, as a reducer
                gives them: all that the campaign needs, and finite; none of a realignment.

        Raises:
            ReductionError: they cannot be used; nothing was recorded, so hand them in again.
            Unusable: this trial was not suggested here, or came to an end meanwhile.
        """
        trial = self._refuse_other(trial_id)
        if trial.realigns and outcomes:
            raise ReductionError(
                f"trial {trial_id} realigns the instrument, so its outcomes {[*outcomes]} are no "
                f"data: ingest({trial_id}, {{}})"
            )
        self._end_hand({} if trial.realigns else checked(self.spec, outcomes, "a person", {}))
        return str(self.state.trials[trial_id].state)

    def give_up(self, trial_id: int, reason: str) -> str:
        """Say that the trial of ``suggest`` was not measured, and why; gives the trial's state.

        It is suggested again while the campaign's policy has attempts left for it.

        Raises:
            Unusable: this trial was not suggested here, or came to an end meanwhile.
        """
        self._refuse_other(trial_id)
        self._end_hand(PlanFailed(reason, "given_up"))
        return str(self.state.trials[trial_id].state)

    def _refuse_other(self, trial_id: int) -> ToMeasure:
        """The trial that is being measured by hand, when it is this one."""
        if self._to_measure is None or self._to_measure.trial_id != trial_id:
            now = f"trial {self._to_measure.trial_id} is" if self._to_measure else "none is"
            raise Unusable(f"trial {trial_id} is not being measured by hand; {now}")
        if self._hand is None or self._hand.executor.request is None:
            self._to_measure = None
            raise Unusable(f"trial {trial_id} is {self.state.trials[trial_id].state} already")
        return self._to_measure

    def _end_hand(self, answer: Any) -> None:
        hand, self._hand, self._to_measure = self._hand, None, None
        if hand is not None:
            hand.end(answer)

    @property
    def state(self) -> CampaignState:
        """All that the ledger knows of the campaign now."""
        if self._is_closed:
            raise Unusable(f"it was closed; Campaign(id={self.id!r}) opens the campaign again")
        return service.state_of(self._ledger, self.id)

    @property
    def best(self) -> Trial | list[Trial] | None:
        """The best feasible trial, None while there is none; with several objectives a list."""
        found = best_trials(self.state, self.spec)
        if len(self.spec.objectives) > 1:
            return found
        return found[0] if found else None

    def results(self) -> "pd.DataFrame":
        """One row for each trial; the columns are those of ``labwright results``."""
        import pandas as pd

        state = self.state
        return pd.DataFrame(rows(state, self.spec), columns=columns(state, self.spec))

    def close(self) -> None:
        """End what was started, and leave the instrument. The campaign stays as it is.

        ``Campaign(id=...)`` or ``labwright run --resume`` continues it.
        """
        atexit.unregister(self.close)
        with contextlib.suppress(LabError):  # the next worker finds out
            self._end_hand(PlanFailed("the session was closed", "given_up"))
        self._is_closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Campaign {self.id} on {self.instrument.name}>"

    def _may_go_on(self) -> bool:
        """False when the campaign takes no further trial now."""
        try:
            self._keeper.check()
            status = self._ledger.status(self.id)
        except LedgerUnavailable:
            return True  # it may come back
        except Unusable:
            return False
        return status in (CampaignStatus.RUNNING, CampaignStatus.SUSPENDED)

    def _refuse_idle(self) -> None:
        """Pass when a trial may be measured.

        Raises:
            Unusable: the campaign is over or held, or its processes cannot work.
        """
        state = self.state
        self._keeper.check()
        if state.is_over:
            raise Unusable(f"campaign {self.id!r} is {state.status}: {state.stop_reason}")
        self._refuse_held()

    def _refuse_held(self) -> None:
        state = self.state
        if state.status in (CampaignStatus.PAUSED, CampaignStatus.NEEDS_PERSON):
            raise Unusable(
                f"campaign {self.id!r} is {state.status}: {state.waiting_for}; "
                f"'labwright resume {self.id}' lets it go on"
            )


def _hosted(
    run_engine: "RunEngine | None", namespace: MutableMapping[str, Any]
) -> "HostedEngine | None":
    """The session's RunEngine; None when it has none."""
    from bluesky.run_engine import RunEngine

    from orchestrator.adapters.engines.hosted_engine import HostedEngine

    engine = namespace.get("RE") if run_engine is None else run_engine
    if engine is None:
        return None
    if not isinstance(engine, RunEngine):
        raise Unusable(f"the RunEngine given is a {type(engine).__name__}, no RunEngine")
    return HostedEngine(engine, namespace)
