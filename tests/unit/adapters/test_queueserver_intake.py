"""The documents of one attempt, of which one is lost on its way."""

import pytest

from orchestrator.adapters.queueserver.intake import Intake

RUN = [
    ("start", {"uid": "r", "trial_id": 7}),
    ("descriptor", {"uid": "d", "run_start": "r", "name": "frames"}),
    ("stream_resource", {"uid": "file", "run_start": "r"}),
    (
        "stream_datum",
        {
            "uid": "file/0",
            "stream_resource": "file",
            "descriptor": "d",
            "seq_nums": {"start": 1, "stop": 4},
        },
    ),
    ("stop", {"uid": "s", "run_start": "r", "num_events": {"frames": 3}}),
]


class Source:
    def __init__(self):
        self.waiting = []

    def take(self):
        while self.waiting:
            yield self.waiting.pop(0)


def taken(documents):
    """What is lacking, and what was saved, of a detector that tells of frames without events."""
    source, saved = Source(), []
    intake = Intake(source, lambda name, _: saved.append(name), {"trial_id": 7})
    source.waiting = list(documents)
    intake.take()
    return intake.lack(["r"]), saved


def test_nothing_lacks_when_all_came():
    assert taken(RUN) == (None, [name for name, _ in RUN])


@pytest.mark.parametrize("lost", [name for name, _ in RUN])
def test_what_is_lost_is_missed(lost):
    lack, saved = taken([one for one in RUN if one[0] != lost])
    assert lack is not None
    assert lost not in saved
