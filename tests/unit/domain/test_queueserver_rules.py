"""What an instrument file with a queueserver may not ask, for nobody would see to it."""

from typing import Any

import pytest

from orchestrator.domain.queueserver_rules import queueserver_findings
from orchestrator.domain.spec import InstrumentSpec
from orchestrator.domain.together import disagreements
from tests.unit.domain.builders import campaign, instrument

FILE: dict[str, Any] = {
    "name": "p99",
    "mode": "real",
    "queueserver": {"documents": "tcp://127.0.0.1:5578"},
    "devices": {"stage": {"unit": "mm", "limits": [-4, 4], "takeover": "person"}},
}


def found(**changes: Any) -> list[tuple[tuple[Any, ...], str]]:
    return list(queueserver_findings({**FILE, **changes}))


def test_units_and_limits_are_all_it_takes():
    assert found() == []


def test_the_defaults_that_the_ledger_has_of_a_file_ask_for_nothing():
    data = InstrumentSpec.from_data(FILE).to_data()
    assert data["devices"]["stage"]["readback"] == "encoder"
    assert list(queueserver_findings(data)) == []


@pytest.mark.parametrize("key", ["conditions", "budgets", "baseline", "suspenders", "park", "twin"])
def test_what_nobody_would_see_to_is_refused_by_its_key(key: str):
    ((place, message),) = found(**{key: ["something"]})
    assert place == (key,)
    assert message.startswith("means nothing with 'queueserver': ")


@pytest.mark.parametrize(("key", "value"), [("max_step", 0.1), ("readback", "none")])
def test_so_is_what_a_device_cannot_be_held_to(key: str, value: object):
    ((place, message),) = found(devices={"stage": {"unit": "mm", key: value}})
    assert place == ("devices", "stage", key)
    assert "give its unit, limits, axes, takeover and no more" in message


@pytest.mark.parametrize(
    ("plan", "has_queueserver", "message"),
    [
        ("count", True, "has a queueserver, which runs its own plans: write queueserver:NAME"),
        ("queueserver:count", False, "instrument 'bench' has no 'queueserver'"),
    ],
)
def test_plans_and_instruments_with_a_queueserver_belong_together(
    plan: str, has_queueserver: bool, message: str
):
    one = InstrumentSpec.from_data(FILE) if has_queueserver else instrument()
    told = {p.place: p.message for p in disagreements(campaign(plan={"name": plan}), one)}
    assert message in told["plan.name"]
