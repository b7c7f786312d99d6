"""Where the axes of an instrument may be while they move, and the joint constraints on the way.

In which order axes move, and how fast, is not known: while some are on their way, each of them
may still stand where it stood or already where it is sent, or anywhere between. A linear constraint
that holds at every corner of that box holds everywhere in it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations

from orchestrator.domain.expressions import Inequality, inequality

MOST_ORDERED = 6
"""Most axes of which every order is tried: 720 orders."""


class Whereabouts:
    """What is known of the axes that joint constraints name.

    Args:
        constraints: inequalities over dotted names, as the instrument file has them.
    """

    def __init__(self, constraints: Iterable[str]) -> None:
        self._rules = tuple(inequality(text) for text in constraints)
        self._names = frozenset(name for rule in self._rules for name in rule.coefficients)
        self._at: dict[str, tuple[float, ...]] = {}

    def axis(self, path: str) -> str | None:
        """The constrained axis that a path belongs to; None for none.

        What sets ``motor.setpoint`` moves ``motor``.
        """
        while path not in self._names:
            if "." not in path:
                return None
            path = path.rpartition(".")[0]
        return path

    def unknown(self, axes: Iterable[str]) -> list[str]:
        """The axes that must be located before these may be judged."""
        moved = set(axes)
        return [
            name
            for rule in self._rules
            if not moved.isdisjoint(rule.coefficients)
            for name in rule.coefficients
            if name not in self._at
        ]

    def place(self, axis: str, values: Sequence[float]) -> None:
        """The axis is at one of these, or between them."""
        self._at[axis] = tuple(values)

    def send(self, axis: str, target: float) -> None:
        """The axis is on its way to the target."""
        self._at[axis] = (*self._at.get(axis, ()), target)

    def arrive(self, axis: str, target: float) -> None:
        """The axis is there, unless it was sent elsewhere meanwhile."""
        if self._at[axis][-1] == target:
            self._at[axis] = (target,)

    def breaches(
        self, targets: Mapping[str, float], wanted: Mapping[str, float] | None = None
    ) -> Iterator[str]:
        """One sentence for each constraint that would not hold everywhere on the way.

        One that does not hold now forbids only what makes it worse. All axes of the constraints in
        question must be known.

        Args:
            targets: of the axes that are sent now.
            wanted: where all axes are to be in the end; from these an order of moves is sought
                that would pass. None seeks none.
        """
        for rule in self._rules:
            if rule.coefficients.keys().isdisjoint(targets):
                continue
            sign = 1 if rule.comparison == "<=" else -1
            corner = {
                name: _worst(sign * factor, (*self._at[name], *_maybe(targets, name)))
                for name, factor in rule.coefficients.items()
            }
            now = {
                name: _worst(sign * factor, self._at[name])
                for name, factor in rule.coefficients.items()
            }
            if rule.holds(corner) or sign * (rule.left(corner) - rule.left(now)) <= 0:
                continue
            yield self._sentence(rule, corner, targets, wanted or {})

    def order(
        self, targets: Mapping[str, float], fixed: Sequence[str] = ()
    ) -> tuple[str, ...] | None:
        """An order in which the axes can go to their targets one by one; None when none is found.

        The order of the targets is tried first. Those in motion count as where they were sent
        last, and those that are there already are left out.

        Args:
            targets: of the axes.
            fixed: axes that keep this order among each other.
        """
        stand = {name: values[-1] for name, values in self._at.items()}
        moving = [name for name in targets if stand.get(name) != targets[name]]
        if len(moving) > MOST_ORDERED or not self._names <= stand.keys() | set(targets):
            return None
        kept = [name for name in fixed if name in moving]
        for order in permutations(moving):
            in_turn = [name for name in order if name in kept] == kept
            if in_turn and self._passes(order, stand, targets):
                return order
        return None

    def _passes(
        self, names: Sequence[str], stand: Mapping[str, float], targets: Mapping[str, float]
    ) -> bool:
        at = {**targets, **stand}
        for name in names:
            at[name] = targets[name]
            if not all(rule.holds(at) for rule in self._rules):
                return False
        return True

    def _sentence(
        self,
        rule: Inequality,
        corner: Mapping[str, float],
        targets: Mapping[str, float],
        wanted: Mapping[str, float],
    ) -> str:
        place = ", ".join(f"{name} = {value:g}" for name, value in corner.items())
        ends = {name: self._at[name][-1] for name in rule.coefficients} | dict(targets)
        if not rule.holds(ends) and not rule.holds(ends | _of(wanted, ends) | dict(targets)):
            return f"{rule.text!r} does not hold at {place}"
        sentence = f"{rule.text!r} would not hold on the way, at {place}"
        passing = self.order({**_of(wanted, self._names), **targets})
        if not passing:
            return sentence
        if len(passing) == 1:
            return f"{sentence}; it would if what is on its way were waited for first"
        return f"{sentence}; it would with 'move_order: [{', '.join(passing)}]', one after another"


def _worst(factor: float, values: Sequence[float]) -> float:
    """The value with the largest product."""
    return max(values, key=lambda value: factor * value)


def _maybe(values: Mapping[str, float], name: str) -> tuple[float, ...]:
    return (values[name],) if name in values else ()


def _of(values: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    return {name: values[name] for name in names if name in values}
