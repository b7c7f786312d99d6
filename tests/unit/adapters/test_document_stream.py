import threading
import time

import numpy as np
import pytest

from orchestrator.adapters.documents.document_stream import DocumentPublisher, subscribe
from orchestrator.domain.errors import Unusable


@pytest.fixture
def publisher():
    publisher = DocumentPublisher("tcp://127.0.0.1:*")
    yield publisher
    publisher.close()


def received(publisher, document):
    """Publish until the subscriber has joined and received."""
    joined = threading.Event()
    found = []

    def listen():
        for item in subscribe(publisher.address, 10):
            found.append(item)
            joined.set()
            return

    listener = threading.Thread(target=listen)
    listener.start()
    while not joined.wait(0.02):
        publisher("event", document)
    listener.join()
    return found[0]


def test_documents_arrive_as_plain_data(publisher):
    document = {"data": {"a": np.float64(0.1), "b": np.arange(3), "c": float("nan")}}
    name, got = received(publisher, document)
    assert name == "event"
    assert got["data"]["a"] == 0.1
    assert got["data"]["b"] == [0, 1, 2]
    assert np.isnan(got["data"]["c"])


def test_over_a_local_socket(tmp_path):
    publisher = DocumentPublisher(f"ipc://{tmp_path}/s")
    assert received(publisher, {"uid": "u"}) == ("event", {"uid": "u"})
    publisher.close()


def test_publishing_without_subscribers_neither_waits_nor_raises(publisher):
    began = time.monotonic()
    for _ in range(3000):
        publisher("event", {"uid": "u"})
    publisher("event", {"uid": object()})
    assert time.monotonic() - began < 5


def test_slow_subscriber_does_not_hold_the_publisher_up(publisher):
    slow = subscribe(publisher.address, 0.01)
    next(slow)
    began = time.monotonic()
    for _ in range(5000):
        publisher("event", {"uid": "u" * 1000})
    assert time.monotonic() - began < 5
    slow.close()


def test_closed_publisher_loses_documents(publisher):
    publisher.close()
    publisher("event", {"uid": "u"})


def test_silence_is_told(publisher):
    stream = subscribe(publisher.address, 0.01)
    assert next(stream) is None
    stream.close()


@pytest.mark.parametrize("address", ["tcp://*:0", "tcp://0.0.0.0:5577", "tcp://example.org:1"])
def test_nothing_is_offered_to_the_network(address):
    with pytest.raises(Unusable, match="not on this machine"):
        DocumentPublisher(address)
    with pytest.raises(Unusable):
        next(subscribe(address))


def test_taken_address_is_refused(publisher):
    with pytest.raises(Unusable, match="cannot publish"):
        DocumentPublisher(publisher.address)
