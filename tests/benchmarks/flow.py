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
    from orchestrator.adapters.ax_optimizer import AxOptimizer
    from orchestrator.adapters.sobol_optimizer import SobolOptimizer
    from orchestrator.adapters.spec_files import find_campaign, read_campaign
    from orchestrator.domain.proposal import Knowledge, Observation, seed_for
    from simulators.flow_chemistry.model import OPTIMUM, evaluate

    spec = read_campaign(find_campaign("flow-chemistry"))[0]
    spec = spec.with_run_options(trials=trials, seed=seed)
    spec = replace_method(spec, method)
    optimizer = AxOptimizer() if method == "ax" else SobolOptimizer()
    known: list[Observation] = []
    for number in range(1, trials + 1):
        knowledge = Knowledge(spec, tuple(known), number, seed_for(seed, number), "0")
        parameters = optimizer.suggest(knowledge).parameters
        known.append(Observation(number, parameters, measured(seed, parameters), False))
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


def measured(seed: int, parameters: Any) -> dict[str, Any]:
    """What the twin's HPLC and the plan's reducer make of these settings."""
    import pandas as pd

    from orchestrator.domain.trial import Outcome
    from plans.steady_state_sample import reduce_steady_state_sample
    from simulators.flow_chemistry.instrument import RELATIVE_NOISE
    from simulators.flow_chemistry.model import SPECIES, concentrations
    from simulators.noise import standard_normal

    outlet = concentrations(**parameters)
    # One number more than species: the twin draws one for the peak area as well.
    noise = standard_normal(seed, list(parameters.values()), 0, len(SPECIES) + 1)
    row: dict[str, float] = dict(parameters)
    for name, z in zip(SPECIES, noise, strict=False):
        row[f"hplc_{name}"] = float(outlet[name]) * (1.0 + RELATIVE_NOISE * z)

    class Run:
        start = {"detectors": ["hplc"]}

        def __getitem__(self, stream: str) -> pd.DataFrame:
            return pd.DataFrame([row])

    found = reduce_steady_state_sample([Run()])
    return {name: Outcome(mean, sem) for name, (mean, sem) in found.items()}
