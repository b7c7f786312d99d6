"""How long a manager is waited for."""

import threading
from contextlib import closing
from typing import Any

import pytest
import zmq

from orchestrator.adapters.queueserver import client as queueserver_client
from orchestrator.adapters.queueserver.client import NoAnswer, QueueserverClient
from orchestrator.domain.spec import QueueserverSpec


def test_a_long_history_has_more_time_to_come_than_any_other_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queueserver_client, "ANSWER_S", 0.1)
    is_given_up = threading.Event()

    def answer_late() -> None:
        for _ in range(2):
            question: Any = manager.recv_json()
            is_given_up.wait(10)
            manager.send_json({"items": [question["method"]]})

    with zmq.Context() as context, context.socket(zmq.REP) as manager:
        port = manager.bind_to_random_port("tcp://127.0.0.1")
        answering = threading.Thread(target=answer_late)
        answering.start()
        where = {"control": f"tcp://127.0.0.1:{port}", "documents": "tcp://127.0.0.1:1"}
        with closing(QueueserverClient(QueueserverSpec.from_data(where))) as client:
            with pytest.raises(NoAnswer):
                client.status()
            threading.Timer(0.3, is_given_up.set).start()
            assert client.history() == ["history_get"]
        answering.join()
