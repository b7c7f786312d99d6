"""One lab, whose startup is taken over by a worker of Labwright's own, or by a queueserver."""

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from orchestrator.adapters.documents.run_documents import read_documents
from orchestrator.adapters.execution.bluesky_executor import BlueskyExecutor
from orchestrator.adapters.queueserver.executor import QueueserverExecutor
from orchestrator.domain.envelope import envelope_of
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec, QueueserverSpec
from orchestrator.ports import Executor, PlanRequest
from tests.queueserver import beamline

STARTUP = beamline.HERE / "startup.py"
AXES = {name: {"limits": [-5, 5]} for name in ("x", "y")}


class Rig:
    """An executor, and attempts for it.

    Args:
        executor: not yet connected.
        plans: before the names of the lab's plans.
        data_dir: the data folder.
        witness: file with what the axes were told.
    """

    def __init__(self, executor: Executor, plans: str, data_dir: Path, witness: Path) -> None:
        self.executor = executor
        self.data_dir = data_dir
        self._plans = plans
        self._witness = witness
        self._attempts = 0
        self.order: str | None = None
        """What a person orders while a plan runs."""

    def request(
        self,
        plan: str = "measure",
        settings: dict[str, Any] | None = None,
        arguments: dict[str, Any] | None = None,
        args: dict[str, Any] | None = None,
        deadline_s: float = 60,
    ) -> PlanRequest:
        """A fresh attempt at one trial; without ``settings`` at x 1 and y 2."""
        self._attempts += 1
        parameters = {name: {"arg": name, "range": [-5, 5]} for name in arguments or {}}
        parameters |= {} if arguments else {"x": {"device": "x", "range": [-5, 5]}}
        spec = {
            "name": "test",
            "instrument": "instrument.yaml",
            "plan": {"name": f"{self._plans}{plan}", "args": args or {}},
            "reduce": {"call": "tests.queueserver.reducers.distance"},
            "parameters": parameters,
            "objectives": {"distance": {"goal": "minimize"}},
            "budget": {"trials": 3},
        }
        return PlanRequest(
            campaign=CampaignSpec.from_data(spec),
            settings=({} if arguments else {"x": 1.0, "y": 2.0}) if settings is None else settings,
            arguments=arguments or {},
            metadata={
                "campaign_id": "c",
                "trial_id": 7,
                "attempt": self._attempts,
                "fence": 100 + self._attempts,
                "instrument": "lab",
                "parameters": {"x": 1.0},
            },
            documents=f"runs/c/7-{self._attempts}.jsonl",
            deadline_s=deadline_s,
        )

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Run a fresh attempt; ``order`` stands for what people say meanwhile."""
        return self.executor.run(self.request(*args, **kwargs), lambda: self.order)

    def documents(self) -> list[tuple[str, dict[str, Any]]]:
        """What the last attempt has saved."""
        return list(read_documents(self.data_dir / f"runs/c/7-{self._attempts}.jsonl"))

    def commands(self) -> list[tuple[str, Any]]:
        """What the axes were told, oldest first; stops left out."""
        text = self._witness.read_text() if self._witness.exists() else ""
        told = [tuple(json.loads(line)) for line in text.splitlines()]
        return [one for one in told if one[0].startswith("set ")]


@contextmanager
def own_worker(folder: Path) -> Iterator[Rig]:
    """The startup runs in this process."""
    witness = folder / "witness.jsonl"
    os.environ["WITNESS"] = str(witness)
    spec = {
        "name": "lab",
        "mode": "twin",
        "from": [{"startup": str(STARTUP), "use": ["x", "y", "det"]}],
        "devices": AXES,
    }
    instrument = InstrumentSpec.from_data(spec)
    executor = BlueskyExecutor(instrument, envelope_of(instrument), folder, abort_grace_s=2)
    yield Rig(executor, "startup:", folder, witness)


@contextmanager
def queueserver(folder: Path, lab: "beamline.Beamline", **options: Any) -> Iterator[Rig]:
    """The startup runs in a queueserver's RE worker."""
    lab.witness.unlink(missing_ok=True)
    given = {**lab.spec.to_data(), **options}
    spec = {"name": "lab", "mode": "real", "queueserver": given, "devices": AXES}
    instrument = InstrumentSpec.from_data(spec)
    where, envelope = QueueserverSpec.from_data(given), envelope_of(instrument)
    executor = QueueserverExecutor(instrument, where, envelope, folder, abort_grace_s=5)
    with closing(executor):
        yield Rig(executor, "queueserver:", folder, lab.witness)
