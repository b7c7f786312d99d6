"""Keeps what a session needs beside itself: the ledger's server, proposals, calls for help."""

import threading

from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.app import notice_channels
from orchestrator.domain.errors import LabError
from orchestrator.domain.notices import followed_key
from orchestrator.ledger_access import server_url
from orchestrator.parts import add_campaign, add_notifier
from orchestrator.settings import Settings
from orchestrator.supervisor import Supervisor

STEP_S = 0.1
"""Seconds between two looks at the processes."""
ANSWER_S = 3.0
"""Longest wait for one answer of the ledger."""


class Keeper:
    """A supervisor in a thread of its own, which is never busy with anything else.

    The processes end with that thread, and with the session however it ends.

    Raises:
        LabError: the server cannot be started.
    """

    def __init__(self, settings: Settings) -> None:
        notice_channels(settings)  # better refused now than silent at night
        self._settings = settings
        self._ledger = RedisLedger(
            server_url(settings), lab=settings.lab, patience_s=0.5, timeout_s=ANSWER_S
        )
        embedded = settings.redis_url is None
        self._supervisor = Supervisor(
            settings.data_dir, self._ledger, embedded, frozen_s=settings.lease_s
        )
        self._error: LabError | None = None
        self._has_begun, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._thread.start()
        self._has_begun.wait()
        if self._error is not None:
            self.close()
            raise self._error

    def propose(self, campaign_id: str) -> None:
        """From now on, see that the campaign's trials are proposed."""
        self._supervisor.campaign_id = campaign_id
        add_campaign(self._supervisor, self._settings, campaign_id)
        if self._settings.calls_for_help:
            self._ledger.confirm_notice(followed_key(campaign_id))
            add_notifier(self._supervisor, self._settings)

    def check(self) -> None:
        """Pass while all is well.

        Raises:
            Unusable: a process cannot work here, or keeps dying; none is kept any more.
        """
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End what was started, the server last."""
        self._closed.set()
        self._thread.join()
        self._ledger.close()

    def _keep(self) -> None:
        try:
            while not self._closed.is_set():
                self._supervisor.step()
                self._has_begun.set()
                self._closed.wait(STEP_S)
        except LabError as error:
            self._error = error
        finally:
            self._has_begun.set()
            self._supervisor.stop()
