"""Model-based proposals with Ax: a Gaussian process, fitted afresh for each of them.

Nothing is kept between two suggestions: each builds its own Ax client, tells it all that is
known in the order of the trials, and asks it once. Ax's files are never read or written, because
floats do not survive them exactly.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orchestrator.adapters.sobol_optimizer import SobolOptimizer, satisfies
from orchestrator.domain.errors import OptimizerError
from orchestrator.domain.expressions import Inequality
from orchestrator.domain.proposal import Knowledge, Observation, Suggestion
from orchestrator.domain.spec import CampaignSpec, ParameterSpec
from orchestrator.domain.trial import ParameterValue

if TYPE_CHECKING:
    from ax.api.client import Client
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
    from ax.core.experiment import Experiment
    from ax.core.trial import Trial
    from ax.generation_strategy.generation_strategy import GenerationStrategy

FEWEST_TOLD = 2
"""A single result has no spread, so a model has nothing to scale outcomes by."""
PACKAGES = ("ax-platform", "botorch", "gpytorch", "linear_operator", "torch")
"""They decide a proposal to the last bit, together with the processor's vector instructions."""
ROUNDING = 1e-6
"""Breach of a range or constraint that is put down to rounding, in widths of the range."""
REPAIRS = 20
"""Rounds over all parameter constraints in which such breaches are mended."""
SHORT_WALK = {"n_burnin": 1000, "n_thinning": 4}
"""Steps before and between the points at which the search for a proposal starts, when parameter
constraints have them found by a random walk. BoTorch's 10,000 and 32 take seven seconds."""


class AxOptimizer:
    """Space-filling points first, then those that Ax expects to improve the objectives most."""

    def suggest(self, known: Knowledge) -> Suggestion:
        """Parameters for the trial; ``source`` is model, or that of SobolOptimizer.

        Space-filling are the initial trials, those before there are two results, and those for
        which Ax finds nothing that was not tried before.

        Raises:
            OptimizerError: Ax gave none, and the message quotes it.
        """
        problem = _Problem(known.spec)
        usable = [one for one in known.observations if problem.admits(one.parameters)]
        told = sum(one.outcomes is not None for one in usable)
        if known.trial_id <= known.spec.initial_trials or told < FEWEST_TOLD:
            return SobolOptimizer().suggest(known)
        with _calm():
            if known.spec.parameter_constraints:
                # Searching under constraints is ten times slower. The best point of the whole
                # box is the best under the constraints as well, when it keeps them.
                free = replace(known, spec=_unconstrained(known.spec))
                anywhere = _suggestion(_Problem(free.spec), free, usable)
                if anywhere.source == "model" and satisfies(known.spec, anywhere.parameters):
                    return anywhere
            return _suggestion(problem, known, usable)

    def warm_up(self) -> None:
        """Import what the first suggestion will need, which takes several seconds."""
        with _calm():
            pass


def _unconstrained(spec: CampaignSpec) -> CampaignSpec:
    rules = spec.constraints.model_copy(update={"parameters": ()})
    return spec.model_copy(update={"constraints": rules})


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

    ROOT_STREAM_HANDLER.setLevel(logging.ERROR)  # its warnings name what only _Problem knows
    logei._load_attempted = True  # noqa: SLF001  BoTorch has no public switch


def _suggestion(problem: "_Problem", known: Knowledge, usable: Sequence[Observation]) -> Suggestion:
    from ax.exceptions.core import OptimizationComplete

    try:
        client = _client(problem, known.seed, usable)
        (answer,) = client.get_next_trials(1).values()
        point = problem.point(answer)
    except OptimizationComplete:
        spread = SobolOptimizer().suggest(known)
        return replace(spread, details={**spread.details, "because": "Ax finds nothing untried"})
    except Exception as error:  # Ax and torch share no base class, and none of theirs may leak
        message = f"Ax made no proposal: {type(error).__name__}: {problem.in_words(error)}"
        raise OptimizerError(message) from error
    left_out = len(known.observations) - len(usable)
    return Suggestion(_inside(known.spec, point), "model", _details(left_out))


def _details(left_out: int) -> dict[str, object]:
    """Method and versions, and how many observations are outside the ranges or constraints."""
    import torch

    versions = {name: version(name) for name in PACKAGES}
    capability = torch.backends.cpu.get_cpu_capability()
    return {"method": "ax", **versions, "cpu_capability": capability, "left_out": left_out}


