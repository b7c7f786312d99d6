"""Holds a plan that may not be repeated while a condition is tripped: it waits where it stands."""

import logging
import time
from collections.abc import Callable, Iterable

from bluesky.utils import Msg, MsgGenerator

from orchestrator.adapters.instruments.conditions import Action, Conditions
from orchestrator.domain.errors import PlanFailed

log = logging.getLogger(__name__)


LOOK_S = 0.1
"""Seconds between two looks at the conditions."""


class Hold:
    """What the conditions mean for one plan.

    Args:
        conditions: of the instrument; None for moves that belong to no attempt.
        longest_s: longest time that the plan may be held; None does not hold it.
        act: carries out what the conditions list.
    """

    def __init__(
        self,
        conditions: Conditions | None,
        longest_s: float | None,
        act: Callable[[Iterable[Action]], MsgGenerator[None]],
    ) -> None:
        self._conditions = conditions
        self._longest_s = longest_s
        self._act = act
        self._exposing = False

    def held(self) -> MsgGenerator[None]:
        """Wait while a condition is tripped: nothing is sent twice, and nothing is lost.

        Raises:
            PlanFailed: it stayed tripped for too long.
        """
        conditions, longest_s = self._conditions, self._longest_s
        if conditions is None or longest_s is None or (reason := conditions.tripped()) is None:
            return
        give_up = time.monotonic() + longest_s
        log.warning("the plan waits where it stands: %s", reason)
        while (reason := conditions.tripped()) is not None:
            yield from self._act(conditions.on_trip())
            if time.monotonic() > give_up:
                raise PlanFailed(f"{reason}; waited {longest_s:g} s in vain", "interrupted")
            yield Msg("sleep", None, LOOK_S)
        yield from self.resumed()
        log.warning("the plan goes on: all conditions are good again")

    def resumed(self) -> MsgGenerator[None]:
        """Do what is due after an earlier suspension, before the plan begins or goes on."""
        if self._conditions is not None:
            yield from self._act(self._conditions.on_resume())
            self._conditions.resumed()

    def begin_exposure(self) -> None:
        """From now on a trip spoils what is measured."""
        if self._longest_s is not None and self._conditions is not None and not self._exposing:
            self._conditions.watch()
            self._exposing = True

    def end_exposure(self) -> PlanFailed | None:
        """Why the exposure that ends here is no data; None when nothing tripped."""
        if not self._exposing or self._conditions is None:
            return None
        self._exposing = False
        self._conditions.tripped()
        trip = self._conditions.seen
        return None if trip is None else PlanFailed(trip, "interrupted")
