"""Choices as a model sees them, one column each, while the search takes one choice or another.

Ax's own encoding lets the search wander between the choices and rounds what it finds. The best
point between two of them is then measured at the nearest, which may be where the last trials
were, so that campaigns stayed with a wrong catalyst. Here the search knows the choices by number,
and only the model turns a number into columns. Import it inside a function: it imports torch.
"""

from functools import partial
from typing import Any

import torch
from ax.core.search_space import SearchSpaceDigest
from ax.generators.torch.botorch_modular.input_constructors.input_transforms import (
    input_transform_argparse,
)
from botorch.models import SingleTaskGP
from botorch.models.transforms.input import (
    ChainedInputTransform,
    Normalize,
    NumericToCategoricalEncoding,
    Round,
)
from botorch.utils.datasets import SupervisedDataset
from torch.nn.functional import one_hot


class ChoicesGP(SingleTaskGP):
    """BoTorch's Gaussian process, which need not hear from Ax what is a category."""

    @classmethod
    def construct_inputs(cls, training_data: SupervisedDataset, **_: object) -> dict[str, Any]:
        """Arguments of the model: Columns tells the choices apart."""
        return super().construct_inputs(training_data)


class Columns(ChainedInputTransform):
    """Numbers in widths of their range, and each choice of those without order as a column."""


@input_transform_argparse.register(Columns)
def _columns(
    _: type[Columns], search_space_digest: SearchSpaceDigest, **__: object
) -> dict[str, Any]:
    """Arguments of Columns: a transform for what there is of each kind."""
    space = search_space_digest
    dimension = len(space.feature_names)
    counts = {index: len(space.discrete_choices[index]) for index in space.categorical_features}
    numbers = [index for index in range(dimension) if index not in counts]
    bounds = torch.tensor(space.bounds, dtype=torch.double).T
    transforms: dict[str, Any] = {}
    if numbers:
        transforms["numbers"] = Normalize(dimension, indices=numbers, bounds=bounds)
    if counts:
        # The search begins between the choices, and goes on from the nearest.
        transforms["nearest"] = Round(integer_indices=[*counts], approximate=False)
        encoders = {index: partial(one_hot, num_classes=count) for index, count in counts.items()}
        transforms["choices"] = NumericToCategoricalEncoding(dimension, counts, encoders)
    return transforms
