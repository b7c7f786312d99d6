"""An Ax client that has been told what is known, and nothing else.

Nothing is kept between two of them, and Ax's files are never read or written, because floats do
not survive them exactly. Import it inside a function: it imports torch.
"""

from collections.abc import Sequence

from ax.api.client import Client
from ax.api.utils.instantiation.from_struct import experiment_from_struct
from ax.api.utils.structs import ExperimentStruct
from ax.core.arm import Arm
from ax.core.data import Data, DataRow
from ax.core.experiment import Experiment
from ax.core.generator_run import GeneratorRun
from ax.core.trial import Trial
from ax.generation_strategy.generation_strategy import GenerationStrategy

from orchestrator.adapters.optimizers.ax_problem import AxProblem
from orchestrator.domain.proposal import Observation


def told_client(
    problem: AxProblem,
    strategy: GenerationStrategy,
    seed: int,
    usable: Sequence[Observation],
) -> Client:
    """A client that has been told everything, ready to be asked once."""
    space = ExperimentStruct(problem.parameters(), problem.constraints(), None, None, None, None)
    experiment = experiment_from_struct(space)
    client = Client(random_seed=seed)
    client.set_experiment(experiment)
    client.configure_optimization(problem.objective(), problem.outcome_constraints())
    client.set_generation_strategy(strategy)
    tell(experiment, problem, usable)
    return client


def tell(experiment: Experiment, problem: AxProblem, usable: Sequence[Observation]) -> None:
    """Attach the trials in their order, then all data at once: the same bits as one by one."""
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
