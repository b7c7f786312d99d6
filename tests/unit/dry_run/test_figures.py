import pytest

from orchestrator.dry_run_figures import lagging, totals
from tests.unit.domain import builders

TRIALS = {"low": 3.0, "mean": 4.0, "high": 5.0}


@pytest.mark.parametrize(
    ("trial_s", "reduce_s", "warns"),
    [
        (TRIALS, [6.0, 4.5], True),
        (TRIALS, [6.0, 3.5], False),
        (TRIALS, [None], False),
        (None, [6.0], False),
        ({"low": 0.01, "mean": 0.02, "high": 0.03}, [0.2], False),
    ],
)
def test_a_reducer_that_takes_longer_than_a_trial_is_told(trial_s, reduce_s, warns):
    found = list(lagging({"trial_s": trial_s}, [{"reduce_s": one} for one in reduce_s]))
    assert [one.message.partition(":")[0] for one in found] == (
        ["the reducer takes 4.5 s on made-up readings and a trial 4.0 s"] if warns else []
    )


def test_what_only_a_realignment_moves_is_among_what_moves():
    trial = {"moves": {"x": (0, 1)}, "messages": 9, "triggers": {}, "uses": {}}
    realigns = {"x": (2.0, 2.0), "mirror": (1.0, 3.0)}
    moves = totals(builders.campaign(), builders.instrument(), [trial], realigns)["moves"]
    told = {path: (one["low"], one["high"]) for path, one in moves.items()}
    assert told == {"x": (0, 2.0), "mirror": (1.0, 3.0)}
