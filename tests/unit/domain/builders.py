"""Small specs and logs: each test says only what it is about."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.domain import events as ev
from orchestrator.domain.spec import CampaignSpec, InstrumentSpec
from orchestrator.domain.state import CampaignState, fold
from orchestrator.domain.trial import Outcome, Trial, TrialState

CAMPAIGN: Mapping[str, Any] = {
    "name": "scan",
    "instrument": "bench",
    "plan": {"name": "count"},
    "parameters": {"x": {"device": "stage.x", "range": [0.0, 10.0], "unit": "mm"}},
    "objectives": {"y": {"goal": "maximize"}},
    "budget": {"trials": 10},
}

INSTRUMENT: Mapping[str, Any] = {
    "name": "bench",
    "mode": "twin",
    "devices": {
        "stage": {"class": "lab.Stage", "unit": "mm", "limits": [0, 10]},
        "heater": {"class": "lab.Heater", "unit": "degC", "limits": [20, 200]},
        "camera": {"class": "lab.Camera"},
    },
}


def campaign(**changes: Any) -> CampaignSpec:
    return CampaignSpec.from_data({**CAMPAIGN, **changes})


def instrument(**changes: Any) -> InstrumentSpec:
    return InstrumentSpec.from_data({**INSTRUMENT, **changes})


def log(*entries: tuple[float, ev.Event]) -> list[ev.Event]:
    """Events with their times, numbered as a ledger numbers them."""
    return [
        replace(event, id=f"{number:04d}-0", at=at) for number, (at, event) in enumerate(entries, 1)
    ]


def state_of(*happened: ev.Event) -> CampaignState:
    """The state after these events, one second apart."""
    return fold(log(*((float(second), event) for second, event in enumerate(happened))))


def state_with(trials: Mapping[int, Trial], **more: Any) -> CampaignState:
    """A campaign with these trials, whatever brought them there."""
    return CampaignState(
        trials=trials,
        live={n: one for n, one in trials.items() if not one.is_terminal},
        tally=Counter(one.state for one in trials.values()),
        measured=tuple(one for one in trials.values() if one.state is TrialState.MEASURED),
        **more,
    )


def opened(spec: CampaignSpec | None = None) -> ev.Opened:
    return ev.Opened(
        campaign_id="scan-1",
        instrument="bench",
        mode="twin",
        spec=(spec or campaign()).to_data(),
        instrument_spec=instrument().to_data(),
    )


def proposed(trial_id: int, **parameters: Any) -> ev.Proposed:
    return ev.Proposed(
        trial_id=trial_id,
        parameters=parameters or {"x": float(trial_id)},
        source="initial",
        basis="0",
        seed=trial_id,
    )


def leased(trial_id: int) -> ev.Leased:
    return ev.Leased(trial_id=trial_id, worker="host-1", fence=trial_id)


def started(trial_id: int, attempt: int = 1) -> ev.Started:
    return ev.Started(trial_id=trial_id, attempt=attempt, fence=trial_id)


def failed(trial_id: int, then: str = "queued", *, crash: bool = False) -> ev.Failed:
    return ev.Failed(trial_id=trial_id, reason="hang", message="", crash=crash, then=then)


def acquired(trial_id: int) -> ev.Acquired:
    return ev.Acquired(
        trial_id=trial_id, attempt=1, run_uid=f"uid-{trial_id}", documents="d", sha256="s"
    )


def measured(trial_id: int, **outcomes: float) -> ev.Measured:
    return ev.Measured(
        trial_id=trial_id, outcomes={name: Outcome(mean) for name, mean in outcomes.items()}
    )


def invalidated(trial_id: int, **outcomes: float) -> ev.Invalidated:
    return ev.Invalidated(
        trial_id=trial_id,
        outcomes={name: Outcome(mean) for name, mean in outcomes.items()},
        reason="y >= 0 (-1)",
    )


def unreduced(trial_id: int) -> ev.Unreduced:
    return ev.Unreduced(trial_id=trial_id, reason="the reducer raised KeyError")


def run(trial_id: int, last: ev.TrialEvent | None = None) -> list[ev.Event]:
    """A trial from its proposal to ``last``; without one it stays acquired."""
    whole = [proposed(trial_id), leased(trial_id), started(trial_id)]
    if isinstance(last, (ev.Failed, ev.LeaseExpired)):
        return [*whole, last]
    return [*whole, acquired(trial_id), *([last] if last else [])]


def results(*values: float) -> list[ev.Event]:
    """Trials 1, 2, … measured with these values of y."""
    return [event for n, y in enumerate(values, 1) for event in run(n, measured(n, y=y))]
