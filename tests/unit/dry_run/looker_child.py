"""A sealed process that looks at trials of many campaigns: one start for all tests."""

import json
from functools import partial

from orchestrator.adapters.dry_run import reducer_tryout
from orchestrator.adapters.dry_run.fake_epics import put_fakes_in_place
from orchestrator.adapters.dry_run.sealed import seal
from orchestrator.adapters.dry_run.trial_looker import Looker
from orchestrator.adapters.processes.answering_child import answer_questions
from orchestrator.adapters.walks import message_walk
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec


def serve() -> None:
    answer_questions(load)


def load():
    tried = seal()
    put_fakes_in_place({})
    message_walk.Walk.plan_s = 0.4
    reducer_tryout.REDUCE_S = 2.0  # time to import pandas
    message_walk.MOST_MESSAGES = 300
    return partial(answer, tried)


def answer(tried, question):
    campaign, instrument, parameters, before = question
    looker = Looker(
        CampaignSpec.model_validate_json(json.dumps(campaign)),
        InstrumentSpec.model_validate_json(json.dumps(instrument)),
        1.0,
        tried,
    )
    begun = looker.start()
    return begun if begun["problems"] else looker.walk(parameters, before)
