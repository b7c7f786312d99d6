"""Optimizers that are compared on the same problems, each behind the same three verbs.

Each starts as its own makers have it start, with as many initial points as they chose: only
problem, budget, seed, the noise of each trial and, with two objectives, the reference point of
the hypervolume are the same for all. None is told how large the noise is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from orchestrator.adapters.disk.code_digest import code_digest
from orchestrator.adapters.optimizers.optimizer_identity import optimizer_files
from orchestrator.domain.trial import ParameterValue
from tests.benchmarks.problems import Problem


class Optimizer(Protocol):
    """One campaign of an optimizer; the constructor takes a Problem and a seed."""

    def suggest(self) -> dict[str, ParameterValue]:
        """Parameters of the next trial."""
        ...

    def tell(self, point: Mapping[str, ParameterValue], outcomes: Mapping[str, float]) -> None:
        """What the trial that was suggested last has given."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """How an optimizer takes part."""

    place: str
    """Module here, and class in it."""
    packages: tuple[str, ...]
    """Whose versions decide what it proposes."""
    seeds: int
    """Seeds per problem, unless told otherwise."""
    cannot: frozenset[str] = frozenset()
    """Problems that it has no words for."""

    def versions(self) -> dict[str, str] | None:
        """Of its packages; None when one is not installed."""
        try:
            return {name: version(name) for name in self.packages}
        except PackageNotFoundError:
            return None

    def code(self) -> str | None:
        """A digest of Labwright's optimizer, which changes with its code; None for the others."""
        if not self.place.startswith("ours:"):
            return None
        return code_digest(optimizer_files("ax"))

    def start(self, problem: Problem, seed: int) -> Optimizer:
        """A fresh campaign."""
        module, _, name = self.place.partition(":")
        return getattr(import_module(f"{__name__}.{module}"), name)(problem, seed)


NO_LIMITS = frozenset({"gramacy"})
NO_CATEGORIES = frozenset({"mixed"})
BOTORCH = ("botorch", "gpytorch", "linear_operator", "torch")
METHODS: dict[str, Method] = {
    "ours": Method("ours:Sequential", ("ax-platform", *BOTORCH), 16),
    "ours-ahead": Method("ours:Ahead", ("ax-platform", *BOTORCH), 16),
    "ax": Method("ax_client:AxClient", ("ax-platform", *BOTORCH), 16),
    "baybe": Method(
        "baybe_campaign:BaybeCampaign", ("baybe", *BOTORCH), 16, frozenset({"gramacy"})
    ),
    "botorch": Method("botorch_loop:BotorchLoop", BOTORCH, 5),
    "xopt": Method("xopt_generator:XoptGenerator", ("xopt", *BOTORCH), 5, NO_CATEGORIES),
    "tpe": Method("optuna_study:OptunaStudy", ("optuna",), 5),
    "sobol": Method("sobol:Sobol", ("scipy",), 5),
}
