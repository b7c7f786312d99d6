"""Which model is fitted, which acquisition function chooses, and how hard its best is sought.

Import it inside a function: it imports torch. Which choice serves which kind of campaign was
measured; the figures are in docs/explanations/performance.md.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast

from ax.adapter.registry import MBM_X_trans, Mixed_transforms, Y_trans
from ax.adapter.transforms.bilog_y import BilogY
from ax.api.utils.generation_strategy_dispatch import choose_generation_strategy
from ax.api.utils.structs import GenerationStrategyDispatchStruct
from ax.generation_strategy.generation_strategy import GenerationStrategy
from ax.generators.torch.botorch_modular.surrogate import SurrogateSpec
from ax.generators.torch.botorch_modular.utils import ModelConfig
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import MaternKernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.priors import GammaPrior, LogNormalPrior

from orchestrator.adapters.optimizers.ax_choices import ChoicesGP, Columns
from orchestrator.adapters.optimizers.ax_restoration import LessViolation
from orchestrator.domain.spec import CampaignSpec

SHORT_WALK = {"n_burnin": 1000, "n_thinning": 4}
"""Steps before and between the points at which the search for a proposal starts, when parameter
constraints have them found by a random walk. BoTorch's 10,000 and 32 take seven seconds."""
MOST_STEPS = 200
"""Steps of one search for the best value of the acquisition function, as in Ax; BoTorch's 2000
let a search under constraints go on for a minute."""
OUTCOME_TRANSFORMS = [one for one in Y_trans if one is not BilogY]
"""Ax's own but one, which bends constrained outcomes by their numbers, so that a change of unit
would change the proposals."""
ACQUISITIONS = {"qLogNEI": qLogNoisyExpectedImprovement, "less violation": LessViolation}


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """All that a proposal depends on beside the knowledge and the software."""

    model: str
    """matern; or rbf, where some parameters are choices or whole numbers."""
    acquisition: str
    """qLogNEI, less violation, or ax for what Ax dispatches to."""
    restarts: int
    """Places from which the best of the acquisition function is sought."""
    raw_samples: int
    """Points among which these places are picked. Without a float all combinations are weighed."""
    around_best: bool
    """Whether as many points again are drawn around the best that was measured."""


def model_choice(spec: CampaignSpec, *, has_feasible: bool) -> ModelChoice:
    """What serves this kind of campaign, with a feasible result to improve upon or without."""
    choice = _by_kind(spec)
    return choice if has_feasible else replace(choice, acquisition="less violation")


def _by_kind(spec: CampaignSpec) -> ModelChoice:
    if not is_continuous(spec):
        return ModelChoice("rbf", "ax", 4, 256, around_best=False)
    if len(spec.objectives) > 1:
        return ModelChoice("matern", "ax", 4, 256, around_best=False)
    return ModelChoice("matern", "qLogNEI", 4, 256, around_best=True)


def is_continuous(spec: CampaignSpec) -> bool:
    """True when every parameter is a float in a range."""
    return all(one.range and one.type == "float" for one in spec.parameters.values())


def generation_strategy(
    spec: CampaignSpec, choice: ModelChoice, exact: Collection[str]
) -> GenerationStrategy:
    """The choice in Ax's terms, from the first call; ``exact`` names outcomes of known error."""
    struct = GenerationStrategyDispatchStruct(
        method="custom", initialization_budget=0, initialize_with_center=False
    )
    if choice.model == "matern":
        with_errors, parameter_transforms = _matern(len(spec.parameters)), MBM_X_trans
    else:
        with_errors, parameter_transforms = _rbf(), Mixed_transforms
    without = _with_unknown_noise(with_errors)
    strategy = choose_generation_strategy(struct, without, ACQUISITIONS.get(choice.acquisition))
    (node,) = strategy.nodes_by_name.values()
    transforms = [*parameter_transforms, *OUTCOME_TRANSFORMS]
    node.generator_spec.generator_kwargs["transforms"] = transforms
    node.generator_spec.generator_kwargs["surrogate_spec"] = SurrogateSpec(
        model_configs=[without],
        metric_to_model_configs={key: [with_errors] for key in exact},
        allow_batched_models=False,  # a likelihood given as a class serves one outcome only
    )
    # Ax's own fallback is one object for the whole process and remembers earlier campaigns.
    node.fallback_specs = {}
    options: dict[str, Any] = {"num_restarts": choice.restarts, "raw_samples": choice.raw_samples}
    if is_continuous(spec):
        around_best = choice.around_best and not spec.parameter_constraints
        options["options"] = {"sample_around_best": around_best, "maxiter": MOST_STEPS}
        if spec.parameter_constraints:
            options["options"] |= SHORT_WALK
    node.generator_spec.generator_gen_kwargs["model_gen_options"] = {"optimizer_kwargs": options}
    return strategy


def _matern(dimension: int) -> ModelConfig:
    """A Matern-5/2 kernel with a length for each parameter and no scale of its own.

    Lengths are in widths of the range. Their prior Gamma(3, r) has its mode at
    exp(sqrt 2 - 3) sqrt d, that of Hvarfner et al. (2024), but a light tail: a length can not
    grow without bound, so that the model does not take a parameter for irrelevant after a few
    trials. Outcomes are standardized, so the scale is 1.
    """
    mode = math.exp(math.sqrt(2) - 3) * math.sqrt(dimension)
    return ModelConfig(
        name="matern",
        covar_module_class=MaternKernel,
        covar_module_options={
            "nu": 2.5,
            "ard_num_dims": dimension,
            "lengthscale_prior": GammaPrior(3.0, 2 / mode),
            "lengthscale_constraint": _at_least(2.5e-2, mode),
        },
    )


def _rbf() -> ModelConfig:
    """BoTorch's own kernel, with a length for each number and each choice.

    The prior of its lengths has a long tail: what was learned with one choice is expected of the
    others, until results speak against it.
    """
    return ModelConfig(name="rbf", botorch_model_class=ChoicesGP, input_transform_classes=[Columns])


def _with_unknown_noise(config: ModelConfig) -> ModelConfig:
    """The model of an outcome that is told without a standard error.

    The prior of its noise is wide: from a thousandth of the outcomes' variation to all of it,
    none is excluded by a few results.
    """
    return replace(
        config,
        likelihood_class=GaussianLikelihood,
        likelihood_options={
            "noise_prior": LogNormalPrior(-4.0, 3.0),
            "noise_constraint": _at_least(1e-6, math.exp(-5)),
        },
    )


def _at_least(least: float, start: float) -> GreaterThan:
    """A bound that the search for the best value keeps by itself, without a transform."""
    return GreaterThan(least, transform=cast("Any", None), initial_value=start)
