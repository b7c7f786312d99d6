"""The triggered detector, without network or clock."""

import asyncio

import pytest

from simulators.detector import TriggeredChannels
from simulators.pv import PutRefused


def test_a_second_put_waits_for_the_first_acquisition() -> None:
    finished: list[int] = []

    async def scenario() -> None:
        release = asyncio.Event()

        async def sleep(_: float) -> None:
            await release.wait()

        detector = TriggeredChannels(
            "D", channels={"A": ("", "")}, sample=lambda: [1.0], run_time=1.0, sleep=sleep, what=""
        )
        trigger = detector.pvs[0]

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


def test_a_sample_that_is_refused_acquires_nothing() -> None:
    slept: list[float] = []

    def sample() -> list[float]:
        raise PutRefused("no light")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    detector = TriggeredChannels(
        "D", channels={"A": ("", "")}, sample=sample, run_time=1.0, sleep=sleep, what=""
    )
    with pytest.raises(PutRefused, match="no light"):
        asyncio.run(detector.pvs[0].accept(1))
    assert (detector.pvs[0].value, slept) == (0, [])