def _client(problem: "_Problem", seed: int, usable: Sequence[Observation]) -> "Client":
    """A client that has been told everything, ready to be asked once."""
    from ax.api.client import Client
    from ax.api.utils.instantiation.from_struct import experiment_from_struct
    from ax.api.utils.structs import ExperimentStruct

    space = ExperimentStruct(problem.parameters(), problem.constraints(), None, None, None, None)
    experiment = experiment_from_struct(space)
    client = Client(random_seed=seed)
    client.set_experiment(experiment)
    client.configure_optimization(problem.objective(), problem.outcome_constraints())
    client.set_generation_strategy(generation_strategy(problem.spec))
    _tell(experiment, problem, usable)
    return client


def generation_strategy(spec: CampaignSpec) -> "GenerationStrategy":
    """Which model and which acquisition function propose: Ax's own default, from the first call.

    The place to choose others: ``choose_generation_strategy`` takes ``model_config`` and
    ``botorch_acqf_class``.
    """
    from ax.api.utils.generation_strategy_dispatch import choose_generation_strategy
    from ax.api.utils.structs import GenerationStrategyDispatchStruct

    strategy = choose_generation_strategy(
        GenerationStrategyDispatchStruct(
            method="fast", initialization_budget=0, initialize_with_center=False
        )
    )
    (node,) = strategy.nodes_by_name.values()
    # Ax's own fallback is one object for the whole process and remembers earlier campaigns.
    node.fallback_specs = {}
    is_continuous = all(one.range and one.type == "float" for one in spec.parameters.values())
    if spec.parameter_constraints and is_continuous:
        options = {"optimizer_kwargs": {"options": SHORT_WALK}}
        node.generator_spec.generator_gen_kwargs["model_gen_options"] = options
    return strategy


def _tell(experiment: "Experiment", problem: "_Problem", usable: Sequence[Observation]) -> None:
    """Attach the trials in their order, then all data at once: the same bits as one by one."""
    from ax.core.arm import Arm
    from ax.core.data import Data, DataRow
    from ax.core.generator_run import GeneratorRun

    rows: list[DataRow] = []
    told: list[Trial] = []
    for one, results in zip(usable, problem.results(usable), strict=True):
        arm = Arm(parameters=problem.arm(one.parameters))
        trial = experiment.new_trial(GeneratorRun(arms=[arm]))
        trial.mark_running(no_runner_required=True)
        if one.outcomes is not None:
            told.append(trial)
        elif not one.pending:
            trial.mark_failed()  # to Ax, an abandoned trial is pending for ever
        name = trial.arms[0].name
        for key, (mean, sem) in results.items():
            if key in experiment.metrics:
                rows.append(DataRow(trial.index, name, key, key, mean, sem))
    experiment.attach_data(Data(data_rows=rows))
    for trial in told:
        trial.mark_completed()


