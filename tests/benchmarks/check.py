"""How long a dry run of 100 plans takes, once its process is up: shipped campaigns, 100 points."""

import time
from statistics import median
from typing import Any

from orchestrator.adapters.dry_run.sealed import ENVIRONMENT
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.adapters.processes.answering_child import AnsweringChild
from orchestrator.campaign_files import read_files

CAMPAIGNS = ("flow-chemistry", "kb-mirrors")
POINTS = 100


def measure(seeds: int = 3) -> dict[str, Any]:
    """Seconds of 100 plans of each campaign, and of the start of the process; medians."""
    rows = [{"campaign": name, **_dry_run(name)} for name in CAMPAIGNS for _ in range(seeds)]
    figures: dict[str, float] = {"start_s": median(row["start_s"] for row in rows)}
    for name in CAMPAIGNS:
        taken = median(row["plans_s"] for row in rows if row["campaign"] == name)
        figures[f"{name.replace('-', '_')}_s"] = taken
    bars = {key: ["<=", 5.0] for key in figures if key != "start_s"}
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def _dry_run(name: str) -> dict[str, float]:
    files = read_files(name)
    texts = [one.model_dump_json(by_alias=True) for one in (files.campaign, files.instrument)]
    points = space_filling_points(files.campaign, POINTS)
    began = time.monotonic()
    child = AnsweringChild(
        "orchestrator.adapters.dry_run.dry_run_process", *texts, environment=ENVIRONMENT
    )
    try:
        child.load(60)
        child.ask(None, 60)
        up = time.monotonic()
        answers = [child.ask((point, None), 60) for point in points]
        done = time.monotonic()
    finally:
        child.end()
    if problems := [answer["problems"] for answer in answers if answer["problems"]]:
        raise SystemExit(f"{name} does not pass its own check: {problems[0]}")
    return {"start_s": up - began, "plans_s": done - up}
