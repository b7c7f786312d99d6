"""Rehearsals by chance within the process of the test."""

from collections.abc import Sequence
from typing import Any

from orchestrator.adapters.optimizers.optimizer_process import OptimizerHere
from orchestrator.adapters.walks.twin_in_process import twin_in_process
from orchestrator.domain.stopping import StopRule
from orchestrator.rehearsal import Rehearsed
from orchestrator.simulated_campaign import Order, simulate


def here(orders: Sequence[Order], tell: Any) -> tuple[list[Rehearsed], list[str]]:
    """The campaigns, as ``in_processes`` carries them out."""
    done = []
    for order in orders:
        seed = order.campaign.optimizer.seed
        twin = twin_in_process(order.campaign, order.instrument, seed)
        *trials, end = simulate(order, OptimizerHere("sobol"), twin)
        done.append(Rehearsed(seed, trials, StopRule(end["rule"])))
        tell(f"seed {seed}")
    return done, []