class _Problem:
    """The campaign in Ax's terms.

    Parameters are called x000, x001 and outcomes y000, y001, in alphabetical order: Ax reads
    names such as ``beta`` as mathematics, and the order of keys in a file must not matter. An
    objective that is also constrained has a twin z000 with the same data, because Ax does not
    constrain objectives, and fails when only some of several have a threshold.
    """

    def __init__(self, spec: CampaignSpec) -> None:
        self.spec = spec
        self._x = {name: f"x{i:03}" for i, name in enumerate(sorted(spec.parameters))}
        self._y = {name: f"y{i:03}" for i, name in enumerate(sorted(spec.outcome_names))}
        self._z = {name: f"z{key[1:]}" for name, key in self._y.items() if name in spec.objectives}

    def parameters(self) -> list[Any]:
        return [_config(key, self.spec.parameters[name]) for name, key in self._x.items()]

    def constraints(self) -> list[str]:
        return [_expression(rule, self._x) for rule in self.spec.parameter_constraints]

    def objective(self) -> str:
        signs = {"maximize": "", "minimize": "-"}
        goals = self.spec.objectives
        return ", ".join(signs[goals[name].goal] + self._y[name] for name in self._z)

    def outcome_constraints(self) -> list[str]:
        """Of several bounds on one side of an outcome only the tightest, as Ax wants it."""
        keys = {**self._y, **self._z}
        bounds: dict[tuple[str, str], float] = {}
        joint: list[str] = []
        for rule in self.spec.outcome_constraints:
            terms = {name: factor for name, factor in rule.coefficients.items() if factor}
            if len(terms) > 1:
                joint.append(_expression(rule, keys))
                continue
            ((name, factor),) = terms.items()
            is_lower = (rule.comparison == ">=") == (factor > 0)
            if not self._is_pursued(name, is_lower=is_lower):
                side, tighter = (">=", max) if is_lower else ("<=", min)
                bound = rule.bound / factor
                known = bounds.get((keys[name], side), bound)
                bounds[keys[name], side] = tighter(bound, known)
        single = [f"{key} {side} {_exactly(bound)}" for (key, side), bound in bounds.items()]
        return [*single, *dict.fromkeys(joint)]

    def _is_pursued(self, name: str, *, is_lower: bool) -> bool:
        """True when to pursue the only objective is to pursue this bound on it."""
        goal = self.spec.objectives.get(name)
        if goal is None or len(self.spec.objectives) > 1:
            return False
        return is_lower == (goal.goal == "maximize")

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

    def in_words(self, error: Exception) -> str:
        """What Ax said, in the campaign's names."""
        text = str(error)
        for name, key in (*self._x.items(), *self._y.items(), *self._z.items()):
            text = text.replace(key, name)
        return text

    def results(self, usable: Sequence[Observation]) -> list[dict[str, tuple[float, float]]]:
        """For each observation, mean and standard error by Ax's name; empty when not told.

        An error that is unknown in one is NaN, for unknown, in all: Ax cannot mix the two.
        """
        told = [one.outcomes or {} for one in usable]
        vague = {name for outcomes in told for name, one in outcomes.items() if one.sem is None}
        results: list[dict[str, tuple[float, float]]] = []
        for outcomes in told:
            values = {
                name: (one.mean, math.nan if name in vague or one.sem is None else one.sem)
                for name, one in outcomes.items()
            }
            keys = [*self._y.items(), *self._z.items()]
            results.append({key: values[name] for name, key in keys if name in values})
        return results


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


def _inside(
    spec: CampaignSpec, point: Mapping[str, ParameterValue]
) -> Mapping[str, ParameterValue]:
    """The point itself, or, when Ax overstepped an edge by rounding, one just inside.

    Raises:
        OptimizerError: it lies outside by more than rounding explains.
    """
    inside = {name: _clipped(one, point[name]) for name, one in spec.parameters.items()}
    for rule in spec.parameter_constraints * REPAIRS:
        inside |= _pushed(spec, rule, inside)
    is_near = all(
        isinstance(value, str) or abs(value - float(point[name])) <= _rounding(spec, name)
        for name, value in inside.items()
    )
    if is_near and satisfies(spec, inside):
        return inside
    raise OptimizerError(f"Ax proposed a point outside the ranges or constraints: {dict(point)}")


def _rounding(spec: CampaignSpec, name: str) -> float:
    edges = spec.parameters[name].range
    return ROUNDING * (edges[1] - edges[0]) if edges else 0.0


def _clipped(parameter: ParameterSpec, value: ParameterValue) -> ParameterValue:
    if parameter.range is None or isinstance(value, str):
        return value
    lower, upper = parameter.range
    return value if lower <= value <= upper else type(value)(min(max(value, lower), upper))


def _pushed(
    spec: CampaignSpec, rule: Inequality, point: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """New values that bring the point across a broken constraint, the nearest in widths.

    Only floats move; empty when the constraint holds or has none.
    """
    numbers = {name: float(point[name]) for name in rule.coefficients}
    weights = {
        name: factor * _rounding(spec, name) ** 2
        for name, factor in rule.coefficients.items()
        if spec.parameters[name].type == "float"
    }
    norm = sum(rule.coefficients[name] * weight for name, weight in weights.items())
    if rule.holds(numbers) or norm == 0:
        return {}
    size = sum(abs(factor * numbers[name]) for name, factor in rule.coefficients.items())
    excess = rule.left(numbers) - rule.bound
    # A little too far, so that the sum's own rounding does not leave it outside again.
    push = 2 * excess + math.copysign(1e-15 * (size + abs(rule.bound)), excess)
    return {
        name: _clipped(spec.parameters[name], numbers[name] - push * weight / norm)
        for name, weight in weights.items()
    }
