"""Slits, play, hysteresis and heat of the mirrors, as what looks at the focus sees them."""

import math
from collections.abc import Mapping
from statistics import fmean

import pytest

from simulators.kb_mirrors.dynamics import BUMP_TIME, ThermalBump
from simulators.kb_mirrors.instrument import CURRENT_NOISE, SLITS
from simulators.kb_mirrors.model import OPTIMUM, evaluate
from tests.unit.simulators.test_kb_mirrors_instrument import SETTINGS, Lab

BEST = OPTIMUM["parameters"]


def at(settings: Mapping[str, float], **switches: float) -> Lab:
    """A lab with these switched on from the start, such as `BUMP`, moved to the settings."""
    lab = Lab()
    for name, value in switches.items():
        lab.put(f"KB:{name}", value)
    lab.set(settings)
    return lab


def width(settings: Mapping[str, float]) -> float:
    """The true vertical size, nm."""
    return float(evaluate(**settings)["fwhm_v"])


def told_apart(one: Lab, other: Lab, true: float, was: float) -> None:
    """Widths of one setting and trigger differ by what the truths do, and by 2 % noise of that."""
    differ = one.measure()["fwhm_v"] - other.measure()["fwhm_v"]
    assert differ == pytest.approx(true - was, rel=0.1)


# ------------------------------------------------------------------------- slits


def test_slits_cut_the_beam_and_open_ones_are_none():
    lab = at(BEST)
    first, brightest = lab.measure(), lab.transmission()
    lab.put("SLIT:V:SIZE.VAL", 300.0)
    lab.put("SLIT:H:SIZE.VAL", 150.0)
    true = evaluate(**BEST, slit_v=300.0, slit_h=150.0)
    readings = [lab.measure() for _ in range(30)]
    noise = 4 * math.hypot(CURRENT_NOISE, 1e-3 / math.sqrt(true["flux"])) / math.sqrt(30)
    assert fmean(one["flux"] for one in readings) == pytest.approx(true["flux"], rel=noise)
    for name in ("fwhm_v", "fwhm_h"):
        assert fmean(one[name] for one in readings) == pytest.approx(true[name], rel=0.03)
    assert lab.transmission() == pytest.approx(true["flux"], rel=0.05)
    for record, opened in SLITS.values():
        lab.put(f"{record}.VAL", opened)
    assert (lab.measure(), lab.transmission()) == (first, brightest)


@pytest.mark.parametrize(("record", "opened"), SLITS.values())
def test_a_slit_is_not_driven_shut_but_goes_home_so(record, opened):
    lab = at(BEST)
    for refused in (49.9, opened + 0.1):
        lab.put(f"{record}.VAL", refused)
        assert (lab.get(f"{record}.LVIO"), lab.get(f"{record}.RBV")) == (1, opened)
    lab.put(f"{record}.HOMF", 1)
    assert (lab.get(f"{record}.RBV"), lab.get(f"{record}.LLS")) == (0.0, 1)
    assert 0.0 < lab.measure()["flux"] < 0.005


# ------------------------------------------------------------------------- benders


def test_with_hysteresis_a_bender_falls_short_by_a_part_of_its_last_move():
    straight = at(SETTINGS, HYSTERESIS=3.0)
    around = at({"bend_vu": 0.51}, HYSTERESIS=3.0)
    around.set(SETTINGS)
    here = SETTINGS["bend_vu"]
    short = {name: 0.97 * value for name, value in SETTINGS.items() if name.startswith("bend")}
    long = short | {"bend_vu": here + 0.03 * (0.51 - here)}
    told_apart(straight, around, width(SETTINGS | short), width(SETTINGS | long))


def test_hysteresis_begins_with_the_next_move_and_stays_when_that_is_ordered_again():
    lab, still = at(SETTINGS), at(SETTINGS)
    lab.put("KB:HYSTERESIS", 3.0)
    assert lab.measure() == still.measure()
    lab.set({"bend_vu": 0.3})
    still.set({"bend_vu": 0.3})
    short = lab.measure()
    assert short != still.measure()
    lab.set({"bend_vu": 0.3})
    lab.put("KBV:BNDU.STOP", 1)
    assert lab.measure() == short
    lab.put("KB:HYSTERESIS", 0.0)
    still.set({"bend_vu": 0.3})
    lab.set({"bend_vu": 0.3})
    assert lab.measure() == still.measure()


def test_a_final_approach_takes_out_the_play_and_without_it_the_play_stays():
    lab, still = at({"bend_vu": 0.4}, BACKLASH=0.02), at(SETTINGS)
    lab.set(SETTINGS)
    assert lab.measure() == still.measure()
    lab.put("KBV:BNDU.BDST", 0.0)
    lab.set({"bend_vu": 0.4})
    lab.set(SETTINGS)  # from above: the bender still stands where the play let go of it
    still.set(SETTINGS)
    lost = SETTINGS | {"bend_vu": SETTINGS["bend_vu"] + 0.02}
    told_apart(lab, still, width(lost), width(SETTINGS))
    lab.put("KB:BACKLASH", 0.0)
    lab.set(SETTINGS)
    still.set(SETTINGS)
    assert lab.measure() == still.measure()


# ------------------------------------------------------------------------- heat


def test_the_bump_rises_with_the_light_and_falls_without_however_time_passes():
    for step in (BUMP_TIME / 100, BUMP_TIME):
        bump = ThermalBump()
        (height,) = bump.pvs
        height.post(0.05)
        for passed in range(1, 4):
            for _ in range(round(BUMP_TIME / step)):
                assert bump.step(step, 1.0)
            assert bump.lost == pytest.approx(0.05 * (1 - math.exp(-passed)), rel=1e-9)
        warm = bump.lost
        for _ in range(round(BUMP_TIME / step)):
            bump.step(step, 0.0)
        assert bump.lost == pytest.approx(warm / math.e, rel=1e-9)
        assert not bump.step(100 * BUMP_TIME, 0.0)


def test_a_warm_mirror_is_out_of_focus_until_it_has_cooled():
    lab, still = at(BEST), at(BEST)
    lab.put("KB:BUMP", 0.05, step=0.0)
    assert lab.measure() == still.measure()  # it begins with cold mirrors
    lab.twin.step(BUMP_TIME)
    flat = 0.05 * (1 - math.exp(-1))
    warm = BEST | {name: BEST[name] - flat for name in BEST if name.startswith("bend")}
    assert width(warm) > 1.3 * width(BEST)
    told_apart(lab, still, width(warm), width(BEST))
    lab.put("FE:SHUTTER", 0)
    lab.twin.step(20 * BUMP_TIME)
    lab.put("FE:SHUTTER", 1)
    cold = lab.measure()["fwhm_v"]
    assert cold == pytest.approx(still.measure()["fwhm_v"], rel=1e-3)
    lab.twin.step(BUMP_TIME)
    lab.put("KB:BUMP", 0.0)
    assert lab.measure() == still.measure()


def test_time_and_the_way_do_not_matter_unless_switched_on():
    lab, still = at(SETTINGS), at(SETTINGS)
    lab.twin.step(10 * BUMP_TIME)
    lab.set({"bend_vu": 0.5, "bend_hd": -0.5})
    lab.set(SETTINGS)
    assert lab.measure() == still.measure()
    for name in ("BACKLASH", "HYSTERESIS", "BUMP", "DRIFT"):
        assert lab.get(f"KB:{name}") == 0.0
