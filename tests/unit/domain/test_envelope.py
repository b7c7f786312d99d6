import math
import random
from dataclasses import replace

import pytest

from orchestrator.domain.envelope import Envelope, Limit, admit, device_settings, envelope_of
from orchestrator.domain.errors import EnvelopeError
from tests.unit.domain.builders import INSTRUMENT, campaign, instrument

ENVELOPE = Envelope(
    "bench",
    {"x": Limit(0.0, 1.0, "mm"), "y": Limit(-5.0, 5.0, "mm"), "heater": Limit(20, 200, "degC")},
    ("x + y <= 3", "y - x >= -4"),
)
ODD = [
    *(True, False, None, "0.5", "", b"1", [0.5], {"x": 1}, 1j),
    *(math.nan, math.inf, -math.inf, 10**400, -(10**400), 2**63, 5e-324, -0.0, 0, 1, 1e308),
]


def _allowed(settings: dict[str, object]) -> bool:
    """The rule, written a second time and as plainly as possible."""
    for name, value in settings.items():
        if type(value) not in (int, float) or value != value or value in (math.inf, -math.inf):
            return False
        if name not in ENVELOPE.limits:
            return False
        if value < ENVELOPE.limits[name].low or value > ENVELOPE.limits[name].high:
            return False
    x, y = settings.get("x"), settings.get("y")
    return x is None or y is None or (x + y <= 3 and y - x >= -4)


def _draw(rng: random.Random) -> dict[str, object]:
    names = rng.sample(["x", "y", "heater", "laser"], rng.choice([1, 1, 2, 2, 3]))
    edges = {"x": (0.0, 1.0), "y": (-5.0, 5.0), "heater": (20, 200), "laser": (0, 1)}
    settings: dict[str, object] = {}
    for name in names:
        low, high = edges[name]
        kind = rng.random()
        if kind < 0.1:
            settings[name] = rng.choice(ODD)
        elif kind < 0.3:
            outside = (math.nextafter(low, -math.inf), math.nextafter(high, math.inf))
            settings[name] = rng.choice([low, high, *outside])
        else:
            settings[name] = rng.uniform(low - 0.05, high + 0.05)
    return settings


def test_ten_thousand_settings_pass_exactly_when_they_may():
    rng, passed = random.Random(0), 0
    for _ in range(10_000):
        settings = _draw(rng)
        if _allowed(settings):
            ENVELOPE.check(settings)
            passed += 1
        else:
            with pytest.raises(EnvelopeError):
                ENVELOPE.check(settings)
    assert 2_000 < passed < 8_000


@pytest.mark.parametrize("value", ODD)
def test_each_odd_value_is_judged_and_told(value):
    is_good = value in (0, 1, 5e-324) and not isinstance(value, bool)
    told = ENVELOPE.breach("x", value)
    assert (told is None) is is_good
    assert is_good or told.startswith("x = ")


def test_every_breach_is_told():
    with pytest.raises(EnvelopeError) as error:
        ENVELOPE.check({"x": 2.0, "y": "up", "laser": 1.0, "heater": 25})
    assert error.value.violations == (
        "x = 2.0 is outside [0.0, 1.0] mm",
        "y = 'up' is no number",
        "laser has no limits in the instrument file, so it may not be set",
    )


def test_a_joint_limit_is_told_as_it_was_written():
    with pytest.raises(EnvelopeError, match=r"'x \+ y <= 3' does not hold"):
        ENVELOPE.check({"x": 1.0, "y": 2.5})


def test_limits_hold_for_the_parts_of_a_device():
    bench = envelope_of(instrument())
    assert bench.breach("stage.x", 10.0) is None
    assert bench.breach("stage.x", 10.1) is not None
    assert bench.breach("camera.exposure", 1.0) is not None
    assert bench.breach("stages", 1.0) is not None


def test_the_envelope_is_what_the_file_says():
    found = envelope_of(instrument(constraints=["stage + heater <= 205"]))
    assert found == Envelope(
        "bench",
        {"stage": Limit(0, 10, "mm"), "heater": Limit(20, 200, "degC")},
        ("stage + heater <= 205",),
    )


