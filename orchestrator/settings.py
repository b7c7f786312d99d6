"""One tree of settings: from ``LABWRIGHT_*`` in the environment, then the command line.

A plain dataclass: importing pydantic-settings would cost every verb a quarter of a second.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from shlex import quote
from typing import Any, Self

from orchestrator.domain.errors import Unusable

PREFIX = "LABWRIGHT_"


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that is not shown: logs, messages and ``repr`` have three stars instead."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """The text, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ between a laptop, a test and a beamline. Times in seconds, or as named."""

    data_dir: Path = Path("labwright-data")
    """Folder of everything that Labwright keeps."""
    redis_url: str | None = None
    """An existing server; None starts one of our own inside the data folder."""
    lab: str = "lab"
    """Prefix of all keys, so that several labs may share one server."""
    allow_unsafe_server: bool = False
    """True to use a server that may lose data; for tests."""
    lease_s: float = 30.0
    """Seconds that a lease lasts without renewal."""
    beat_s: float = 5.0
    """Seconds between renewals."""
    hung_s: float = 120.0
    """How long after its deadline a worker may still come to an end by itself; then it is hung."""
    ledger_patience_s: float = 30.0
    """How long a process waits for a server that does not answer."""
    connect_timeout_s: float = 10.0
    """Longest time that the devices may take to connect."""
    plan_deadline_s: float = 3600.0
    """Longest time one plan may take before it is aborted."""
    suggestion_deadline_s: float = 300.0
    """Longest time that one suggestion may take; then the optimizer's process is replaced."""
    time_compression: float | None = None
    """Lab seconds that pass on a twin in one second; None takes the twin's own."""
    faults: Path | None = None
    """File of what is to go wrong with a twin; None for nothing."""
    log_level: str = "WARNING"
    """Least level of what goes into the log files."""
    notify_email: str | None = None
    """Addresses to call for help, parted by commas; None sends no e-mail."""
    notify_from: str | None = None
    """Sender of e-mails; None takes the login name, or ``labwright`` on this machine."""
    smtp_url: str | None = field(default=None, repr=False)
    """Server that takes mail: ``smtp://``, ``smtps://`` or ``smtp+starttls://user@host:port``."""
    smtp_password: Secret | None = None
    """Password of the user in ``smtp_url``."""
    smtp_password_file: Path | None = None
    """File with that password, which only its owner can read."""
    notify_webhook: Secret | None = None
    """URL that takes notices as JSON; None calls none."""
    notify_suspended_min: float = 10.0
    """Minutes that a suspension must last before it is told."""

    @classmethod
    def from_environment(cls, **given: Any) -> Self:
        """The settings of this process; ``given`` ones come before the environment.

        Raises:
            Unusable: a variable whose value cannot be used; the message names it.
        """
        found = {
            field.name: _read(PREFIX + field.name.upper(), str(field.type))
            for field in fields(cls)
            if PREFIX + field.name.upper() in os.environ
        }
        return replace(cls(), **{**found, **given})

    @property
    def calls_for_help(self) -> bool:
        """True when somebody is to be told of what a person must know."""
        return bool(self.notify_email or self.notify_webhook)

    def mail_password(self) -> str | None:
        """The mail server's password from where it is kept; None when there is none.

        Raises:
            Unusable: it is given twice, or its file is missing, empty or open to others.
        """
        path = self.smtp_password_file
        if path is None:
            return self.smtp_password.reveal() if self.smtp_password else None
        variable = f"{PREFIX}SMTP_PASSWORD_FILE"
        if self.smtp_password:
            raise Unusable(f"give {PREFIX}SMTP_PASSWORD or {variable}, not both")
        try:
            with path.open() as file:
                others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Unusable(f"{variable}: {path} cannot be read ({type(error).__name__})") from None
        if others:
            raise Unusable(f"{variable}: others can read {path}; say: chmod 600 {quote(str(path))}")
        if not password:
            raise Unusable(f"{variable}: {path} holds no password in its first line")
        return password


def _read(variable: str, kind: str) -> Any:
    text = os.environ[variable]
    if kind.startswith("Secret"):
        return Secret(text)
    if kind.startswith("bool"):
        if text.lower() not in ("0", "1", "true", "false"):
            raise Unusable(f"{variable}={text!r} must be 1 or 0")
        return text.lower() in ("1", "true")
    if not kind.startswith("float"):
        return Path(text) if kind.startswith("Path") else text
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise Unusable(f"{variable}={text!r} must be a number above 0")
    return seconds
