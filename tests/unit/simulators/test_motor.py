"""The motor record without network and clock: the test lets time pass, by steps."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from simulators.alarm import Severity, Status
from simulators.motor import Motor, travelled
from simulators.motor_fields import GO, MOVE, PAUSE, STOP
from simulators.pv import PutRefused


class Axis:
    """A motor, driven by its fields."""

    def __init__(self, **options: Any) -> None:
        self.orders = 0
        self.published: list[dict[str, Any]] = []
        usual = {
            "what": "stage",
            "limits": (-10.0, 10.0),
            "travel": (-30.0, 30.0),
            "velocity": 2.0,
            "ramp": 0.5,
        }
        self.motor = Motor(
            "M", unit="um", sleep=self._publish, on_set=self._ordered,
            **usual | options,
        )  # fmt: skip
        self.pvs = {pv.name.removeprefix("M."): pv for pv in self.motor.pvs}

    def __getattr__(self, field: str) -> Any:
        return self.pvs[field].value

    def put(self, field: str, value: float, step: float = 0.1, during: Any = None) -> int:
        """Put, and let time pass until the put is complete; the number of steps.

        `during`: called with the axis before each step; True leaves the put unfinished.
        """

        async def drive() -> int:
            put = asyncio.create_task(self.pvs[field].accept(value))
            steps = 0
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            while not put.done():
                if during is not None and during(self):
                    put.cancel()
                    break
                self.motor.step(step)
                steps += 1
                assert steps < 10_000
                await asyncio.sleep(0)
            if not put.cancelled() and put.done():
                put.result()
            return steps

        return asyncio.run(drive())

    def put_on_the_way(self, field: str, value: float, at: float) -> Callable[[Any], None]:
        """For `during`: one put, at the first step at which the readback has passed a position."""
        done: list[bool] = []

        def look(axis: "Axis") -> None:
            if at <= axis.RBV and not done:
                done.append(True)
                self._now(self.pvs[field].accept(value))

        return look

    @staticmethod
    def _now(awaitable: Any) -> None:
        """Run what does not wait to its end."""
        with pytest.raises(StopIteration):
            awaitable.send(None)

    async def _publish(self, _: float) -> None:
        self.published.append({name: pv.value for name, pv in self.pvs.items()})

    def _ordered(self) -> None:
        self.orders += 1


def test_a_move_ends_exactly_on_the_setpoint_however_time_passes():
    for step in (0.003, 0.1, 0.37, 50.0):
        axis = Axis()
        axis.put("VAL", 3.3, step)
        axis.put("VAL", -7.7, step)
        assert (axis.VAL, axis.RBV, axis.DRBV) == (-7.7, -7.7, -7.7)
        assert (axis.DMOV, axis.MOVN, axis.TDIR) == (1, 0, 0)
        assert axis.orders == 2


def test_takes_the_time_that_velocity_and_ramp_give():
    axis = Axis(velocity=2.0, ramp=0.5)
    assert axis.put("VAL", 4.0, step=0.01) == pytest.approx(250, abs=2)  # 4/2 + 0.5 s
    axis.put("VELO", 1.0)
    axis.put("ACCL", 1.0)
    assert axis.put("VAL", 0.0, step=0.01) == pytest.approx(500, abs=2)


@pytest.mark.parametrize("way", [0.0, 0.3, 1.0, 8.0])
def test_the_ramp_is_smooth_and_symmetric(way):
    times = [0.005 * n for n in range(1200)]
    gone = [travelled(way, 2.0, 0.5, t) for t in times]
    speeds = [(b - a) / 0.005 for a, b in zip(gone, gone[1:], strict=False)]
    assert gone == sorted(gone)
    assert gone[-1] == way
    assert max(speeds) <= 2.0 + 1e-9
    assert all(abs(b - a) <= 4.0 * 0.005 + 1e-9 for a, b in zip(speeds, speeds[1:], strict=False))
    end = way / 2.0 + 0.5 if way >= 1.0 else 2.0 * (way * 0.5 / 2.0) ** 0.5
    for part in (0.1, 0.3, 0.5):
        there, back = (travelled(way, 2.0, 0.5, t) for t in (part * end, (1 - part) * end))
        assert there + back == pytest.approx(way)


def test_clients_hear_of_every_move_also_of_none():
    axis = Axis()
    axis.put("VAL", 0.0)
    assert axis.published[-1]["DMOV"] == 0  # published before the end
    assert axis.published[-1]["MOVN"] == 1
    assert (axis.DMOV, axis.MOVN) == (1, 0)
    assert axis.orders == 1


@pytest.mark.parametrize("target", [10.001, -10.001, 1e9])
def test_a_target_outside_the_limits_moves_nothing(target):
    axis = Axis()
    axis.put("VAL", 4.0)
    axis.put("VAL", target)
    assert (axis.LVIO, axis.VAL, axis.RBV, axis.DMOV) == (1, 4.0, 4.0, 1)
    assert axis.published[-1]["DMOV"] == 0  # a client that waits for an end sees one
    assert axis.orders == 1
    axis.put("VAL", 10.0)
    assert (axis.LVIO, axis.RBV) == (0, 10.0)


def test_limits_by_a_fault_are_kept_like_its_own_and_are_not_shown():
    axis = Axis()
    axis.put("VAL", 4.0)
    axis.pvs["VAL"].narrowed = (-5.0, 3.0)
    for target in (4.5, -5.1):
        axis.put("VAL", target)
        assert (axis.LVIO, axis.VAL, axis.RBV, axis.DMOV, axis.MOVN) == (1, 4.0, 4.0, 1, 0)
        assert (axis.LLM, axis.HLM, axis.pvs["VAL"].limits) == (-10.0, 10.0, (-10.0, 10.0))
    assert axis.orders == 1
    axis.put("VAL", 3.5)  # back towards them
    assert (axis.LVIO, axis.RBV) == (0, 3.5)
    axis.pvs["VAL"].narrowed = None
    axis.put("VAL", 10.0)
    assert (axis.LVIO, axis.RBV) == (0, 10.0)


def test_a_target_that_is_no_number_is_refused():
    with pytest.raises(PutRefused):
        Axis().put("VAL", float("nan"))


def test_a_final_approach_beyond_the_limits_moves_nothing():
    axis = Axis(backlash=0.5)
    axis.put("VAL", -9.6)
    assert (axis.LVIO, axis.RBV) == (1, 0.0)
    axis.put("VAL", -9.5)
    assert (axis.LVIO, axis.RBV) == (0, -9.5)


def test_stop_on_the_way_holds_and_completes_the_put():
    axis = Axis()
    axis.put("VAL", 8.0, during=axis.put_on_the_way("STOP", 1, at=3.0))
    assert 3.0 <= axis.RBV < 4.0
    assert axis.VAL == axis.RBV == axis.DRBV
    assert (axis.STOP, axis.DMOV, axis.MOVN) == (0, 1, 0)
    axis.put("VAL", 8.0)
    assert axis.RBV == 8.0


def test_stop_at_rest_does_nothing():
    axis = Axis()
    axis.put("VAL", 2.0)
    axis.put("STOP", 1)
    axis.put("STOP", 0)
    assert (axis.STOP, axis.VAL, axis.RBV, axis.DMOV, axis.orders) == (0, 2.0, 2.0, 1, 1)
    axis.put("VAL", 3.0)
    assert axis.RBV == 3.0


def test_everyone_may_stop():
    assert [name for name, pv in Axis().pvs.items() if pv.anyone] == ["STOP"]


def test_a_new_target_on_the_way_takes_the_place_of_the_old():
    axis = Axis()

    async def scenario() -> None:
        first = asyncio.create_task(axis.pvs["VAL"].accept(8.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        while axis.RBV < 3.0:
            axis.motor.step(0.1)
        second = asyncio.create_task(axis.pvs["VAL"].accept(-1.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not first.done()
        while axis.motor.moving:
            axis.motor.step(0.1)
        await asyncio.gather(first, second)

    asyncio.run(scenario())
    assert (axis.RBV, axis.VAL, axis.DMOV) == (-1.0, -1.0, 1)


def test_backlash_is_taken_out_by_coming_from_one_side():
    axis = Axis(backlash=0.5)
    lowest: list[float] = []
    axis.put("VAL", 5.0, during=lambda a: lowest.append(a.RBV))
    assert lowest == sorted(lowest)
    axis.put("VAL", 2.0, step=0.02, during=lambda a: lowest.append(a.RBV))
    assert min(lowest[-100:]) == pytest.approx(1.5, abs=0.02)
    assert lowest[-1] < 2.0  # the last piece of the way leads upwards
    assert axis.RBV == 2.0


def test_without_a_final_approach_it_stops_where_it_comes_to():
    axis = Axis(backlash=0.5)
    axis.put("VAL", 5.0)
    axis.put("BDST", 0.0)
    way: list[float] = []
    axis.put("VAL", 2.0, step=0.02, during=lambda a: way.append(a.RBV))
    assert way == sorted(way, reverse=True)
    assert axis.RBV == 2.0


def test_set_redefines_the_position_and_shifts_the_limits():
    axis = Axis()
    axis.put("VAL", 3.0)
    axis.put("SET", 1)
    axis.put("VAL", 0.1)
    axis.put("SET", 0)
    assert (axis.VAL, axis.RBV, axis.DRBV) == (0.1, 0.1, 3.0)
    assert axis.OFF == pytest.approx(-2.9)
    assert axis.HLM == pytest.approx(7.1)
    assert axis.pvs["VAL"].limits == (axis.LLM, axis.HLM)
    axis.put("VAL", 1.1)
    assert axis.RBV == 1.1
    assert axis.DRBV == pytest.approx(4.0)
    assert axis.orders == 3


def test_limits_can_be_moved_within_the_travel():
    axis = Axis()
    axis.put("HLM", 25.0)
    assert axis.pvs["VAL"].limits == (-10.0, 25.0)
    axis.put("VAL", 20.0)
    assert axis.RBV == 20.0
    with pytest.raises(PutRefused):
        axis.put("HLM", 31.0)
    axis.put("HLM", 5.0)
    axis.put("VAL", 20.0)
    assert (axis.LVIO, axis.RBV) == (1, 20.0)
    axis.put("VAL", 15.0)  # back towards the limits is a way out
    assert (axis.LVIO, axis.RBV) == (0, 15.0)


def test_limits_of_0_are_none_and_moves_end_at_the_switches():
    axis = Axis()
    axis.put("LLM", 0.0)
    axis.put("HLM", 0.0)
    assert axis.pvs["VAL"].limits == (0.0, 0.0)  # clients check nothing then
    axis.put("VAL", 20.0)
    assert (axis.LVIO, axis.VAL, axis.RBV) == (0, 20.0, 20.0)
    assert (axis.SEVR, axis.STAT) == (Severity.MAJOR, Status.HIGH)  # by .HLSV, though it moves
    for target, switch, alarm in ((-99.0, -30.0, Status.LOW), (99.0, 30.0, Status.HIGH)):
        axis.put("VAL", target)
        assert (axis.LVIO, axis.RBV, axis.DRBV, axis.DMOV) == (0, switch, switch, 1)
        assert (axis.SEVR, axis.STAT) == (Severity.MAJOR, alarm)
    axis.put("HLM", 5.0)
    axis.put("VAL", 6.0)
    axis.put("VAL", -1.0)
    assert (axis.LVIO, axis.RBV) == (1, 6.0)


def test_limits_of_0_on_the_dial_are_none_wherever_positions_are_counted_from():
    axis = Axis()
    for field in ("LLM", "HLM"):
        axis.put(field, 0.0)
    for offset in (0.1, 0.7, -2.9):
        axis.put("OFF", offset)
        axis.put("VAL", 20.0)
        assert (axis.LVIO, axis.RBV) == (0, 20.0)
    axis.put("VAL", 99.0)
    assert (axis.LVIO, axis.DRBV) == (0, 30.0)


def test_limits_by_a_fault_hold_where_there_are_no_others():
    axis = Axis(limits=(0.0, 0.0))
    axis.pvs["VAL"].narrowed = (-5.0, 3.0)
    axis.put("VAL", 4.0)
    assert (axis.LVIO, axis.RBV) == (1, 0.0)


def test_limit_switches():
    axis = Axis(limits=(-30.0, 30.0))
    axis.put("VAL", 30.0)
    assert (axis.HLS, axis.LLS) == (1, 0)
    axis.put("VAL", -30.0)
    assert (axis.HLS, axis.LLS) == (0, 1)
    axis.put("VAL", 0.0)
    assert (axis.HLS, axis.LLS) == (0, 0)


def test_positions_are_in_alarm_at_a_limit_switch():
    axis = Axis(limits=(-30.0, 30.0))
    assert (axis.HLSV, axis.SEVR, axis.STAT) == (Severity.MAJOR, 0, 0)
    for target, alarm in (
        (30.0, (Severity.MAJOR, Status.HIGH)),
        (-30.0, (Severity.MAJOR, Status.LOW)),
        (29.0, (Severity.NO_ALARM, Status.NO_ALARM)),
    ):
        axis.put("VAL", target)
        assert (axis.SEVR, axis.STAT) == alarm
        for position in ("VAL", "RBV", "DRBV"):
            assert (axis.pvs[position].severity, axis.pvs[position].status) == alarm


def test_limits_that_exclude_where_it_stands_are_an_alarm_until_it_is_back():
    axis = Axis()
    axis.put("VAL", 4.0)
    axis.pvs["RBV"].changed = False
    axis.put("HLM", 3.0)
    assert (axis.SEVR, axis.STAT) == (Severity.MAJOR, Status.HIGH)
    assert axis.pvs["RBV"].changed  # clients hear of it, though the position is the same
    axis.put("VAL", 3.0)
    assert axis.SEVR == Severity.NO_ALARM
    axis.put("LLM", 3.5)
    assert (axis.SEVR, axis.STAT) == (Severity.MAJOR, Status.LOW)


@pytest.mark.parametrize("button", ["HOMF", "HOMR"])
def test_home_is_dial_zero(button):
    axis = Axis()
    axis.put("OFF", 1.5)
    axis.put("VAL", 5.0)
    axis.put(button, 1)
    assert (axis.DRBV, axis.RBV, axis.VAL) == (0.0, 1.5, 1.5)
    assert axis.pvs[button].value == 0
    axis.put("VAL", 5.0)
    axis.put(button, 1, during=axis.put_on_the_way("STOP", 1, at=0.0))
    assert axis.pvs[button].value == 0
    assert axis.RBV > 4.0


def test_pause_holds_until_go_and_stop_gives_up():
    axis = Axis()
    look = axis.put_on_the_way("SPMG", PAUSE, at=3.0)
    seen: list[float] = []

    def during(each: Axis) -> None:
        look(each)
        assert (each.MOVN, each.DMOV) == (int(each.motor.moving), 0)
        if each.SPMG == PAUSE:
            assert each.MOVN == 0
            seen.append(each.RBV)
            if len(seen) == 5:
                Axis._now(each.pvs["SPMG"].accept(GO))

    axis.put("VAL", 8.0, during=during)
    assert len(set(seen)) == 1
    assert axis.RBV == 8.0
    assert not axis.MOVN
    axis.put("VAL", 0.0)
    axis.put("VAL", 8.0, during=axis.put_on_the_way("SPMG", STOP, at=3.0))
    assert 3.0 <= axis.RBV < 4.0
    assert (axis.VAL, axis.DMOV, axis.SPMG) == (axis.RBV, 1, STOP)


@pytest.mark.parametrize("held", [STOP, PAUSE])
def test_a_target_put_while_it_is_held_waits_for_move_which_is_for_once(held):
    axis = Axis()
    axis.put("SPMG", held)

    def during(each: Axis) -> None:
        if each.RBV == 0.0 and each.SPMG == held:
            assert not each.motor.moving
            assert (each.MOVN, each.DMOV) == (0, 0)
            Axis._now(each.pvs["SPMG"].accept(MOVE))
            assert (each.MOVN, each.DMOV) == (1, 0)

    axis.put("VAL", 2.0, during=during)
    assert (axis.RBV, axis.SPMG) == (2.0, PAUSE)


@pytest.mark.parametrize(
    ("field", "value"), [("VELO", 0.0), ("VELO", 3.0), ("SPMG", 4), ("SET", 2)]
)
def test_what_a_field_cannot_hold_is_refused(field, value):
    with pytest.raises(PutRefused):
        Axis().put(field, value)


def test_a_new_velocity_on_the_way_makes_no_jump():
    axis = Axis()
    seen: list[float] = []
    look = axis.put_on_the_way("VELO", 0.5, at=3.0)

    def during(each: Axis) -> None:
        look(each)
        seen.append(each.RBV)

    axis.put("VAL", 8.0, step=0.02, during=during)
    assert max(b - a for a, b in zip(seen, seen[1:], strict=False)) <= 2.0 * 0.02 + 1e-9
    assert axis.RBV == 8.0


@pytest.mark.parametrize("field", ["RBV", "DMOV", "DIR", "EGU", "LVIO"])
def test_readings_cannot_be_put(field):
    with pytest.raises(PutRefused):
        Axis().put(field, 1)


def test_a_description_is_an_epics_string():
    assert Axis(what="x" * 39).DESC == "x" * 39
    with pytest.raises(ValueError, match=r"M\.DESC has room for 39"):
        Axis(what="x" * 40)
