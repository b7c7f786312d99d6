"""Model-based proposals with Ax: a Gaussian process, fitted afresh for each of them.

Nothing is kept between two suggestions: each builds its own Ax client, tells it all that is
known in the order of the trials, and asks it once. Ax's files are never read or written, because
floats do not survive them exactly.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

from orchestrator.adapters.optimizers.ax_problem import AxProblem
from orchestrator.adapters.optimizers.ax_ranges import narrowed
from orchestrator.adapters.optimizers.rounding import inside
from orchestrator.adapters.optimizers.sobol_optimizer import SobolOptimizer, satisfies
from orchestrator.adapters.optimizers.thinning import thinned
from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.proposal import Knowledge, Observation, Suggestion
from orchestrator.domain.spec import CampaignSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from ax.adapter.torch import TorchAdapter

FEWEST_TOLD = 2
"""A single result has no spread, so a model has nothing to scale outcomes by."""
PACKAGES = ("ax-platform", "botorch", "gpytorch", "linear_operator", "torch")
"""They decide a proposal to the last bit, together with the processor's vector instructions."""


@dataclass(frozen=True, slots=True)
class AxOptimizer:
    """Space-filling points first, then those that Ax expects to improve the objectives most."""

    tells_quality: bool = True
    """Whether the details say how good the model is, which takes a quarter of the time."""

    def suggest(self, known: Knowledge) -> Suggestion:
        """Parameters for the trial; ``source`` is model, or that of SobolOptimizer.

        Space-filling are the initial trials, those before there are two results, and those for
        which Ax finds nothing that was not tried before.

        Raises:
            OptimizerError: Ax gave none, and the message quotes it.
        """
        problem = AxProblem(known.spec)
        usable = [one for one in known.observations if problem.admits(one.parameters)]
        told = sum(one.outcomes is not None for one in usable)
        if known.trial_id <= known.spec.initial_trials or told < FEWEST_TOLD:
            return SobolOptimizer().suggest(known)
        with _calm():
            kept = thinned(known.spec, usable)
            answer = _answer(narrowed(known.spec), known.seed, kept)
            if answer is None:
                spread = SobolOptimizer().suggest(known)
                because = {"because": "Ax finds nothing untried"}
                return replace(spread, details={**spread.details, **because})
            counts = {
                "told_trials": told,
                "fitted_trials": sum(one.outcomes is not None for one in kept),
                "left_out": len(known.observations) - len(usable),
            }
            quality = _quality(answer, known) if self.tells_quality else {}
            details = {**answer.details, **counts, **quality}
            return Suggestion(answer.parameters, "model", details)

    def without_quality(self) -> "AxOptimizer":
        """One that proposes the same points."""
        return AxOptimizer(tells_quality=False)

    def warm_up(self) -> None:
        """Import what the first suggestion will need, which takes several seconds."""
        with _calm():
            pass


@contextmanager
def _calm() -> Iterator[None]:
    """Ax quiet, on one thread, and without a compiler.

    One thread, because that is no slower for models of this size and leaves a processor to the
    instrument. Without a compiler, because BoTorch would build a C++ kernel in the midst of the
    first multi-objective proposal: it can take minutes, its numbers depend on the machine, and
    a process killed meanwhile leaves a lock for which every later one waits.
    """
    with warnings.catch_warnings(record=True):
        _import_ax()
        # BoTorch draws again when it hears a warning of its own, so all are let through to it,
        # whatever filters the program or an import has set; the rest are dropped here.
        warnings.resetwarnings()
        warnings.simplefilter("always")
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _import_ax() -> None:
    warnings.simplefilter("ignore")
    import ax.api.client  # noqa: F401
    from ax.utils.common.logger import ROOT_STREAM_HANDLER
    from botorch.acquisition.multi_objective import logei

    from orchestrator.adapters.optimizers import ax_client, ax_models, model_quality  # noqa: F401

    ROOT_STREAM_HANDLER.setLevel(logging.ERROR)  # its warnings name what only AxProblem knows
    logei._load_attempted = True  # noqa: SLF001  BoTorch has no public switch


@dataclass(frozen=True)
class _Answer:
    parameters: Mapping[str, ParameterValue]
    problem: AxProblem
    adapter: "TorchAdapter"
    details: Mapping[str, object]


def _answer(spec: CampaignSpec, seed: int, usable: Sequence[Observation]) -> _Answer | None:
    """What Ax proposes; None when it finds nothing untried."""
    if spec.parameter_constraints:
        # Searching under constraints is ten times slower. The best point of the whole box is
        # the best under the constraints as well, when it keeps them.
        rules = spec.constraints.model_copy(update={"parameters": ()})
        free = spec.model_copy(update={"constraints": rules})
        anywhere = _asked(AxProblem(free), seed, usable)
        if anywhere is not None and satisfies(spec, anywhere.parameters):
            return anywhere
    return _asked(AxProblem(spec), seed, usable)


def _asked(problem: AxProblem, seed: int, usable: Sequence[Observation]) -> _Answer | None:
    from ax.exceptions.core import OptimizationComplete

    from orchestrator.adapters.optimizers.ax_client import told_client
    from orchestrator.adapters.optimizers.ax_models import generation_strategy, model_choice

    choice = model_choice(problem.spec, has_feasible=problem.has_feasible(usable))
    strategy = generation_strategy(problem.spec, choice, problem.exact(usable))
    try:
        client = told_client(problem, strategy, seed, usable)
        (arm,) = client.get_next_trials(1).values()
        point = inside(problem.spec, problem.point(arm))
    except OptimizationComplete:
        return None
    except OptimizerError:
        raise
    except Exception as error:  # Ax and torch share no base class, and none of theirs may leak
        message = f"Ax made no proposal: {type(error).__name__}: {problem.in_words(error)}"
        raise OptimizerError(message) from error
    details = {"method": "ax", **asdict(choice), **_software()}
    return _Answer(point, problem, cast("TorchAdapter", strategy.adapter), details)


def _software() -> dict[str, object]:
    import torch

    versions = {name: version(name) for name in PACKAGES}
    return {**versions, "cpu_capability": torch.backends.cpu.get_cpu_capability()}


def _quality(answer: _Answer, known: Knowledge) -> dict[str, object]:
    """How good the model is, and what a space-filling campaign would have reached by it."""
    from orchestrator.adapters.optimizers.model_quality import (
        cross_validation,
        space_filling_reference,
    )

    try:
        return {
            "cross_validation": cross_validation(answer.adapter, answer.problem),
            "space_filling": space_filling_reference(answer.adapter, answer.problem, known),
        }
    except Exception as error:  # a good proposal is not thrown away for the want of its quality
        return {"quality_unknown": f"{type(error).__name__}: {error}"}
