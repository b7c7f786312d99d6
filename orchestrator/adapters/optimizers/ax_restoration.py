"""What is sought while no result keeps the outcome constraints: less violation of them.

Expected improvement of the objective is of no use then. BoTorch weighs it by the odds that a
point is feasible, and far from the feasible region these differ so little that proposals creep
along a constraint that already holds. Import this inside a function: it imports torch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from botorch.acquisition.input_constructors import (
    acqf_input_constructor,
    construct_inputs_qLogNEI,
)
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.models.model import Model
from torch import Tensor

Constraint = Callable[[Tensor], Tensor]
"""Of samples, with outcomes on the last axis; at most 0 where the constraint holds."""


class LessViolation(qLogNoisyExpectedImprovement):
    """Expected improvement of the sum of violations, each in standard deviations of its outcome."""


@acqf_input_constructor(LessViolation)
def _inputs(
    model: Model,
    training_data: Any,
    constraints: Sequence[Constraint],
    X_baseline: Tensor | None = None,  # noqa: N803  BoTorch names it, and all here
    X_pending: Tensor | None = None,  # noqa: N803
    **_: Any,
) -> dict[str, Any]:
    """Arguments of LessViolation, among those that Ax has for every acquisition function."""

    def kept(samples: Tensor, X: Tensor | None = None) -> Tensor:  # noqa: N803
        violations = [constraint(samples).clamp_min(0.0) for constraint in constraints]
        return -torch.stack(violations).sum(dim=0)

    return construct_inputs_qLogNEI(
        model=model,
        training_data=training_data,
        objective=GenericMCObjective(kept),
        X_baseline=X_baseline,
        X_pending=X_pending,
    )
