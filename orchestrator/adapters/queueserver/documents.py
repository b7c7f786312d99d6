"""Receives the documents of a queueserver's plans, as Bluesky's own publisher sends them.

That publisher pickles documents unless it is told otherwise, and whoever reaches its proxy can send
to us. So a pickle may hold plain data and numpy's numbers, and nothing that could be called; JSON
is taken as well.
"""

import io
import json
import logging
import pickle
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import zmq

log = logging.getLogger(__name__)

Document = tuple[str, dict[str, Any]]

REACH_S = 2.0
"""Longest wait for a connection to where documents are published."""
LOOK_MS = 100
"""How long the receiving thread waits before it looks whether it should end."""

_CORES = ("core", "_core")
_ALLOWED = {
    ("collections", "OrderedDict"),  # in descriptors
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    # Numpy 1 and 2 call their modules differently.
    *((f"numpy.{core}.multiarray", name) for core in _CORES for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in _CORES),
}
"""What a pickle may name."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is no plain data")
        return super().find_class(module_name, global_name)


def decoded(message: bytes) -> Document:
    """Name and document of one message: ``PREFIX NAME BODY``, in pickle or JSON.

    Raises:
        ValueError: it is neither, or holds something that is not plain data.
    """
    try:
        _, name, body = message.split(b" ", 2)
        if body.startswith(b"{"):
            return name.decode(), dict(json.loads(body))
        return name.decode(), dict(_PlainUnpickler(io.BytesIO(body)).load())
    except Exception as error:  # a pickle that somebody has made up may raise anything
        raise ValueError(f"{type(error).__name__}: {error}") from error


def silence(address: str) -> str | None:
    """Why no document can come from an address; None when somebody is there, or for ``ipc``."""
    parts = urlsplit(address)
    if parts.scheme != "tcp":
        return None
    try:
        socket.create_connection((parts.hostname, parts.port), REACH_S).close()
    except OSError as error:
        return f"nothing publishes documents at {address}: {error.strerror or error}"
    return None


class DocumentListener:
    """Keeps what is published at an address while an attempt listens, until somebody asks.

    It is connected from now until ``close``, and throws away what comes between attempts: others
    may publish for days.

    Args:
        address: of the proxy, such as ``tcp://127.0.0.1:5578``.
    """

    def __init__(self, address: str) -> None:
        self._received: queue.SimpleQueue[Document] = queue.SimpleQueue()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)  # without limit: a lost document costs the trial
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.connect(address)
        self.address = address
        self._is_heard = threading.Event()
        self._is_over = threading.Event()
        self.refused: str | None = None
        """Why the last message of this attempt was thrown away; None when none was."""
        name = "queueserver-documents"
        self._thread = threading.Thread(target=self._receive, name=name, daemon=True)
        self._thread.start()

    @contextmanager
    def heard(self) -> Iterator[None]:
        """While this is open, what comes is kept."""
        self.refused = None
        self._is_heard.set()
        try:
            yield
        finally:
            self._is_heard.clear()

    def take(self) -> Iterator[Document]:
        """What has come since the last call, without waiting."""
        while True:
            try:
                yield self._received.get_nowait()
            except queue.Empty:
                return

    def close(self) -> None:
        """Listen no more."""
        self._is_over.set()
        self._thread.join()
        self._socket.close()
        self._context.term()

    def _receive(self) -> None:
        while not self._is_over.is_set():
            if not self._socket.poll(LOOK_MS):
                continue
            message = self._socket.recv()
            if not self._is_heard.is_set():
                continue
            try:
                self._received.put(decoded(message))
            except ValueError as error:
                self.refused = str(error)
                log.warning("a message among the documents was thrown away: %s", error)
