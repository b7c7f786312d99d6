"""Measurement noise as a pure function: the same question always gets the same answer."""

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri


def standard_normal(seed: int, setpoints: Sequence[float], trigger: int, size: int) -> list[float]:
    """Independent standard normal numbers that depend on the arguments alone.

    They come from the raw bits of a Philox generator, which NumPy keeps stable between versions.

    Args:
        seed: the twin's seed, not negative.
        setpoints: the exact floats under which is measured; the sign of zero does not count.
        trigger: how many triggers went before since those setpoints were set, from 0.
        size: how many numbers.
    """
    normal = NormalDist()
    return [
        normal.inv_cdf(((int(bits) >> 11) + 0.5) * 2.0**-53)
        for bits in _stream(seed, setpoints, trigger).random_raw(size)
    ]


def _stream(seed: int, setpoints: Sequence[float], trigger: int) -> np.random.Philox:
    packed = struct.pack(f"<{len(setpoints)}d", *(value + 0.0 for value in setpoints))
    digest = hashlib.blake2b(packed, digest_size=8).digest()
    return np.random.Philox(
        key=np.array([seed, int.from_bytes(digest, "little")], dtype=np.uint64),
        counter=np.array([0, 0, 0, trigger], dtype=np.uint64),
    )


class TriggerNoise:
    """The noise of one measurement after another; the first after `restart` is trigger 0.

    Args:
        seed: the twin's seed, not negative.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._triggers = 0

    def restart(self) -> None:
        """Count triggers from 0 again, as after each setpoint."""
        self._triggers = 0

    def image(self, setpoints: Iterable[float], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Standard normal numbers for each pixel of one frame, which counts as a trigger."""
        bits = _stream(self._seed, [*setpoints], self._triggers).random_raw(math.prod(shape))
        self._triggers += 1
        return ndtri(((bits >> np.uint64(11)) + 0.5) * 2.0**-53).reshape(shape)

    def draw(self, setpoints: Iterable[float], size: int) -> list[float]:
        """Standard normal numbers for one trigger; arguments as of `standard_normal`."""
        numbers = standard_normal(self._seed, [*setpoints], self._triggers, size)
        self._triggers += 1
        return numbers
