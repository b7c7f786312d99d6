"""Documents as they appear, over ZeroMQ: a live view for screens, never the record of truth."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgpack
import zmq

from orchestrator.adapters.documents.plain import encode
from orchestrator.domain.errors import Unusable

log = logging.getLogger(__name__)

_LOCAL = ("tcp://127.0.0.1:", "ipc://")
_QUEUED = 1000
"""Documents kept for a slow subscriber; what comes on top is lost to it."""


class DocumentPublisher:
    """Publishes documents on this machine. It is called from one thread at a time.

    Args:
        address: ``tcp://127.0.0.1:PORT`` (``*`` for any free port) or ``ipc://PATH``.

    Raises:
        Unusable: the address is not on this machine, or is taken.
    """

    def __init__(self, address: str) -> None:
        _check_local(address)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, _QUEUED)
        self._socket.setsockopt(zmq.LINGER, 0)
        try:
            self._socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise Unusable(f"cannot publish documents at {address}: {error}") from error
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        """The address that subscribers use."""

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Publish one document, or lose it: this neither waits nor raises."""
        try:
            body: Any = msgpack.packb(document, default=encode)
            self._socket.send_multipart([name.encode(), body], zmq.NOBLOCK)
        except (zmq.ZMQError, TypeError, ValueError, OverflowError) as error:
            log.debug("document %s not published: %s", name, error)

    def close(self) -> None:
        """Stop publishing; later documents are lost."""
        self._socket.close()
        self._context.term()


def subscribe(
    address: str, timeout_s: float | None = None
) -> Iterator[tuple[str, dict[str, Any]] | None]:
    """Names and documents as they are published, from the moment of the first ``next``.

    Gives None whenever nothing came for ``timeout_s`` seconds; with None it waits for ever.

    Raises:
        Unusable: the address is not on this machine.
    """
    _check_local(address)
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, _QUEUED)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        while True:
            if not socket.poll(None if timeout_s is None else int(timeout_s * 1000)):
                yield None
                continue
            name, body = socket.recv_multipart()
            yield name.decode(), msgpack.unpackb(body)


def _check_local(address: str) -> None:
    if not address.startswith(_LOCAL):
        raise Unusable(f"{address} is not on this machine; use {_LOCAL[0]}PORT or ipc://PATH")