def test_the_digest_survives_json_and_the_order_of_devices():
    assert Envelope.from_json(ENVELOPE.to_json()) == ENVELOPE
    assert Envelope.from_json(ENVELOPE.to_json()).digest == ENVELOPE.digest
    turned = replace(ENVELOPE, limits=dict(reversed(ENVELOPE.limits.items())))
    assert turned.digest == ENVELOPE.digest
    whole = instrument(
        devices={
            **INSTRUMENT["devices"],
            "stage": {**INSTRUMENT["devices"]["stage"], "limits": [0, 10.0]},
        }
    )
    assert envelope_of(whole).digest == envelope_of(instrument()).digest


@pytest.mark.parametrize(
    "changed",
    [
        replace(ENVELOPE, instrument="other"),
        replace(ENVELOPE, limits={**ENVELOPE.limits, "x": Limit(0.0, math.nextafter(1, 2), "mm")}),
        replace(ENVELOPE, limits={**ENVELOPE.limits, "x": Limit(5e-324, 1.0, "mm")}),
        replace(ENVELOPE, limits={**ENVELOPE.limits, "x": Limit(0.0, 1.0, "um")}),
        replace(ENVELOPE, limits={**ENVELOPE.limits, "z": Limit(0.0, 1.0, "mm")}),
        replace(ENVELOPE, limits={"x": ENVELOPE.limits["x"]}),
        replace(ENVELOPE, constraints=ENVELOPE.constraints[:1]),
        replace(ENVELOPE, constraints=("x + y <= 3.0", "y - x >= -4")),
    ],
)
def test_any_change_changes_the_digest(changed):
    assert changed.digest != ENVELOPE.digest


SPEC = campaign(
    parameters={
        "x": {"device": "stage.x", "range": [0, 10], "unit": "mm"},
        "n": {"arg": "repeats", "range": [1, 5], "type": "int"},
        "gas": {"arg": "gas", "choices": ["N2", "Ar"]},
    },
    constraints={"parameters": ["x + n <= 12"]},
)
GOOD = {"x": 3.0, "n": 2, "gas": "Ar"}


def test_a_good_proposal_is_admitted():
    admit(SPEC, envelope_of(instrument()), GOOD)
    assert device_settings(SPEC, GOOD) == {"stage.x": 3.0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"x": 10.5}, "x = 10.5 is not what the campaign allows"),
        ({"x": True}, "x = True is not"),
        ({"x": math.nan}, "x = nan is not"),
        ({"x": 10**400}, "is not what the campaign allows"),
        ({"x": "3"}, "x = '3' is not"),
        ({"n": 2.0}, "n = 2.0 is not"),
        ({"n": 6}, "n = 6 is not"),
        ({"gas": "He"}, "gas = 'He' is not"),
        ({"gas": 1}, "gas = 1 is not"),
        ({"x": 9.0, "n": 4}, r"'x \+ n <= 12' does not hold"),
        ({"z": 1.0}, r"missing or unknown: \['z'\]"),
    ],
)
def test_a_bad_proposal_is_refused(change, told):
    with pytest.raises(EnvelopeError, match=told):
        admit(SPEC, None, {**GOOD, **change})


def test_a_missing_parameter_is_refused():
    with pytest.raises(EnvelopeError, match=r"missing or unknown: \['gas'\]"):
        admit(SPEC, None, {"x": 3.0, "n": 2})


def test_the_worker_may_allow_less_than_the_campaign():
    narrow = Envelope("bench", {"stage": Limit(0, 2, "mm")}, ())
    with pytest.raises(EnvelopeError, match=r"stage.x = 3.0 is outside \[0, 2\] mm"):
        admit(SPEC, narrow, GOOD)


def test_choices_are_told_apart_by_type():
    mixed = campaign(parameters={"m": {"arg": "m", "choices": [1, True, "1"]}})
    assert all(mixed.parameters["m"].admits(value) for value in (1, True, "1"))
    assert not any(mixed.parameters["m"].admits(value) for value in (1.0, False, "True"))
