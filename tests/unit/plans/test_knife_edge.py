"""Knife-edge scans of beams whose size and position are known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from plans.knife_edge import (
    FWHM_PER_SIGMA,
    edge_window,
    estimate_knife_edge,
    fit_edge,
    knife_edge,
    reduce_knife_edge,
)

FLUX = 0.41


def beam(centre, fwhm, sign=-1, noise=0.0, seed=0):
    """Signal behind a knife, a function of its position."""
    random = np.random.default_rng(seed)

    def signal(position):
        passed = FLUX * ndtr(sign * (position - centre) / fwhm * FWHM_PER_SIGMA)
        return float(passed + noise * random.standard_normal())

    return signal


class Device:
    parent = None

    def __init__(self, name):
        self.name = name

    def set(self, value):
        raise NotImplementedError

    def trigger(self):
        raise NotImplementedError

    def read(self):
        raise NotImplementedError

    def describe(self):
        raise NotImplementedError


def run_by_hand(plan, beams):
    """What a RunEngine does, without one: moves and readings, and the run that they make."""
    at, bundle, stream, streams, start, moves = {}, {}, None, {}, {}, []
    answer = None
    while True:
        try:
            message = plan.send(answer)
        except StopIteration:
            break
        answer = None
        match message.command:
            case "open_run":
                start = message.kwargs
            case "set":
                at[message.obj.name] = message.args[0]
                moves.append((message.obj.name, message.args[0]))
            case "create":
                stream, bundle = message.kwargs["name"], {}
            case "read" if message.obj.name == "diode":
                passed = math.prod(beams[k](at[k]) for k in beams) / FLUX
                bundle["diode_transmission"] = passed
                answer = {"diode_transmission": {"value": passed}}
            case "read":
                bundle[message.obj.name] = at[message.obj.name]
                answer = {message.obj.name: {"value": at[message.obj.name]}}
            case "save":
                streams.setdefault(stream, []).append(bundle)
    run = Run({name: pd.DataFrame(rows) for name, rows in streams.items()})
    run.start = start
    return run, moves


class Run(dict):
    start: dict


def scanned(vertical, horizontal, **options):
    mirror, v, h = Device("pitch"), Device("knife_v"), Device("knife_h")
    plan = knife_edge({mirror: 1.5}, v, h, Device("diode"), md={"trial_id": 7}, **options)
    return run_by_hand(plan, {"knife_v": beam(*vertical), "knife_h": beam(*horizontal)})


# ------------------------------------------------------------------------- the plan


@pytest.mark.parametrize("sign", [-1, 1])
def test_finds_a_small_beam_anywhere_and_measures_it(sign):
    for seed, (centre, fwhm) in enumerate([(13.7, 0.155), (-9.1, 2.2), (0.0, 0.05)]):
        vertical, horizontal = (centre, fwhm, sign, 1e-4, seed), (-3.0, 0.6, sign, 1e-4, 100 + seed)
        clear = -40.0 * -sign
        run, _ = scanned(vertical, horizontal, clear=clear)
        outcomes = reduce_knife_edge([run])
        truth = {"fwhm_v": fwhm * 1e3, "centroid_v": centre, "flux": FLUX}
        truth |= {"fwhm_h": 600.0, "centroid_h": -3.0}
        truth["density"] = FLUX * 1e-2 / (fwhm * 0.6)
        truth["log_density"] = math.log10(truth["density"])
        for name, value in truth.items():
            got, sem = outcomes[name]
            assert got == pytest.approx(value, abs=5 * sem)
            assert 0 < sem < 0.05 * max(abs(value), 1.0)


def test_moves_in_order_and_leaves_the_knives_out_of_the_beam():
    _, moves = scanned((1.0, 0.3), (2.0, 0.4))
    assert moves[:3] == [("pitch", 1.5), ("knife_v", -40.0), ("knife_h", -40.0)]
    assert moves[3] == ("knife_v", -20.0)
    last = dict(moves)
    assert (last["knife_v"], last["knife_h"]) == (-40.0, -40.0)
    first_h = next(n for n, move in enumerate(moves[3:]) if move[0] == "knife_h")
    assert {name for name, _ in moves[3 : 3 + first_h]} == {"knife_v"}


def test_reads_as_often_as_estimated_and_says_what_took_part():
    run, _ = scanned((1.0, 0.3), (2.0, 0.4), points=7, passes=3)
    readings = sum(len(table) for table in run.values())
    assert estimate_knife_edge({}, points=7, passes=3) == (0.0, readings)
    assert run.start["trial_id"] == 7
    assert run.start["knives"] == ["knife_v", "knife_h"]
    assert (run.start["detectors"], run.start["motors"]) == (["diode"], ["pitch"])


def test_can_be_looked_at_without_running():
    plan = knife_edge({}, Device("knife_v"), Device("knife_h"), Device("diode"), points=5)
    commands = [message.command for message in plan]
    assert commands.count("save") == 2 * 5 * 4


# ------------------------------------------------------------------------- the window


@pytest.mark.parametrize("flip", [False, True])
def test_window_reaches_just_over_the_edge(flip):
    parts = [0.0, 0.01, 0.05, 0.3, 0.5, 0.98, 1.0]
    seen = [(float(n), 1.0 - part if flip else part) for n, part in enumerate(parts)]
    assert edge_window(seen, (seen[0][1], seen[-1][1])) == (2.0, 5.0)


def test_window_of_a_step_is_one_step():
    seen = [(float(n), float(n > 3)) for n in range(8)]
    assert edge_window(seen, (0.0, 1.0)) == (3.0, 4.0)


def test_window_stays_where_nothing_changes():
    seen = [(float(n), 0.2) for n in range(8)]
    assert edge_window(seen, (0.2, 0.2)) == (0.0, 7.0)


# ------------------------------------------------------------------------- the fit


def test_fit_is_exact_without_noise_whatever_the_order():
    signal = beam(1.23, 0.4, sign=1)
    points = [(x, signal(x)) for x in np.linspace(0, 3, 40)]
    for each in (points, points[::-1]):
        edge = fit_edge(each)
        assert edge.fwhm == pytest.approx(0.4, rel=1e-6)
        assert edge.centre == pytest.approx(1.23, rel=1e-6)
        assert edge.height == pytest.approx(FLUX, rel=1e-6)


def test_standard_errors_are_honest():
    errors = []
    for seed in range(150):
        signal = beam(1.2, 0.5, noise=0.004, seed=seed)
        edge = fit_edge([(x, signal(x)) for x in np.linspace(0, 2.4, 31)])
        errors.append(
            [
                (edge.fwhm - 0.5) / edge.fwhm_sem,
                (edge.centre - 1.2) / edge.centre_sem,
                (edge.height - FLUX) / edge.height_sem,
            ]
        )
    assert np.std(errors, axis=0) == pytest.approx(1.0, abs=0.2)
    assert np.mean(errors, axis=0) == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(0.0, 1.0)] * 4, "4 points are too few"),
        ([(float(n), 0.0) for n in range(9)], "does not change"),
        ([(float(n), float(n > 4)) for n in range(9)], "no error function fits"),
    ],
)
def test_no_edge_is_said_in_words(points, words):
    with pytest.raises(ValueError, match=words):
        fit_edge(points, "v")


def test_noise_alone_is_no_edge():
    random = np.random.default_rng(3)
    for _ in range(20):
        points = [(float(n), 1e-4 * random.standard_normal()) for n in range(44)]
        with pytest.raises(ValueError, match="v: "):
            fit_edge(points, "v")
