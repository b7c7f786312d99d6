"""The campaign in Ax's terms: parameters, objectives, constraints and results."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.optimizers.sobol_optimizer import satisfies
from orchestrator.domain.expressions import Inequality
from orchestrator.domain.proposal import Observation
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig


Place = tuple[str, bool]
"""An outcome and a side of it: True for a bound from below."""


class AxProblem:
    """The campaign in Ax's terms.

    Parameters are called x000, x001 and outcomes y000, y001, in alphabetical order: Ax reads
    names such as ``beta`` as mathematics, and the order of keys in a file must not matter. An
    objective that is also constrained has a twin z000 with the same data, because Ax does not
    constrain objectives. But where each of several objectives has a bound on its good side,
    these are Ax's thresholds, beyond which hypervolume counts; it fails when only some have one.
    An objective to be minimized is told with its sign turned: where BoTorch seeks around the
    best, it forgets the sign, and would seek around the worst.
    """

    def __init__(self, spec: CampaignSpec) -> None:
        self.spec = spec
        self._x = {name: f"x{i:03}" for i, name in enumerate(sorted(spec.parameters))}
        self._y = {name: f"y{i:03}" for i, name in enumerate(sorted(spec.outcome_names))}
        self._z = {name: f"z{key[1:]}" for name, key in self._y.items() if name in spec.objectives}
        self._turned = {
            self._y[name] for name, one in spec.objectives.items() if one.goal == "minimize"
        }

    def parameters(self) -> list[Any]:
        """The parameters, as Ax's client takes them."""
        return [_config(key, self.spec.parameters[name]) for name, key in self._x.items()]

    def constraints(self) -> list[str]:
        """The parameter constraints."""
        return [_expression(rule, self._x) for rule in self.spec.parameter_constraints]

    def objective(self) -> str:
        """What to maximize, parted by commas."""
        return ", ".join(self._y[name] for name in self._z)

    def outcome_constraints(self) -> list[str]:
        """Of several bounds on one side of an outcome only the tightest, as Ax wants it."""
        keys = {**self._y, **self._z}
        pursued = self._pursued()
        texts: list[str] = []
        for (name, is_lower), bound in self._bounds().items():
            if (name, is_lower) not in pursued:
                texts.append(f"{keys[name]} {'>=' if is_lower else '<='} {_exactly(bound)}")
            elif len(pursued) > 1:
                key = self._y[name]
                texts.append(f"{key} >= {_exactly(bound * self.sign_of(key))}")
        joint = (one for one in self.spec.outcome_constraints if _place(one) is None)
        return [*texts, *dict.fromkeys(_expression(one, keys) for one in joint)]

    def has_feasible(self, usable: Sequence[Observation]) -> bool:
        """Whether a result keeps all constraints but those that are pursued as objectives."""
        pursued = self._pursued()
        rules = [rule for rule in self.spec.outcome_constraints if _place(rule) not in pursued]
        unknown = dict.fromkeys(self.spec.outcome_names, math.nan)
        told = (one.outcomes for one in usable if one.outcomes is not None)
        values = ({**unknown, **{key: one.mean for key, one in found.items()}} for found in told)
        return not rules or any(all(rule.holds(one) for rule in rules) for one in values)

    def _pursued(self) -> set[Place]:
        """Bounds that need not be told as constraints: good sides of objectives.

        To pursue the only objective is to pursue such a bound on it. Of several objectives they
        are the thresholds, when each has one.
        """
        sides = {(name, one.goal == "maximize") for name, one in self.spec.objectives.items()}
        return sides if len(sides) == 1 or sides <= self._bounds().keys() else set()

    def _bounds(self) -> dict[Place, float]:
        """The tightest bound at each place."""
        bounds: dict[Place, float] = {}
        for rule in self.spec.outcome_constraints:
            if (place := _place(rule)) is None:
                continue
            (factor,) = rule.coefficients.values()
            bound = rule.bound / factor
            known = bounds.get(place, bound)
            bounds[place] = max(bound, known) if place[1] else min(bound, known)
        return bounds

    def admits(self, parameters: Mapping[str, ParameterValue]) -> bool:
        """True when Ax can use the point; a person may have asked for one that it cannot."""
        try:
            self.arm(parameters)
        except (KeyError, ValueError):
            return False
        return satisfies(self.spec, parameters)

    def arm(self, parameters: Mapping[str, ParameterValue]) -> dict[str, Any]:
        """The point in Ax's terms.

        Raises:
            KeyError: a parameter is missing.
            ValueError: a value is none of the choices, or cannot be on the scale.
        """
        known = self.spec.parameters
        return {key: _encoded(known[name], parameters[name]) for name, key in self._x.items()}

    def point(self, arm: Mapping[str, Any]) -> dict[str, ParameterValue]:
        """The campaign's parameters at a point that Ax gave."""
        known = self.spec.parameters
        return {name: _decoded(one, arm[self._x[name]]) for name, one in known.items()}

    def name_of(self, key: str) -> str:
        """The campaign's name for an outcome of Ax's."""
        return next(name for name, own in self._y.items() if own[1:] == key[1:])

    def sign_of(self, key: str) -> int:
        """-1 for an outcome that Ax is told with its sign turned, else 1."""
        return -1 if key in self._turned else 1

    def in_words(self, error: Exception) -> str:
        """What Ax said, in the campaign's names."""
        text = str(error)
        for name, key in (*self._x.items(), *self._y.items(), *self._z.items()):
            text = text.replace(key, name)
        return text

    def exact(self, usable: Sequence[Observation]) -> set[str]:
        """Ax's names of the outcomes whose standard errors are all known."""
        least = _median_errors(usable)
        keys = [*self._y.items(), *self._z.items()]
        return {key for name, key in keys if not math.isnan(least.get(name, 0.0))}

    def results(self, usable: Sequence[Observation]) -> list[dict[str, tuple[float, float]]]:
        """For each observation, mean and standard error by Ax's name; empty when not told.

        An error that is unknown in one is NaN, for unknown, in all: Ax cannot mix the two. One
        below the median of all is told as the median: of a few readings it may be near 0 by
        chance, and a model that believes it must pass through that result.
        """
        least = _median_errors(usable)
        keys = [*self._y.items(), *self._z.items()]
        results: list[dict[str, tuple[float, float]]] = []
        for one in usable:
            outcomes = one.outcomes or {}
            own: dict[str, tuple[float, float]] = {}
            for name, key in keys:
                if name in outcomes:
                    known = not math.isnan(least[name])
                    sem = max(outcomes[name].sem or 0.0, least[name]) if known else math.nan
                    own[key] = (outcomes[name].mean * self.sign_of(key), sem)
            results.append(own)
        return results


