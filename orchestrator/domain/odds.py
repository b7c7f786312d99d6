"""What many rehearsed campaigns say about the next one: odds, bands, and how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.regret import quantile

Z_95 = 1.959963984540054
"""Two-sided 95 % of the standard normal distribution."""


def interval(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a probability of which ``hits`` of ``count`` tries are known.

    Wilson's score interval, J. Am. Stat. Assoc. 22, 209 (1927); of no tries it is all, 0 to 1.
    """
    if count == 0:
        return 0.0, 1.0
    share, z2 = hits / count, Z_95**2 / count
    centre = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class Best:
    """The best feasible value after so many trials, over all campaigns; None without any."""

    trial: int
    mean: float | None
    """Over the campaigns that have a feasible trial by then, as the following."""
    median: float | None
    low: float | None
    """Nine in ten of them lie between this and ``high``."""
    high: float | None
    feasible: int
    """How many campaigns have a feasible trial by then."""


def best_after_each(traces: Sequence[Sequence[float | None]], trials: int) -> list[Best]:
    """Expected best after each trial up to ``trials``.

    Args:
        traces: of each campaign, the best after each of its trials, None while nothing is
            feasible. A campaign that ended early keeps its last.
        trials: the budget.
    """
    return [_best_after(traces, number) for number in range(1, trials + 1)]


def _best_after(traces: Sequence[Sequence[float | None]], number: int) -> Best:
    known = [trace[min(number, len(trace)) - 1] for trace in traces if trace]
    values = [one for one in known if one is not None]
    if not values:
        return Best(number, None, None, None, None, 0)
    mean = math.fsum(values) / len(values)
    low, median, high = (quantile(values, part) for part in (0.05, 0.5, 0.95))
    return Best(number, mean, median, low, high, len(values))
