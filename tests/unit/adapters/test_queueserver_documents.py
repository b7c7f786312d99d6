"""Documents are kept while an attempt listens, and at no other time."""

import json
import pickle
import queue
import time
from contextlib import closing
from enum import StrEnum
from typing import Any

import event_model
import numpy as np
import pytest
import zmq

from orchestrator.adapters.queueserver.documents import DocumentListener, decoded


class _Trigger(StrEnum):
    INTERNAL = "internal"


def test_what_no_pickle_may_hold_can_be_published_as_json() -> None:
    data = {"trigger": _Trigger.INTERNAL, "image": np.zeros(2)}
    with pytest.raises(ValueError, match="_Trigger is no plain data"):
        decoded(b" event " + pickle.dumps(data))
    body = json.dumps(data, cls=event_model.NumpyEncoder).encode()
    assert decoded(b" event " + body) == ("event", {"trigger": "internal", "image": [0.0, 0.0]})


class _Subscriber:
    """In the place of a socket: ``published`` is joined once all was looked at."""

    def __init__(self) -> None:
        self.published: queue.Queue[bytes] = queue.Queue()
        self._taken = False

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None

    def poll(self, _: int) -> bool:
        if self._taken:
            self._taken = False
            self.published.task_done()
        time.sleep(0.001)
        return not self.published.empty()

    def recv(self) -> bytes:
        self._taken = True
        return self.published.get()

    def say(self, uid: str) -> None:
        self.published.put(b" start " + json.dumps({"uid": uid}).encode())
        self.published.join()


def test_what_others_publish_between_attempts_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscriber = _Subscriber()
    monkeypatch.setattr(zmq.Context, "socket", lambda *_: subscriber)
    with closing(DocumentListener("tcp://127.0.0.1:1")) as listener:
        subscriber.say("before")
        with listener.heard():
            subscriber.say("ours")
        subscriber.say("theirs")
        assert [document["uid"] for _, document in listener.take()] == ["ours"]
