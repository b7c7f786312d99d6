"""Asks the manager of a bluesky-queueserver, by its own JSON over ZeroMQ."""

import threading
from collections.abc import Mapping
from typing import Any

import zmq

from orchestrator.domain.errors import LabError
from orchestrator.domain.spec import QueueserverSpec

ANSWER_S = 2.0
"""Longest wait for one answer. The manager itself waits half a second for its RE worker."""
HISTORY_S = 30.0
"""Longest wait for the history. It comes whole, and one of 20,000 items takes 2 seconds."""


class NoAnswer(LabError):
    """The manager did not answer in time; whether it has done what was asked is not known."""


class Refused(LabError):
    """The manager has answered that it does not do what was asked."""


class QueueserverClient:
    """One client of one manager; it may be used from several threads.

    Args:
        where: the manager's address, its public key, and for whom to ask.
    """

    def __init__(self, where: QueueserverSpec) -> None:
        self._where = where
        self._context: zmq.Context[Any] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The manager's answer.

        Raises:
            NoAnswer: there is none within ANSWER_S.
            Refused: it says why it will not.
        """
        return self._ask(method, parameters, ANSWER_S)

    def history(self) -> list[dict[str, Any]]:
        """The items that the manager has done with, oldest first.

        Raises:
            NoAnswer: they do not come within HISTORY_S.
            Refused: it says why it will not.
        """
        return self._ask("history_get", {}, HISTORY_S)["items"]

    def status(self) -> dict[str, Any]:
        """What the manager and its RE worker do.

        Raises:
            NoAnswer: there is none.
        """
        return self.ask("status")

    def close(self) -> None:
        """Ask nothing more."""
        with self._lock:
            self._drop()
            if self._context is not None:
                self._context.term()
            self._context = None

    def _ask(self, method: str, parameters: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        with self._lock:
            answer = self._exchange({"method": method, "params": parameters}, within_s)
        if answer.get("success") is False:
            why = str(answer.get("msg") or f"{method} failed, and it does not say why")
            raise Refused(" ".join(why.split()))
        return answer

    def _exchange(self, question: dict[str, Any], within_s: float) -> dict[str, Any]:
        try:
            socket = self._socket or self._connect()
            socket.send_json(question)
            if not socket.poll(int(within_s * 1000)):
                raise NoAnswer(f"the queueserver at {self._where.control} does not answer")
            answer: Any = socket.recv_json()
            return dict(answer)
        except (zmq.ZMQError, ValueError, TypeError) as error:
            self._drop()
            raise NoAnswer(f"the queueserver at {self._where.control}: {error}") from error
        except NoAnswer:
            self._drop()  # a late answer would be taken for that to the next question
            raise

    def _connect(self) -> "zmq.Socket[bytes]":
        self._context = self._context or zmq.Context()
        socket = self._context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        if self._where.public_key is not None:
            public, secret = zmq.curve_keypair()  # the manager lets in who knows its own key
            socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, self._where.public_key.encode())
        socket.connect(self._where.control)
        self._socket = socket
        return socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
