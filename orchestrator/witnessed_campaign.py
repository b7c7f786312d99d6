"""One campaign on its twin, as ``simulated_campaign`` has it, with why trials gave nothing.

``python -m orchestrator.witnessed_campaign`` reads an Order and prints as that module does.
"""

import json
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

from orchestrator.adapters.child import die_with_parent, parent_from_environment
from orchestrator.adapters.optimizer_process import OptimizerHere
from orchestrator.adapters.twin_in_process import Measurement, Twin, twin_in_process
from orchestrator.domain.errors import PlanFailed, ReductionError
from orchestrator.domain.trial import ParameterValue
from orchestrator.ports import Optimizer
from orchestrator.simulated_campaign import Order, simulate


class Witness:
    """A twin that remembers why its last trial gave no valid outcomes."""

    def __init__(self, twin: Twin) -> None:
        self.noise = twin.noise
        self.why: str | None = None
        """In words; None when the trial gave them."""
        self._twin = twin

    def measure(self, parameters: Mapping[str, ParameterValue]) -> Measurement:
        """See Twin."""
        try:
            found = self._twin.measure(parameters)
        except (PlanFailed, ReductionError) as error:
            self.why = str(error)
            raise
        broken = found.reduction.invalid
        self.why = None if broken is None else f"not valid: {broken}"
        return found


def witnessed(order: Order, optimizer: Optimizer, twin: Twin) -> Iterator[dict[str, Any]]:
    """What ``simulate`` gives, with ``why`` in each trial: see Witness.why."""
    witness = Witness(twin)
    for line in simulate(order, optimizer, witness):
        yield line if "rule" in line else {**line, "why": witness.why}


def main() -> None:
    """Carry out the order, and print."""
    die_with_parent(parent_from_environment(), signal.SIGKILL)
    warnings.simplefilter("ignore")
    order = Order.from_json(sys.stdin.read())
    said = sys.stdout
    with redirect_stdout(sys.stderr):  # what a library or a lab's own code prints is no result
        twin = twin_in_process(order.campaign, order.instrument, order.campaign.optimizer.seed)
        optimizer = OptimizerHere(order.campaign.optimizer.method)
        for line in witnessed(order, optimizer, twin):
            said.write(json.dumps(line) + "\n")
            said.flush()


if __name__ == "__main__":
    main()
