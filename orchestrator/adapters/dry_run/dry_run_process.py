"""The process of a dry run: it builds the instrument's fakes and walks plans on them.

It is sealed off before anything of the lab is imported: see ``sealed``.
"""

import logging
import sys
from pathlib import Path
from typing import Any

from orchestrator.adapters.dry_run.sealed import seal
from orchestrator.adapters.lab_code.lab_prints import lab_prints
from orchestrator.adapters.processes.answering_child import answer_questions
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, TableTwinSpec


def serve() -> None:
    """Answer questions until the parent ends."""
    answer_questions(load)


def load(campaign: str, instrument: str) -> Any:
    """What answers, for the two files as JSON.

    The question None is answered with what is wrong before any plan is looked at, a list of
    parameters with what the twin makes of them, and a tuple with what one trial would do: its
    parameters, where devices stand before, by dotted name (None: in the middle of their limits),
    and perhaps its source.
    """
    sys.stdout = lab_prints()
    tried = seal()
    from orchestrator.adapters.dry_run.fake_epics import put_fakes_in_place

    spec = InstrumentSpec.model_validate_json(instrument)
    values, time_scale = _served(spec)
    put_fakes_in_place(values)
    logging.getLogger("ophyd").setLevel(logging.CRITICAL)  # fakes lack much, which says nothing
    logging.getLogger("orchestrator").setLevel(logging.CRITICAL)  # the answers tell what is wrong
    from orchestrator.adapters.dry_run.trial_looker import Looker  # with fakes for what it imports

    looker = Looker(CampaignSpec.model_validate_json(campaign), spec, time_scale, tried)

    def answer(question: Any) -> dict[str, Any]:
        if question is None:
            return looker.start()
        return looker.on_twin(question) if isinstance(question, list) else looker.walk(*question)

    return answer


def _served(instrument: InstrumentSpec) -> tuple[dict[str, Any], float]:
    """What the PVs of the instrument's twin hold at first, and its lab seconds in one second."""
    from simulators.twins import UnknownTwin, own_pvs, twin_module

    twin = instrument.twin
    if twin is None:
        return {}, 1.0
    try:
        if isinstance(twin, TableTwinSpec):
            from simulators.table.instrument import TableTwin

            module: Any = TableTwin(Path(twin.table), Path(twin.header))
        else:
            module = twin_module(twin)
    except UnknownTwin:
        return {}, 1.0
    served = {name: pv.value for pv in own_pvs(module) for name in (pv.name, pv.alias) if name}
    return served, module.TIME_COMPRESSION if instrument.mode == "twin" else 1.0
