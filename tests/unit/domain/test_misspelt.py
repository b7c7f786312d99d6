import pytest

from orchestrator.domain.misspelt import misspelt_devices
from tests.unit.domain import builders


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("heter", "heater"),
        (["stge.x.y"], "stage.x.y"),
        ({"to": [1, "camra"]}, "camera"),
        ("heater", None),
        ("stage.z", None),
        ("fast", None),
        (3, None),
    ],
)
def test_a_text_that_comes_near_a_device_is_told(given, meant):
    campaign = builders.campaign(plan={"name": "count", "args": {"what": given}})
    found = list(misspelt_devices(campaign, builders.instrument()))
    assert [place for place, _ in found] == (["plan.args.what"] if meant else [])
    assert all(f"did you mean {meant!r}?" in text for _, text in found)
