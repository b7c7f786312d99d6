import itertools
import random

import pytest

from orchestrator.domain.expressions import inequality
from orchestrator.domain.whereabouts import Whereabouts

RULE = "x + y <= 10"


def standing(*constraints: str, **at: float) -> Whereabouts:
    found = Whereabouts(constraints or (RULE,))
    for name, value in at.items():
        found.place(name, (value,))
    return found


def test_a_move_is_judged_with_what_does_not_move():
    axes = standing(x=1, y=8)
    assert list(axes.breaches({"x": 2.0})) == []
    assert list(axes.breaches({"x": 3.0})) == ["'x + y <= 10' does not hold at x = 3, y = 8"]


def test_both_ends_may_be_good_and_the_way_bad():
    axes = standing(x=1, y=8)
    (told,) = axes.breaches({"x": 8.0}, {"x": 8.0, "y": 1.0})
    assert told == (
        "'x + y <= 10' would not hold on the way, at x = 8, y = 8;"
        " it would with 'move_order: [y, x]', one after another"
    )
    axes.send("y", 1.0)
    assert "if what is on its way were waited for" in next(axes.breaches({"x": 8.0}))
    axes.arrive("y", 1.0)
    assert list(axes.breaches({"x": 8.0})) == []


def test_an_axis_on_its_way_counts_as_at_both_ends():
    axes = standing(x=1, y=8)
    axes.send("y", 0.0)
    assert list(axes.breaches({"x": 2.0})) == []
    assert len(list(axes.breaches({"x": 2.5}))) == 1


def test_what_was_sent_elsewhere_meanwhile_is_not_there():
    axes = standing(x=1, y=8)
    axes.send("y", 0.0)
    axes.send("y", 1.0)
    axes.arrive("y", 0.0)
    assert len(list(axes.breaches({"x": 9.0}))) == 1
    axes.arrive("y", 1.0)
    assert list(axes.breaches({"x": 9.0})) == []


def test_no_order_is_named_when_none_would_pass():
    axes = standing("x + y <= 10", "x + y >= 9", x=1, y=9)
    (told, *_) = axes.breaches({"x": 9.0}, {"x": 9.0, "y": 1.0})
    assert told == "'x + y <= 10' would not hold on the way, at x = 9, y = 9"


def test_out_of_a_breach_the_way_back_is_open():
    axes = standing(x=8, y=8)
    assert list(axes.breaches({"x": 6.0})) == []
    assert len(list(axes.breaches({"x": 8.5}))) == 1


def test_parts_of_a_constrained_axis_move_it():
    axes = Whereabouts(["stage.x + lamp <= 3"])
    assert axes.axis("stage.x.user_setpoint") == "stage.x"
    assert axes.axis("stage.y") is None
    assert axes.axis("lamp") == "lamp"
    assert axes.unknown(["lamp"]) == ["stage.x", "lamp"]
    assert axes.unknown(["heater"]) == []


def test_nothing_is_allowed_next_to_an_axis_that_tells_no_number():
    assert list(standing(x=float("nan"), y=0).breaches({"y": 1.0}))


@pytest.mark.parametrize("seed", range(20))
def test_corners_suffice(seed):
    """No point between old and new breaks a constraint that passed, and one that failed does."""
    rng = random.Random(seed)
    names = ["a", "b", "c"]
    for _ in range(50):
        factors = [rng.choice([-2, -1, 1, 3]) for _ in names]
        terms = " + ".join(
            f"{factor} * {name}" for factor, name in zip(factors, names, strict=True)
        )
        rule = inequality(f"{terms} <= {rng.uniform(-1, 4)}")
        old = {name: rng.uniform(-1, 1) for name in names}
        new = {name: rng.uniform(-1, 1) for name in names}
        if not rule.holds(old):
            continue
        axes = standing(rule.text, **old)
        passed = not list(axes.breaches(new))
        corners = itertools.product(*((old[name], new[name]) for name in names))
        held = all(rule.holds(dict(zip(names, corner, strict=True))) for corner in corners)
        assert passed is held
        for _ in range(20 if passed else 0):
            between = {name: rng.uniform(*sorted((old[name], new[name]))) for name in names}
            assert rule.left(between) <= rule.bound + 1e-12
