import asyncio
import math
import re
from pathlib import Path
from typing import get_args

import pytest

from simulators.active_faults import ActiveFaults
from simulators.alarm import NO_ALARM, Alarm, AlarmPv, Severity, Status
from simulators.faults import Fault, FaultError, Kind, RandomFaults, check, read_faults
from simulators.pv import PutRefused, Pv
from simulators.twins import own_pvs, twin_module
from tests.unit.simulators.rig import files


async def put(_: float) -> None: ...


async def take(_: str) -> None: ...


PVS = [
    Pv("A:SP", 1.0, put=put),
    Pv("A:RB", 1.0),
    Pv("A:N", 1, put=put),
    Pv("A:FAULT", 0.0, limits=(0.0, 5.0), put=put),
    Pv("A:SHUTTER", 1, put=put, choices=("Closed", "Open")),
    Pv("A:PATH", "", take=take),
]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("faults: [{fault: hung, pv: 'A:SP', for_s: 1}]", "the faults are hang, slow"),
        ("faults: [{fault: hang, pv: 'A:SO', for_s: 1}]", "near are A:SP"),
        ("faults: [{fault: nan, pv: 'A:SP', for_s: 1, at: 3}]", "faults.0.at: is not known"),
        ("faults: [{fault: hang, pv: 'A:RB', for_s: 1}]", "A:RB is read-only"),
        ("faults: [{fault: nan, pv: 'A:N', for_s: 1}]", "no real number"),
        ("faults: [{fault: slow, pv: 'A:SP', for_s: 1}]", "slow needs 'by'"),
        ("faults: [{fault: hang, pv: 'A:SP', for_s: 1, by: 2}]", "hang takes no 'by'"),
        ("faults: [{fault: lost, pv: 'A:SP', for_s: 1}]", "lost takes no 'pv'"),
        ("faults: [{fault: hang, for_s: 1}]", "hang needs 'pv'"),
        ("faults: [{fault: hang, pv: 'A:SP', for_s: -1}]", "faults.0.for_s"),
        ("faults: [{fault: drift, pv: 'A:SP', for_s: 1, by: .nan}]", "faults.0.by"),
        ("- hang", "not 'faults:' or 'random:'"),
        ("random: {seed: 1, mean_s: 60, faults: []}", "random.faults"),
        ("random: {seed: 1, mean_s: 60, faults: [{fault: hang, pv: X, for_s: 1}]}", "no 'X'"),
        ("faults: [{fault: trip, pv: 'A:FAULT', for_s: 1, to: 9}]", "9 is outside 0 to 5"),
        ("faults: [{fault: trip, pv: 'A:N', for_s: 1, to: 0.5}]", ".to: 0.5 is no integer"),
        ("faults: [{fault: trip, pv: 'A:SHUTTER', for_s: 1, to: 5}]", "of 0 Closed, 1 Open, the"),
        ("faults: [{fault: trip, pv: 'A:SHUTTER', for_s: 1, to: 0.5}]", "0.5 is none of 0 Closed"),
        ("faults: [{fault: trip, pv: 'A:PATH', for_s: 1, to: 0}]", "A:PATH is a text"),
        ("faults: [{fault: limit, pv: 'A:PATH', for_s: 1, limits: [0, 1]}]", "A:PATH is a text"),
        ("faults: [", "expected"),
    ],
)
def test_a_file_is_refused_in_words(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(content)
    with pytest.raises(FaultError) as refused:
        read_faults(file, PVS)
    assert words in str(refused.value)
    assert str(refused.value).startswith(str(file))


@pytest.mark.parametrize(
    "fault",
    [
        Fault(fault="trip", pv="A:SHUTTER", for_s=1, to=0),
        Fault(fault="trip", pv="A:N", for_s=1, to=-3),
        Fault(fault="trip", pv="A:SP", for_s=1, to=0.5),
        Fault(fault="hang", pv="A:PATH", for_s=1),
        Fault(fault="refuse", pv="A:PATH", for_s=1),
        Fault(fault="slow", pv="A:PATH", for_s=1, by=1),
    ],
    ids=str,
)
def test_what_can_be_is_accepted(fault: Fault) -> None:
    check(fault, PVS, "here")


def test_random_faults_are_the_same_for_the_same_seed_and_do_not_overlap(tmp_path: Path) -> None:
    some = [Fault(fault="lost", for_s=30), Fault(fault="nan", pv="A:SP", for_s=10)]
    first = list(RandomFaults(seed=3, mean_s=60, faults=some).occurrences())
    assert first == list(RandomFaults(seed=3, mean_s=60, faults=some).occurrences())
    assert first != list(RandomFaults(seed=4, mean_s=60, faults=some).occurrences())
    gaps = [
        after.at_s - before.at_s - before.for_s
        for before, after in zip(first, first[1:], strict=False)
    ]
    assert min(gaps) >= 0
    assert sum(gaps) / len(gaps) == pytest.approx(60, rel=0.1)
    assert {one.fault for one in first} == {"lost", "nan"}


def test_trips_of_one_pv_that_overlap_remember_what_was_before_the_first() -> None:
    lab = Lab()
    first, second = (Fault(fault="trip", pv="A:SP", for_s=1, to=to) for to in (5.0, 7.0))
    lab.faults.begin(first, lab.pv)
    lab.pv.post(5.0)
    lab.faults.begin(second, lab.pv)
    lab.pv.post(7.0)
    assert lab.faults.end(first) == 1.0
    assert lab.faults.end(second) == 1.0


def test_a_trip_puts_back_the_truth_and_what_is_stuck_reads_what_clients_read() -> None:
    lab = Lab()
    trip = Fault(fault="trip", pv="A:SP", for_s=1, to=5.0)
    lab.faults.begin(Fault(fault="spike", pv="A:SP", for_s=1, by=2.5), lab.pv)
    lab.faults.begin(Fault(fault="stuck", pv="A:SP", for_s=1), lab.pv)
    lab.faults.begin(trip, lab.pv)
    lab.pv.post(5.0)
    assert lab.faults.read(lab.pv) == 3.5
    assert lab.faults.end(trip) == 1.0


class Lab:
    """Faults on a clock that is told."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []
        self.faults = ActiveFaults(lambda: self.time, self._sleep)
        self.pv = Pv("A:SP", 1.0, put=put)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize(
    ("fault", "reads"),
    [
        (Fault(fault="nan", pv="A:SP", for_s=1), math.nan),
        (Fault(fault="stuck", pv="A:SP", for_s=1), 1.0),
        (Fault(fault="spike", pv="A:SP", for_s=1, by=2.5), 7.5),
        (Fault(fault="drift", pv="A:SP", for_s=1, by=0.5), 10.0),
        (Fault(fault="invalid", pv="A:SP", for_s=1), 1.0),
        (Fault(fault="nan", pv="A:RB", for_s=1), 5.0),
        (Fault(fault="hang", pv="A:SP", for_s=1), 5.0),
    ],
    ids=str,
)
def test_what_clients_read_meanwhile_and_afterwards(fault: Fault, reads: float) -> None:
    lab = Lab()
    lab.faults.begin(fault, lab.pv)
    lab.pv.post(5.0)
    lab.time += 10.0
    assert lab.faults.read(lab.pv) == pytest.approx(reads, nan_ok=True)
    lab.faults.end(fault)
    assert lab.faults.read(lab.pv) == 5.0


OWN = (Severity.MAJOR, Status.HIGH)


@pytest.mark.parametrize(
    ("pv", "own"),
    [
        (Pv("A:N", 1), NO_ALARM),
        (Pv("A:WHAT", "1"), NO_ALARM),
        (AlarmPv("A:RB", 1.0, severity=OWN[0], status=OWN[1]), OWN),
    ],
    ids=["integer", "text", "in alarm"],
)
def test_any_process_variable_can_be_in_invalid_alarm(pv: Pv, own: Alarm) -> None:
    def seen() -> tuple[object, Alarm]:
        reads = lab.faults.read(pv)
        return reads, lab.faults.alarm(pv, reads)

    lab, first, later = Lab(), pv.value, type(pv.value)(7)
    fault = Fault(fault="invalid", pv=pv.name, for_s=1)
    check(fault, [pv], "here")
    assert seen() == (first, own)
    lab.faults.begin(fault, pv)
    pv.post(later)
    assert seen() == (first, (Severity.INVALID, Status.READ))
    assert lab.faults.alarm(lab.pv, 1.0) == NO_ALARM
    lab.faults.end(fault)
    assert seen() == (later, own)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(fault="refuse", pv="A:SP", for_s=1),
        Fault(fault="limit", pv="A:SP", for_s=1, limits=(0, 2)),
    ],
    ids=str,
)
def test_a_put_fails_meanwhile(fault: Fault) -> None:
    lab = Lab()
    lab.faults.begin(fault, lab.pv)
    with pytest.raises(PutRefused, match="A:SP"):
        asyncio.run(lab.faults.before_put(lab.pv, 3.0))
    lab.faults.end(fault)
    asyncio.run(lab.faults.before_put(lab.pv, 3.0))


def test_a_record_that_judges_puts_itself_is_told_the_limits_and_refuses_none() -> None:
    lab, record = Lab(), Pv("A:SP", 1.0, put=put, advisory=True)
    wide, high = (
        Fault(fault="limit", pv="A:SP", for_s=1, limits=limits) for limits in ((0, 2), (1, 9))
    )
    for fault in (wide, high):
        lab.faults.begin(fault, record)
    asyncio.run(lab.faults.before_put(record, 30.0))
    assert lab.faults.limits(record) == (1, 2)
    lab.faults.end(wide)
    assert lab.faults.limits(record) == (1, 9)
    lab.faults.end(high)
    assert lab.faults.limits(record) is None


def test_the_same_fault_twice_holds_until_the_last_of_them_is_over() -> None:
    lab = Lab()
    refuse = Fault(fault="refuse", pv="A:SP", for_s=1)
    for _ in range(2):
        lab.faults.begin(refuse, lab.pv)
    lab.faults.end(refuse)
    with pytest.raises(PutRefused):
        asyncio.run(lab.faults.before_put(lab.pv, 3.0))
    lab.faults.end(refuse)
    asyncio.run(lab.faults.before_put(lab.pv, 3.0))


def test_a_put_hangs_until_the_end_and_a_slow_one_is_answered_later() -> None:
    lab = Lab()
    hang = Fault(fault="hang", pv="A:SP", for_s=1)

    async def scenario() -> None:
        lab.faults.begin(hang, lab.pv)
        waiting = asyncio.create_task(lab.faults.before_put(lab.pv, 3.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        lab.faults.end(hang)
        await asyncio.wait_for(waiting, 1)
        await lab.faults.after_put(lab.pv)
        assert lab.slept == []
        lab.faults.begin(Fault(fault="slow", pv="A:SP", for_s=1, by=4), lab.pv)
        await lab.faults.after_put(lab.pv)
        assert lab.slept == [4]

    asyncio.run(scenario())


def test_puts_that_hung_are_carried_out_in_order() -> None:
    lab = Lab()
    hang = Fault(fault="hang", pv="A:SP", for_s=1)
    done: list[float] = []

    async def client(value: float) -> None:
        await lab.faults.before_put(lab.pv, value)
        done.append(value)

    async def scenario() -> None:
        lab.faults.begin(hang, lab.pv)
        async with asyncio.TaskGroup() as group:
            for value in (3.0, 1.0, 2.0):
                group.create_task(client(value))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not done
            lab.faults.end(hang)

    asyncio.run(scenario())
    assert done == [3.0, 1.0, 2.0]


def test_the_page_tells_of_every_fault_and_its_file_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/cause-faults.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(get_args(Kind))
    (content,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    file = tmp_path / "faults.yaml"
    file.write_text(content)
    planned = read_faults(file, own_pvs(twin_module("flow-chemistry")))
    assert {fault.fault for fault in planned} == {"nan", "trip", "invalid", "slow", "lost"}


def test_the_hang_of_the_page_outlasts_the_device_that_waits_for_it() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/cause-faults.md").read_text()
    ((pv, seconds),) = re.findall(r"labwright fault hang (\S+) --for-s (\d+)", page)
    (device,) = (
        one for one in files("flow-chemistry")[1].devices.values() if f"{one.prefix}:TRIGGER" == pv
    )
    longest = device.timeout_s * twin_module("flow-chemistry").TIME_COMPRESSION
    assert f"up to {longest:,.0f} lab seconds only" in page.replace("\n", " ")
    assert int(seconds) > longest