def _median_errors(usable: Sequence[Observation]) -> dict[str, float]:
    """The median standard error by outcome; NaN when one is unknown."""
    errors: dict[str, list[float]] = {}
    for one in usable:
        for name, outcome in (one.outcomes or {}).items():
            errors.setdefault(name, []).append(math.nan if outcome.sem is None else outcome.sem)
    return {
        name: math.nan if any(map(math.isnan, found)) else statistics.median(found)
        for name, found in errors.items()
    }


def _place(rule: Inequality) -> Place | None:
    """What a rule on one outcome bounds; None for a rule on several."""
    if len(rule.coefficients) > 1:
        return None
    ((name, factor),) = rule.coefficients.items()
    return name, (rule.comparison == ">=") == (factor > 0)


def _expression(rule: Inequality, keys: Mapping[str, str]) -> str:
    """The inequality as Ax reads it."""
    terms = [f"{_exactly(factor)}*{keys[name]}" for name, factor in rule.coefficients.items()]
    return f"{' + '.join(terms)} {rule.comparison} {_exactly(rule.bound)}"


def _exactly(number: float) -> str:
    """The number as a fraction: Ax reads decimals with a rounding of its own."""
    return "/".join(map(str, number.as_integer_ratio()))


def _config(key: str, parameter: ParameterSpec) -> "RangeParameterConfig | ChoiceParameterConfig":
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if parameter.range is not None:
        return RangeParameterConfig(key, parameter.range, parameter.type, scaling=parameter.scale)
    codes = _codes(parameter)
    kind = "str" if isinstance(codes[0], str) else "float"
    return ChoiceParameterConfig(key, codes, kind, is_ordered=parameter.ordered)


def _codes(parameter: ParameterSpec) -> list[Any]:
    """The choices as Ax knows them: numbers when their distances mean something, else labels."""
    choices = parameter.choices or ()
    numbers = {float(one) for one in choices if type(one) in {int, float}}
    if parameter.ordered and len(numbers) == len(choices):
        return [float(one) for one in choices]
    return [f"c{i:03}" for i in range(len(choices))]


def _encoded(parameter: ParameterSpec, value: ParameterValue) -> float | int | str:
    if parameter.choices is not None:
        same = [type(one) is type(value) and one == value for one in parameter.choices]
        return _codes(parameter)[same.index(True)]
    number = float(value)
    if not math.isfinite(number) or (parameter.scale == "log" and number <= 0):
        raise ValueError(f"{value!r} is not on the scale")
    if parameter.type == "int" and not number.is_integer():
        raise ValueError(f"{value!r} is no whole number")
    return int(number) if parameter.type == "int" else number


def _decoded(parameter: ParameterSpec, value: Any) -> ParameterValue:
    if parameter.choices is not None:
        return parameter.choices[_codes(parameter).index(value)]
    return int(value) if parameter.type == "int" else float(value)
