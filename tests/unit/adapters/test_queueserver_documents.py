"""Documents are kept while an attempt listens, and at no other time."""

import json
import queue
import time
from contextlib import closing
from typing import Any

import pytest
import zmq

from orchestrator.adapters.queueserver_documents import DocumentListener


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
