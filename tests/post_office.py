"""A mail server and a webhook on 127.0.0.1 that take real connections and misbehave on demand."""

import base64
import json
import shutil
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest


@dataclass
class Behaviour:
    """What the server demands, and what it does wrong. It may be changed while it runs."""

    login: tuple[str, str] | None = None
    """User and password that it asks for."""
    refuses: tuple[str, ...] = ()
    """Recipients that it refuses."""
    hangs_at: str = ""
    """A command after which it says no more, or ``connect``."""
    answers_goodbye_with: str = "221 bye"
    starttls: ssl.SSLContext | None = None
    logins: list[tuple[str, str]] = field(default_factory=list)
    sessions: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set whenever somebody connects."""
    released: threading.Event = field(default_factory=threading.Event)
    """Ends every hanging session."""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    was_encrypted: list[bool] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    """One SMTP session, as RFC 5321 has it, with AUTH PLAIN and STARTTLS."""

    def handle(self) -> None:
        self.told: Behaviour = cast(Any, self.server).behaviour
        self.told.sessions += 1
        self.told.arrived.set()
        self.is_encrypted = isinstance(self.connection, ssl.SSLSocket)
        self.to: list[str] = []
        self.is_known = self.told.login is None
        if self._hangs("connect"):
            return
        self._say("220 post office")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            if self._hangs(verb.lower()) or not self._answer(verb.lower(), rest):
                return

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _hangs(self, where: str) -> bool:
        if self.told.hangs_at == where:
            self.told.released.wait(30)
            return True
        return False

    def _answer(self, verb: str, rest: str) -> bool:
        if verb == "ehlo":
            offers = ["AUTH PLAIN"] if self.told.login else []
            offers += ["STARTTLS"] if self.told.starttls and not self.is_encrypted else []
            for line in ("post office", *offers):
                self._say(f"250-{line}")
            self._say("250 SMTPUTF8")
        elif verb == "starttls" and self.told.starttls:
            self._say("220 go on")
            try:
                self.connection = self.told.starttls.wrap_socket(self.connection, server_side=True)
            except (ssl.SSLError, ConnectionError):
                return False
            self.rfile = self.connection.makefile("rb")
            self.wfile = cast(Any, self.connection.makefile("wb", 0))
            self.is_encrypted = True
        elif verb == "auth":
            _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
            self.told.logins.append((user, password))
            self.is_known = (user, password) == self.told.login
            # Rude on purpose: some servers repeat what they were given.
            self._say("235 welcome" if self.is_known else f"535 no {user} with {password} {rest}")
        elif not self.is_known:
            self._say("530 log in first")
        elif verb == "rcpt":
            address = rest.partition("<")[2].partition(">")[0]
            is_welcome = address not in self.told.refuses
            self.to += [address] if is_welcome else []
            self._say("250 fine" if is_welcome else f"550 no {address} here")
        elif verb == "data":
            self._say("354 go on")
            self._take()
        elif verb == "quit":
            self._say(self.told.answers_goodbye_with)
            return False
        else:
            self._say("250 fine")
        return True

    def _take(self) -> None:
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        self.told.was_encrypted.append(self.is_encrypted)
        self.told.recipients.append(self.to)
        self.told.mails.append(cast(EmailMessage, mail))
        self._say("250 taken")

    def finish(self) -> None:
        super().finish()
        self.rfile.close()
        self.connection.close()


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    behaviour: Behaviour

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is an ordinary thing here."""


@contextmanager
def mail_server(
    behaviour: Behaviour, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve mail as told; gives the port. With ``tls`` the session is encrypted from the start."""
    with _MailServer(("127.0.0.1", port), _Session) as server:
        server.behaviour = behaviour
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        yield from _served(server, server.server_address[1])
        behaviour.released.set()


@dataclass
class Webhook:
    """What a webhook was sent, and what it answers."""

    code: int = 200
    answer: str = ""
    hangs: bool = False
    location: str = ""
    posts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Path and content of each."""
    released: threading.Event = field(default_factory=threading.Event)


class _Post(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        told: Webhook = cast(Any, self.server).told
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if told.hangs:
            told.released.wait(30)
            return
        told.posts.append((self.path, content))
        self.send_response(told.code)
        if told.location:
            self.send_header("Location", told.location)
        self.end_headers()
        self.wfile.write(told.answer.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Tests have something else to say."""


class _WebhookServer(ThreadingHTTPServer):
    daemon_threads = True
    told: Webhook


@contextmanager
def webhook_server(told: Webhook) -> Iterator[int]:
    """Take posts as told; gives the port."""
    with _WebhookServer(("127.0.0.1", 0), _Post) as server:
        server.told = told
        yield from _served(server, server.server_address[1])
        told.released.set()


def _served(server: socketserver.BaseServer, port: int) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()


def free_port() -> int:
    """A port on which nobody listens."""
    with socketserver.TCPServer(("127.0.0.1", 0), _Session, bind_and_activate=True) as server:
        return server.server_address[1]


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for ``localhost``, and the file that makes a client trust it."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
