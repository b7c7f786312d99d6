"""CPU seconds of one proposal by the model, by part, from 30 to 5,000 results; and its memory."""

import cProfile
import math
import pstats
import resource
import subprocess
import sys
import time
from typing import Any

from orchestrator.domain.proposal import Knowledge, Observation, seed_for
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import Outcome

CASES = ((2, 30), (6, 30), (2, 100), (6, 100), (2, 300), (6, 300), (6, 1000), (2, 5000), (6, 5000))
"""Parameters, and results that the model is told."""
PARTS = {
    "thin": ("thinning.py", "thinned"),
    "attach": ("ax_client.py", "tell"),
    "fit": ("surrogate.py", "fit"),
    "acquisition": ("acquisition.py", "optimize"),
    "honesty": ("ax_optimizer.py", "_quality"),
}
"""The functions whose time, with all that they call, is a part. The rest is Ax's own."""
IMPORT = """
import time
from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer
AxOptimizer().warm_up()
print(time.process_time())
"""


def measure(seeds: int = 3, trials: int = 5000) -> dict[str, Any]:
    """Each case ``seeds`` times; cases of more than ``trials`` results are left out."""
    from orchestrator.adapters.optimizers.ax_optimizer import AxOptimizer

    import_s = float(subprocess.check_output([sys.executable, "-c", IMPORT]))
    optimizer = AxOptimizer()
    optimizer.suggest(known(2, 30, seed=99))  # the first of a process pays for what it loads
    rows: list[dict[str, Any]] = []
    for dimension, told in CASES:
        if told <= trials:
            rows += [_row(optimizer, dimension, told, seed) for seed in range(seeds)]
    figures = {"import_s": import_s, **_medians(rows)}
    figures |= {f"rebuild_{told}_s": _rebuild_s(told) for told in (300, 5000) if told <= trials}
    figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bars = {"suggest_6_5000_s": 10, "rebuild_300_s": 1, "rebuild_5000_s": 10}
    kept = {key: ["<=", bar] for key, bar in bars.items() if key in figures}
    return {"seeds": seeds, "rows": rows, "figures": figures, "bars": kept}


def known(dimension: int, told: int, seed: int) -> Knowledge:
    """As after so many trials at space-filling points of a function with several valleys."""
    from orchestrator.adapters.optimizers.sobol_optimizer import space_filling_points

    spec = _spec(dimension, seed)
    observations = tuple(
        Observation(number, point, {"y": Outcome(_valleys(point))}, pending=False)
        for number, point in enumerate(space_filling_points(spec, told), 1)
    )
    return Knowledge(spec, observations, told + 1, seed_for(seed, told + 1), "0")


def _spec(dimension: int, seed: int) -> CampaignSpec:
    content = {
        "name": "suggest",
        "instrument": "soft",
        "plan": {"name": "p"},
        "parameters": {f"x{i}": {"device": f"x{i}", "range": [-5, 5]} for i in range(dimension)},
        "objectives": {"y": {"goal": "minimize"}},
        "budget": {"trials": 10_000},
        "optimizer": {"seed": seed},
    }
    return CampaignSpec.from_data(content)


def _valleys(point: Any) -> float:
    return sum((x - 1) ** 2 + 5 * math.sin(2 * x + i) for i, x in enumerate(point.values()))


def _row(optimizer: Any, dimension: int, told: int, seed: int) -> dict[str, Any]:
    question = known(dimension, told, seed)
    began = time.process_time()
    suggestion = optimizer.suggest(question)
    seconds = time.process_time() - began
    assert suggestion.source == "model"
    profile = cProfile.Profile(time.process_time)
    profile.runcall(optimizer.suggest, question)
    shares = _shares(pstats.Stats(profile))
    parts = {f"{part}_s": share * seconds for part, share in shares.items()}
    return {"dimension": dimension, "told": told, "seed": seed, "suggest_s": seconds, **parts}


def _shares(stats: Any) -> dict[str, float]:
    """Parts of the profiled time. Profiling slows Python more than the arithmetic beneath it."""
    spent = {
        (file.rsplit("/", 1)[-1], name): row[3] for (file, _, name), row in stats.stats.items()
    }
    shares = {part: spent.get(place, 0.0) / stats.total_tt for part, place in PARTS.items()}
    return {**shares, "rest": 1 - sum(shares.values())}


def _medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for dimension, told in dict.fromkeys((row["dimension"], row["told"]) for row in rows):
        same = [row for row in rows if (row["dimension"], row["told"]) == (dimension, told)]
        for key in ("suggest_s", *(f"{part}_s" for part in (*PARTS, "rest"))):
            name = f"{key[:-2]}_{dimension}_{told}_s"
            figures[name] = sorted(row[key] for row in same)[len(same) // 2]
    return figures


def _rebuild_s(told: int) -> float:
    """A client told of every result, which a proposal from thousands of them does not need."""
    from orchestrator.adapters.optimizers.ax_client import told_client
    from orchestrator.adapters.optimizers.ax_models import generation_strategy, model_choice
    from orchestrator.adapters.optimizers.ax_problem import AxProblem

    question = known(6, told, seed=0)
    began = time.process_time()
    problem = AxProblem(question.spec)
    strategy = generation_strategy(
        question.spec, model_choice(question.spec, has_feasible=True), ()
    )
    told_client(problem, strategy, question.seed, question.observations)
    return time.process_time() - began
