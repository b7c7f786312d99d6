"""Notices by e-mail: one SMTP session for each, over TLS where the server's URL says so."""

import contextlib
import hashlib
import platform
import re
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from orchestrator.adapters.notices.redaction import redacted
from orchestrator.domain.errors import NotDelivered, Unusable
from orchestrator.domain.notices import Notice

TIMEOUT_S = 10.0
"""Longest wait for each answer of the server."""
PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
"""The URL's schemes: in the clear, TLS from the start, TLS by STARTTLS; with their usual ports."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_ADDRESS = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+")


@dataclass(frozen=True, slots=True)
class MailServer:
    """A server that takes mail."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    """Login name; None when the server asks for none."""
    password: str | None = field(default=None, repr=False)

    @classmethod
    def from_url(cls, url: str, password: str | None = None) -> Self:
        """The server that a URL names, such as ``smtp+starttls://user@mail.example.org:587``.

        Raises:
            Unusable: the URL cannot be used; a password in it is not repeated.
        """
        parts = _parsed(url)
        if parts is None:
            raise Unusable(
                "LABWRIGHT_SMTP_URL is no mail server; write smtp://host:25, smtps://user@host:465 "
                "or smtp+starttls://user@host:587 (its value is not shown, it may hold a secret)"
            )
        if parts.password is not None:
            raise Unusable(
                "LABWRIGHT_SMTP_URL holds a password, where others may see it; put that into "
                "LABWRIGHT_SMTP_PASSWORD, or into a file named by LABWRIGHT_SMTP_PASSWORD_FILE"
            )
        user = unquote(parts.username) if parts.username else None
        if (user is None) != (password is None):
            given, missing = ("password", "user") if user is None else ("user", "password")
            raise Unusable(
                f"LABWRIGHT_SMTP_URL and the password belong together: there is a {given} and no "
                f"{missing}; the user stands in the URL (smtps://user@host), the password in "
                "LABWRIGHT_SMTP_PASSWORD or LABWRIGHT_SMTP_PASSWORD_FILE"
            )
        if password and parts.scheme == "smtp" and parts.hostname not in _LOOPBACK:
            raise Unusable(
                f"LABWRIGHT_SMTP_URL would send the password to {parts.hostname} in the clear; "
                "use smtp+starttls:// or smtps://"
            )
        port = parts.port or PORTS[parts.scheme]
        return cls(parts.scheme, str(parts.hostname), port, user, password)


def _parsed(url: str) -> SplitResult | None:
    """The URL's parts; None when it is not that of a mail server."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:
        return None
    rest = parts.path.strip("/") or parts.query or parts.fragment
    return parts if is_usable and not rest else None


def addresses(text: str, variable: str) -> list[str]:
    """The addresses in a comma separated list.

    Raises:
        Unusable: one is no address; the message names the variable.
    """
    found = [one.strip() for one in text.split(",") if one.strip()]
    wrong = [one for one in found if not _ADDRESS.fullmatch(one)]
    if wrong or not found:
        shown = f"; {wrong[0]!r} is none" if wrong else ""
        raise Unusable(f"{variable} must be mail addresses parted by commas{shown}")
    return found


@dataclass(frozen=True, slots=True)
class EmailChannel:
    """ports.NoticeChannel by SMTP."""

    server: MailServer
    recipients: Sequence[str]
    sender: str
    timeout_s: float = TIMEOUT_S
    name: str = "email"

    @property
    def where(self) -> str:
        """See ports.NoticeChannel."""
        return f"{', '.join(self.recipients)} by {self.server.host}:{self.server.port}"

    def send(self, notice: Notice) -> str:
        """See ports.NoticeChannel."""
        try:
            session = self._session()
            try:
                refused = session.send_message(self._message(notice), to_addrs=self.recipients)
            finally:
                _leave(session)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            # Without its cause: a traceback must not carry what a server may have repeated.
            raise NotDelivered(f"e-mail to {self.where}: {self._why(error)}") from None
        return f"the server refused {', '.join(sorted(refused))}" if refused else ""

    def _session(self) -> smtplib.SMTP:
        """A session that is ready for mail; the caller closes it."""
        server, context = self.server, ssl.create_default_context()
        # Named, because smtplib would otherwise ask the name service, which may be what is down.
        options = {"local_hostname": platform.node() or "localhost", "timeout": self.timeout_s}
        session = (
            smtplib.SMTP_SSL(server.host, server.port, context=context, **options)
            if server.scheme == "smtps"
            else smtplib.SMTP(server.host, server.port, **options)
        )
        try:
            if server.scheme == "smtp+starttls":
                session.starttls(context=context)
            if server.user is not None and server.password is not None:
                session.login(server.user, server.password)
        except BaseException:
            _leave(session)
            raise
        return session

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = notice.subject
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Date"] = format_datetime(localtime())
        # The same for the same notice, so that a mail program can drop a copy of it.
        digest = hashlib.sha256(notice.key.encode()).hexdigest()[:32]
        message["Message-ID"] = f"<{digest}@labwright>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Labwright-Notice"] = notice.key
        message.set_content(notice.body)
        return message

    def _why(self, error: Exception) -> str:
        """What went wrong, in words, without the password."""
        if TimeoutError in (type(error), type(error.__context__)):  # smtplib hides it in a context
            return f"no answer within {self.timeout_s:g} s"
        if isinstance(error, smtplib.SMTPAuthenticationError):
            text = f"the server refused the login of {self.server.user} ({error.smtp_code})"
        elif isinstance(error, smtplib.SMTPRecipientsRefused):
            answers = {f"{who}: {code} {said!r}" for who, (code, said) in error.recipients.items()}
            text = f"the server refused every recipient: {'; '.join(sorted(answers))}"
        elif isinstance(error, smtplib.SMTPResponseException):
            text = f"the server said {error.smtp_code} {error.smtp_error!r}"
        else:
            text = str(error) or type(error).__name__
        return redacted(text, [self.server.password])


def _leave(session: smtplib.SMTP) -> None:
    """Say goodbye; how the server takes that does not change what it has taken before."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        session.quit()
    session.close()
