"""The twins' reference campaigns, and one run of one: what decides it, how it is judged."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orchestrator.adapters.disk.code_digest import code_digest
from orchestrator.adapters.lab_code.plan_catalog import reducer_identity
from orchestrator.adapters.optimizers.optimizer_identity import (
    optimizer_files,
    optimizer_versions,
    registered,
)
from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points
from orchestrator.adapters.walks.twin_in_process import Twin, model_of, twin_in_process
from orchestrator.campaign_files import read_files
from orchestrator.domain import lookahead, proposal
from orchestrator.domain.errors import OptimizerError, PlanFailed, ReductionError, Unusable
from orchestrator.domain.regret import Level, level_of
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.trial import ParameterValue
from orchestrator.simulated_campaign import Order
from simulators import detector, motor, noise, pv, setpoint
from simulators.twins import UnknownTwin, twin_package

SHARED = (detector, motor, noise, pv, setpoint)
"""Modules of the simulators that decide a measurement of every twin."""
ASKED = (lookahead, proposal)
"""Modules that decide when a proposal is asked for, and what it may know."""
PROBES = 3
"""So many of a campaign's first points are measured: what they give stands for the plan, its
reducer, and the code that obeys them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A twin's reference campaign, with what its results are judged by."""

    twin: str
    campaign: CampaignSpec
    """As the twin's file has it, without its rules to stop early."""
    instrument: InstrumentSpec
    best: float
    goal: str
    level: Level
    noise: str
    probes: Sequence[Mapping[str, str]]
    """Outcomes of the campaign's first points, to eight digits."""

    def method(self, optimizer: str | None) -> str:
        """Name of the optimizer; None takes the campaign's own.

        Raises:
            Unusable: no optimizer is registered under this name.
        """
        try:
            return registered(optimizer or self.campaign.optimizer.method).name
        except OptimizerError as error:
            raise Unusable(str(error)) from None


@dataclass(frozen=True, slots=True)
class Run:
    """One campaign of one optimizer."""

    reference: Reference
    method: str
    seed: int

    def order(self) -> Order:
        """What its process is told."""
        campaign = self.reference.campaign
        optimizer = campaign.optimizer.model_copy(update={"method": self.method, "seed": self.seed})
        changed = campaign.model_copy(update={"optimizer": optimizer})
        return Order(changed, self.reference.instrument, time.time(), with_truth=True)

    def key(self) -> dict[str, Any]:
        """What makes a result this run's: a change of any of it asks for another run."""
        reference = self.reference
        return {
            "twin": reference.twin,
            "optimizer": self.method,
            "seed": self.seed,
            "trials": reference.campaign.budget.trials,
            "versions": optimizer_versions(self.method),
            "code": f"{code_digest(_files(reference.twin, self.method))}-{_asked(reference)}",
        }


def reference(twin: str) -> Reference:
    """The reference campaign of a twin.

    Raises:
        Unusable: no such twin, or its model says not how to judge by a scalar ``objective``.
        SpecError: its campaign file is wrong.
    """
    model = model_of(twin)
    lower = {name: edges[0] for name, edges in model.BOUNDS.items()}
    if "objective" not in model.evaluate(**lower) or "objective" not in model.OPTIMUM:
        raise Unusable(f"the model of twin {twin!r} gives no 'objective' to measure regret by")
    try:
        level = level_of(model.OPTIMUM)
    except ValueError as error:
        raise Unusable(f"OPTIMUM of twin {twin!r}: {error}") from None
    files = read_files(twin)
    if files.campaign.samples is not None:
        raise Unusable(f"the campaign of twin {twin!r} has samples, which may end it early")
    campaign = files.campaign.with_run_options(trials=files.campaign.budget.trials)
    measured = twin_in_process(campaign, files.instrument, 0)
    return Reference(
        twin=twin,
        campaign=campaign,
        instrument=files.instrument,
        best=float(model.OPTIMUM["objective"]),
        goal=str(model.OPTIMUM["goal"]),
        level=level,
        noise=measured.noise,
        probes=[_probe(measured, one) for one in space_filling_points(campaign, PROBES)],
    )


def _probe(twin: Twin, parameters: Mapping[str, ParameterValue]) -> dict[str, str]:
    """What a measurement gives, to as many digits as other processors give too."""
    try:
        outcomes = twin.measure(parameters).reduction.outcomes
    except (PlanFailed, ReductionError) as error:
        return {"error": type(error).__name__}
    return {name: f"{one.mean:.8g} {one.sem or 0.0:.8g}" for name, one in outcomes.items()}


def _asked(reference: Reference) -> str:
    """Digest of what the two files say beside the defaults, of the reducer, and of the probes."""
    specs = (reference.campaign, reference.instrument)
    said = [json.loads(one.model_dump_json(by_alias=True, exclude_defaults=True)) for one in specs]
    text = json.dumps(
        [*said, reducer_identity(reference.campaign), reference.probes], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _files(twin: str, method: str) -> Iterator[Path]:
    """Files of the code that decides what is proposed and what is measured."""
    yield from optimizer_files(method)
    try:
        found = find_spec(twin_package(twin))
    except UnknownTwin as error:
        raise Unusable(str(error)) from None
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield from Path(folder).glob("*.py")
    yield from (Path(str(module.__file__)) for module in (*SHARED, *ASKED))
    yield Path(str(sys.modules[Order.__module__].__file__))
