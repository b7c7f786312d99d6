"""Notices by webhook: one JSON POST for each. The URL itself may be the secret."""

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from typing import IO, Any
from urllib.parse import urlsplit

from orchestrator.adapters.notices.redaction import redacted
from orchestrator.domain.errors import NotDelivered, Unusable
from orchestrator.domain.events import iso
from orchestrator.domain.notices import Notice

TIMEOUT_S = 10.0
"""Longest wait for each answer of the server."""
_KEPT = 300
"""Bytes of a refusal that are shown."""
_SHORTEST = 6
"""Characters from which on a part of the URL is kept out of messages: ``hook`` tells nothing."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a refusal: followed, it would become a GET without the notice."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        return None


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """ports.NoticeChannel by HTTP.

    The body has ``text`` (subject and body, which Slack, Mattermost and Teams show), and for
    programs ``key`` (the same for the same notice), ``kind``, ``campaign_id``, ``since``,
    ``subject``, ``body``.
    """

    url: str = field(repr=False)
    timeout_s: float = TIMEOUT_S
    name: str = "webhook"

    def __post_init__(self) -> None:
        """Refuse a URL that nothing could be sent to; the message does not repeat it."""
        try:
            parts = urlsplit(self.url)
            is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            is_usable = is_usable and parts.username is None
        except ValueError:
            is_usable = False
        if not is_usable or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise Unusable(
                "LABWRIGHT_NOTIFY_WEBHOOK must be a URL that begins with https:// or http:// and "
                "names a host and no user (its value is not shown, it may be a secret)"
            )

    @property
    def where(self) -> str:
        """See ports.NoticeChannel."""
        return str(urlsplit(self.url).hostname)

    def send(self, notice: Notice) -> str:
        """See ports.NoticeChannel."""
        headers = {"Content-Type": "application/json", "User-Agent": "labwright"}
        data = json.dumps(_content(notice)).encode()
        try:
            request = urllib.request.Request(self.url, data, headers, method="POST")
            opener = urllib.request.build_opener(_NoRedirect)
            with opener.open(request, timeout=self.timeout_s) as answer:
                answer.read(_KEPT)
        except (OSError, HTTPException, ValueError) as error:
            why = redacted(self._why(error), self._secrets())
            # Without its cause: several of these errors repeat the URL.
            raise NotDelivered(f"webhook at {self.where}: {why}") from None
        return ""

    def _why(self, error: Exception) -> str:
        """What went wrong, in words."""
        if isinstance(error, urllib.error.HTTPError):
            with error:
                return f"the server said {error.code} {error.reason} {_said(error)}".rstrip()
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return f"no answer within {self.timeout_s:g} s"
        if isinstance(reason, OSError):
            return str(reason) or type(reason).__name__
        return type(reason).__name__

    def _secrets(self) -> list[str]:
        """All of the URL that may not be shown; the whole first, then its parts."""
        parts = urlsplit(self.url)
        pieces = [parts.path.strip("/"), parts.query, *re.split(r"[/&=]", self.url)]
        shown = (parts.scheme, parts.netloc, f"{parts.scheme}:")
        return [self.url, *(one for one in pieces if len(one) >= _SHORTEST and one not in shown)]


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return " ".join(error.read(_KEPT).decode(errors="replace").split())
    except (OSError, HTTPException):
        return ""


def _content(notice: Notice) -> dict[str, Any]:
    return {
        "text": f"{notice.subject}\n\n{notice.body}",
        "key": notice.key,
        "kind": str(notice.kind),
        "campaign_id": notice.campaign_id,
        "since": iso(notice.at),
        "subject": notice.subject,
        "body": notice.body,
    }
