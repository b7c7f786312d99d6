import asyncio
from pathlib import Path

import pytest
import yaml

import simulators.flow_chemistry
from simulators.flow_chemistry.instrument import RUN_TIME, FlowChemistry
from simulators.flow_chemistry.model import BOUNDS, SPECIES, concentrations
from simulators.pv import PutRefused

SETTINGS = {"FC:TAU": 0.8, "FC:EQ": 3.3, "FC:CONC": 0.31, "FC:TEMP": 77.7}


class Lab:
    """The instrument, driven without network and clock."""

    def __init__(self, seed: int = 0) -> None:
        self.slept: list[float] = []
        self.twin = FlowChemistry(seed, self._sleep)
        self.pvs = {pv.name: pv for pv in self.twin.pvs}

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def put(self, name: str, value: float) -> None:
        asyncio.run(self.pvs[name].accept(value))

    def set(self, settings: dict[str, float], step: float = 7.0) -> None:
        for prefix, value in settings.items():
            self.put(f"{prefix}:SP", value)
        while self.twin.step(step):
            pass

    def measure(self) -> list[float]:
        self.put("FC:HPLC:TRIGGER", 1)
        names = str(self.pvs["FC:HPLC:CHANNELS"].value).split(",")
        return [float(self.pvs[f"FC:HPLC:{name}"].value) for name in names]


def test_readback_ends_exactly_on_the_setpoint():
    lab = Lab()
    lab.put("FC:TEMP:SP", 120.0)
    lab.twin.step(60.0)
    assert lab.pvs["FC:TEMP:RB"].value == pytest.approx(120 - 90 / 2.718281828)
    lab.set({"FC:TEMP": 77.7})
    assert lab.pvs["FC:TEMP:RB"].value == 77.7


@pytest.mark.parametrize("value", [29.9, 120.1, float("nan"), float("inf")])
def test_out_of_limit_put_is_refused_and_changes_nothing(value):
    lab = Lab()
    with pytest.raises(PutRefused):
        lab.put("FC:TEMP:SP", value)
    assert lab.pvs["FC:TEMP:SP"].value == 30.0


def test_readback_is_read_only():
    with pytest.raises(PutRefused):
        Lab().put("FC:TEMP:RB", 50.0)


def test_stop_holds_on_the_way_and_does_nothing_at_rest():
    lab = Lab()
    lab.put("FC:TEMP:SP", 120.0)
    lab.twin.step(30.0)
    lab.put("FC:TEMP:STOP", 1)
    held = lab.pvs["FC:TEMP:RB"].value
    assert 30 < held < 120
    assert lab.pvs["FC:TEMP:SP"].value == held
    first = lab.measure()
    lab.put("FC:TEMP:STOP", 1)
    assert lab.measure() != first  # the second trigger, not the first again
    assert lab.pvs["FC:TEMP:STOP"].value == 0


def test_measurement_is_a_pure_function_of_seed_setpoints_and_trigger():
    slow, fast = Lab(), Lab()
    slow.set(SETTINGS, step=0.3)
    fast.set({**SETTINGS, "FC:TEMP": 40.0}, step=50.0)
    fast.measure()
    fast.set(dict(reversed(SETTINGS.items())), step=50.0)
    first, second = slow.measure(), slow.measure()
    assert [first, second] == [fast.measure(), fast.measure()]
    assert first != second
    slow.put("FC:EQ:SP", SETTINGS["FC:EQ"])  # also the same value starts the count again
    assert slow.measure() == first
    other = Lab(seed=1)
    other.set(SETTINGS)
    assert other.measure() != first


def test_measurement_is_the_model_within_one_percent_noise():
    lab = Lab()
    lab.set(SETTINGS)
    truth = concentrations(**dict(zip(BOUNDS, SETTINGS.values(), strict=True)))
    readings = [lab.measure() for _ in range(200)]
    for column, name in enumerate(SPECIES):
        ratios = [reading[column] / truth[name] for reading in readings]
        assert sum(ratios) / 200 == pytest.approx(1.0, abs=0.003)
        assert max(ratios) < 1.05
    assert min(reading[-1] for reading in readings) > 100
    assert set(lab.slept) == {RUN_TIME}


def test_second_put_waits_for_the_first_acquisition():
    finished: list[int] = []

    async def scenario() -> None:
        release = asyncio.Event()

        async def sleep(_: float) -> None:
            await release.wait()

        trigger = next(pv for pv in FlowChemistry(0, sleep).pvs if pv.name == "FC:HPLC:TRIGGER")

        async def acquire(number: int) -> None:
            await trigger.accept(1)
            finished.append(number)

        tasks = [asyncio.create_task(acquire(number)) for number in (1, 2)]
        await asyncio.sleep(0)
        assert trigger.value == 1
        release.set()
        await asyncio.gather(*tasks)
        assert trigger.value == 0

    asyncio.run(scenario())
    assert finished == [1, 2]


def test_pressure_can_be_made_to_rise():
    lab = Lab()
    assert lab.pvs["FC:PRESSURE:RB"].value == 3.0
    lab.put("FC:PRESSURE:FAULT", 6.0)
    assert lab.pvs["FC:PRESSURE:RB"].value == 9.0


def test_instrument_file_agrees_with_what_is_served():
    folder = Path(simulators.flow_chemistry.__file__).parent
    entries = yaml.safe_load((folder / "instrument.yaml").read_text())["devices"]
    pvs = Lab().pvs
    for entry in entries.values():
        if "limits" in entry:
            setpoint = pvs[f"{entry['prefix']}:SP"]
            assert tuple(entry["limits"]) == setpoint.limits
            assert entry.get("unit", "") == setpoint.unit
        else:
            assert f"{entry['prefix']}:TRIGGER" in pvs
