"""Whether a campaign fits its plan and reducer, found out where the lab's modules can do no harm.

To find a plan is to import its module, and modules may do anything when they are imported.
"""

import sys
from typing import Any

from orchestrator.adapters.dry_run.sealed import ENVIRONMENT, seal
from orchestrator.adapters.lab_code.lab_prints import lab_prints
from orchestrator.adapters.processes.answering_child import (
    AnsweringChild,
    ChildDied,
    answer_questions,
)
from orchestrator.domain.errors import Problem
from orchestrator.domain.spec import CampaignSpec

IMPORT_S = 60.0
"""Seconds for the process to be there, and again for the import of plan and reducer."""


def sealed_plan_problems(campaign: CampaignSpec) -> list[Problem]:
    """As ``plan_catalog.plan_problems``, in a sealed process with fakes of EPICS signals."""
    text = campaign.model_dump_json(by_alias=True)
    child = AnsweringChild(__name__, text, environment=ENVIRONMENT)
    try:
        child.load(IMPORT_S)
        return child.ask(None, IMPORT_S)
    except ChildDied as error:
        return [Problem("plan.name", f"its process {error} while plan and reducer were imported")]
    except TimeoutError:
        return [Problem("plan.name", f"plan and reducer are not imported within {IMPORT_S:g} s")]
    finally:
        child.end()


def serve() -> None:
    """Answer until the parent ends."""
    answer_questions(load)


def load(campaign: str) -> Any:
    """What answers any question with the problems of this campaign."""
    sys.stdout = lab_prints()
    seal()
    from orchestrator.adapters.dry_run.fake_epics import put_fakes_in_place, watch_epics
    from orchestrator.adapters.lab_code.plan_catalog import plan_problems

    put_fakes_in_place({})
    watch_epics(lambda *_: None)  # the dry run tells of it
    spec = CampaignSpec.model_validate_json(campaign)
    return lambda _: plan_problems(spec)
