"""How good a campaign's best trial is on the flow reactor: noiseless truth over the optimum.

The measurement is the twin's own, without Channel Access: the same noise, the same reducer.
"""

import statistics
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

TRIALS = 40


def measure(seeds: int = 10, trials: int = TRIALS) -> dict[str, Any]:
    """Median over seeds of truth at the best measured feasible trial, Ax beside Sobol."""
    jobs = [(method, seed, trials) for seed in range(seeds) for method in ("ax", "sobol")]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        fractions = list(pool.map(campaign, *zip(*jobs, strict=True)))
    rows = [
        {"method": method, "seed": seed, "fraction": fraction}
        for (method, seed, _), fraction in zip(jobs, fractions, strict=True)
    ]
    figures = {
        f"{method}_fraction_median": statistics.median(
            row["fraction"] for row in rows if row["method"] == method
        )
        for method in ("ax", "sobol")
    }
    bars = {"ax_fraction_median": [">=", 0.99]} if trials >= TRIALS else {}
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": bars}


def campaign(method: str, seed: int, trials: int) -> float:
    """Truth at the best trial over the optimum; 0 when no trial is feasible."""
    from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
    from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer
    from orchestrator.adapters.walks.twin_in_process import twin_in_process
    from orchestrator.campaign_files import read_files
    from orchestrator.domain.proposal import Knowledge, Observation, seed_for
    from simulators.flow_chemistry.model import OPTIMUM, evaluate

    files = read_files("flow-chemistry")
    spec = files.campaign.with_run_options(trials=trials, seed=seed)
    spec = replace_method(spec, method)
    twin = twin_in_process(spec, files.instrument, seed)
    optimizer = AxOptimizer() if method == "ax" else SobolOptimizer()
    known: list[Observation] = []
    for number in range(1, trials + 1):
        knowledge = Knowledge(spec, tuple(known), number, seed_for(seed, number), "0")
        parameters = optimizer.suggest(knowledge).parameters
        outcomes = twin.measure(parameters).reduction.outcomes
        known.append(Observation(number, parameters, outcomes, False))
    limit = spec.outcome_constraints[0].bound
    feasible = [one for one in known if one.outcomes and one.outcomes["e_factor"].mean <= limit]
    if not feasible:
        return 0.0
    best = max(feasible, key=lambda one: one.outcomes["sty"].mean if one.outcomes else 0.0)
    return float(evaluate(**best.parameters)["objective"]) / OPTIMUM["objective"]


def replace_method(spec: Any, method: str) -> Any:
    """The spec with another optimizer."""
    return spec.model_copy(
        update={"optimizer": spec.optimizer.model_copy(update={"method": method})}
    )
