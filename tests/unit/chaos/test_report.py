"""What a chaos run says, and when it is not good enough."""

import pytest

from tests.chaos.report import COUNTS, ZERO, complaints, gates_report, power_report

SUMS = """
    trials worker_kills campaign_kills server_kills freezes ioc_kills link_cuts lost duplicated
    double_driven phantom unfinished fold_mismatches measured_twice_counted_once salvaged
    recovery_s_median recovery_s_max
""".split()


def found(**counts):
    lab = dict.fromkeys(COUNTS, 0) | {"trials": 10, "recoveries": [], "load": [0.5, 1.5]}
    return lab | {"wall_s": 60, "cpu_s": 90} | counts


def by_gate(control=3, **counts):
    return {
        "flock": [found(worker_kills=3, recoveries=[1.0]), found(**counts)],
        "fence_pv": [found(worker_kills=4, recoveries=[2.0, 6.0])],
        "none": [found(double_driven=control, freezes=7, unfinished=1)],
    }


def test_sums_over_gates_and_for_each():
    report = gates_report(by_gate(), [4, 5])
    gates = report["gates"]
    assert set(report) == {*SUMS, "more", "gates", "control", "seeds", "machine"}
    assert list(gates) == ["flock", "fence_pv"]
    assert all(set(sums) == {*SUMS, "more"} for sums in gates.values())
    trials = [gates["flock"]["trials"], gates["fence_pv"]["trials"]]
    assert (report["trials"], trials) == (30, [20, 10])  # the control is left out
    assert report["worker_kills"] == 7
    assert (report["recovery_s_median"], report["recovery_s_max"]) == (2.0, 6.0)
    assert gates["flock"]["recovery_s_median"] == 1.0
    assert report["control"] == {"double_driven": 3, "freezes": 7, "trials": 10}
    assert report["seeds"] == [4, 5]
    assert report["machine"]["load"] == [0.5, 1.5]
    assert (report["machine"]["wall_s"], report["machine"]["cpu_s"]) == (240, 360)


def test_no_recovery_has_no_median():
    report = gates_report({gate: [found()] for gate in ("flock", "fence_pv", "none")}, [0])
    assert (report["recovery_s_median"], report["recovery_s_max"]) == (None, None)


def test_good_enough():
    assert complaints(gates_report(by_gate(), [0])) == []


@pytest.mark.parametrize("name", ZERO)
def test_one_defect_is_not_good_enough(name):
    assert complaints(gates_report(by_gate(**{name: 1}), [0])) == [f"{name} is 1, not 0"]


def test_a_control_that_shows_nothing_is_not_good_enough():
    (text,) = complaints(gates_report(by_gate(control=0), [0]))
    assert text == "the control shows no second driver, so the zeros prove nothing"


def of_cuts(always=None, **everysec):
    sound = {"cuts": 4, "events_cut": 12, "told": 2} | everysec
    return power_report(
        {"always": [found(cuts=3, **always or {})], "everysec": [found(**sound)]}, [0]
    )


def test_power_cuts():
    report = of_cuts()
    assert complaints(report) == []
    sums = report["power_cut"]["everysec"]
    wanted = {"trials", "worker_kills", "cuts", *ZERO, "events_cut", "told", "tokens_shared"}
    assert set(sums) == wanted
    assert (sums["cuts"], sums["events_cut"], sums["told"]) == (4, 12, 2)


@pytest.mark.parametrize("name", [*ZERO, "tokens_shared"])
def test_one_defect_after_a_power_cut_is_not_good_enough(name):
    assert complaints(of_cuts(**{name: 1})) == [f"everysec: {name} is 1, not 0"]
    assert complaints(of_cuts(always={name: 1})) == [f"always: {name} is 1, not 0"]


@pytest.mark.parametrize(
    ("counts", "word"),
    [({"cuts": 0}, "never cut"), ({"events_cut": 0}, "prove nothing"), ({"told": 0}, "nobody")],
)
def test_power_cuts_that_show_nothing_are_not_good_enough(counts, word):
    (text,) = complaints(of_cuts(**counts))
    assert word in text
