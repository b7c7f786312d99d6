"""E-mail and webhook against real servers on 127.0.0.1, polite ones and rude ones."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.notices.notify_email import EmailChannel, MailServer, addresses
from orchestrator.adapters.notices.notify_webhook import WebhookChannel
from orchestrator.domain.errors import NotDelivered, Unusable
from orchestrator.domain.notices import Notice, NoticeKind
from tests.post_office import (
    Behaviour,
    Webhook,
    certificate,
    free_port,
    mail_server,
    webhook_server,
)

pytestmark = pytest.mark.integration

CANARY = "hunter2-canary-3f9a"
NOTICE = Notice(
    key="scan-1/7-0/needs_person",
    kind=NoticeKind.NEEDS_PERSON,
    campaign_id="scan-1",
    at=1_800_000_000.25,
    subject="[Labwright TWIN] scan-1 needs a person: 80 °C",
    body="What happened.\n.\nlabwright resume scan-1\n",
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def post() -> Behaviour:
    return Behaviour()


@pytest.fixture
def port(post: Behaviour) -> Iterator[int]:
    with mail_server(post) as found:
        yield found


def channel(url: str, *to: str, password: str | None = None, timeout_s: float = 5.0):
    server = MailServer.from_url(url, password)
    recipients = to or ("ops@example.org", "night@example.org")
    return EmailChannel(server, recipients, "lab@example.org", timeout_s)


def test_a_mail_arrives_as_it_was_written(post: Behaviour, port: int) -> None:
    assert channel(f"smtp://127.0.0.1:{port}").send(NOTICE) == ""
    (mail,) = post.mails
    assert mail["Subject"] == NOTICE.subject
    assert mail["From"] == "lab@example.org"
    assert mail["To"] == "ops@example.org, night@example.org"
    assert mail["X-Labwright-Notice"] == NOTICE.key
    assert mail.get_content().replace("\r\n", "\n") == NOTICE.body
    assert post.recipients == [["ops@example.org", "night@example.org"]]


def test_the_same_notice_has_the_same_message_id(post: Behaviour, port: int) -> None:
    for _ in range(2):
        channel(f"smtp://127.0.0.1:{port}").send(NOTICE)
    one, two = (mail["Message-ID"] for mail in post.mails)
    assert one == two


def test_one_wrong_address_does_not_silence_the_others(post: Behaviour, port: int) -> None:
    post.refuses = ("night@example.org",)
    remark = channel(f"smtp://127.0.0.1:{port}").send(NOTICE)
    assert remark == "the server refused night@example.org"
    assert post.recipients == [["ops@example.org"]]


def test_every_address_refused_is_a_failure(post: Behaviour, port: int) -> None:
    post.refuses = ("ops@example.org", "night@example.org")
    with pytest.raises(NotDelivered, match="refused every recipient: .*550"):
        channel(f"smtp://127.0.0.1:{port}").send(NOTICE)


def test_a_rude_goodbye_does_not_undo_what_was_taken(post: Behaviour, port: int) -> None:
    post.answers_goodbye_with = "451 not now"
    assert channel(f"smtp://127.0.0.1:{port}").send(NOTICE) == ""
    assert len(post.mails) == 1


def test_a_login_that_is_right(post: Behaviour, port: int) -> None:
    post.login = ("lab@example.org", CANARY)
    channel(f"smtp://lab%40example.org@127.0.0.1:{port}", password=CANARY).send(NOTICE)
    assert post.logins == [post.login]
    assert len(post.mails) == 1


def test_a_refused_login_is_told_without_the_password(post: Behaviour, port: int) -> None:
    post.login = ("lab", "something else")
    with pytest.raises(NotDelivered, match=r"refused the login of lab \(535\)") as caught:
        channel(f"smtp://lab@127.0.0.1:{port}", password=CANARY).send(NOTICE)
    assert post.logins == [("lab", CANARY)], "it was really sent, and the server repeated it"
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException, secret: str = CANARY) -> None:
    """Neither the error nor the traceback that a log would show holds the secret."""
    import traceback

    assert secret not in "".join(traceback.format_exception(error))
    assert secret not in repr(error)


@pytest.mark.parametrize("where", ["connect", "ehlo", "data", "rcpt"])
def test_a_mail_server_that_hangs_is_left(post: Behaviour, port: int, where: str) -> None:
    post.hangs_at = where
    with pytest.raises(NotDelivered, match="no answer within 0.3 s"):
        channel(f"smtp://127.0.0.1:{port}", timeout_s=0.3).send(NOTICE)


def test_a_mail_server_that_is_not_there() -> None:
    with pytest.raises(NotDelivered, match=r"(?i)connection refused"):
        channel(f"smtp://127.0.0.1:{free_port()}").send(NOTICE)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    return tls[0]


def test_starttls_comes_before_the_password(
    post: Behaviour, port: int, trusted: ssl.SSLContext
) -> None:
    post.starttls, post.login = trusted, ("lab", CANARY)
    channel(f"smtp+starttls://lab@localhost:{port}", password=CANARY).send(NOTICE)
    assert post.was_encrypted == [True]


def test_a_server_without_starttls_gets_no_password(post: Behaviour, port: int) -> None:
    post.login = ("lab", CANARY)
    with pytest.raises(NotDelivered, match="STARTTLS"):
        channel(f"smtp+starttls://lab@localhost:{port}", password=CANARY).send(NOTICE)
    assert post.logins == []


def test_tls_from_the_start(trusted: ssl.SSLContext) -> None:
    post = Behaviour(login=("lab", CANARY))
    with mail_server(post, tls=trusted) as port:
        channel(f"smtps://lab@localhost:{port}", password=CANARY).send(NOTICE)
    assert post.was_encrypted == [True]


def test_a_certificate_of_nobody_knows_whom_is_refused(
    post: Behaviour, port: int, tls: tuple[ssl.SSLContext, Path]
) -> None:
    post.starttls, post.login = tls[0], ("lab", CANARY)
    with pytest.raises(NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
        channel(f"smtp+starttls://lab@localhost:{port}", password=CANARY).send(NOTICE)
    assert post.logins == []


@pytest.mark.parametrize(
    ("url", "password", "complaint"),
    [
        ("mail.example.org", None, "is no mail server; write smtp://host:25"),
        ("http://mail.example.org", None, "is no mail server"),
        ("smtp://", None, "is no mail server"),
        ("smtp://host:no", None, "is no mail server"),
        ("smtp://host:0", None, "is no mail server"),
        ("smtp://[::1", None, "is no mail server"),
        (f"smtps://host/?password={CANARY}", None, "is no mail server"),
        (f"smtps://lab:{CANARY}@host", None, "holds a password"),
        (f"smtps://lab:{CANARY[:5]}/{CANARY}@host", None, "is no mail server"),
        ("smtps://host", CANARY, "there is a password and no user"),
        ("smtps://lab@host", None, "there is a user and no password"),
        ("smtp://lab@mail.example.org", CANARY, "in the clear; use smtp"),
    ],
)
def test_a_mail_server_that_cannot_be_meant(url: str, password: str | None, complaint: str) -> None:
    with pytest.raises(Unusable, match=complaint) as caught:
        MailServer.from_url(url, password)
    assert "LABWRIGHT_SMTP_URL" in str(caught.value)
    assert_no_secret(caught.value)


def test_usual_ports() -> None:
    ports = [MailServer.from_url(f"{one}://h").port for one in ("smtp", "smtps", "smtp+starttls")]
    assert ports == [25, 465, 587]


@pytest.mark.parametrize("text", ["", " , ", "ops", "a@b\nBcc: c@d", "Ops <ops@b>", "a@b;c@d"])
def test_what_is_no_list_of_addresses(text: str) -> None:
    with pytest.raises(Unusable, match="NAME must be mail addresses parted by commas"):
        addresses(text, "NAME")


def test_a_list_of_addresses() -> None:
    assert addresses("a@b.org, c@d.org,", "NAME") == ["a@b.org", "c@d.org"]


# The webhook


def test_a_webhook_is_told_all_of_it() -> None:
    told = Webhook(code=204)
    with webhook_server(told) as port:
        assert WebhookChannel(f"http://127.0.0.1:{port}/hook").send(NOTICE) == ""
    ((path, content),) = told.posts
    assert path == "/hook"
    assert content == {
        "text": f"{NOTICE.subject}\n\n{NOTICE.body}",
        "key": "scan-1/7-0/needs_person",
        "kind": "needs_person",
        "campaign_id": "scan-1",
        "since": "2027-01-15T08:00:00.250000Z",
        "subject": NOTICE.subject,
        "body": NOTICE.body,
    }


@pytest.mark.parametrize("code", [400, 403, 500, 503])
def test_a_webhook_that_refuses_is_told_by_its_host_only(code: int) -> None:
    told = Webhook(code=code, answer=f"no such hook: /services/{CANARY}")
    with webhook_server(told) as port:
        hook = WebhookChannel(f"http://127.0.0.1:{port}/services/{CANARY}?token={CANARY}x")
        with pytest.raises(
            NotDelivered, match=rf"webhook at 127.0.0.1: .*{code}.*\*\*\*"
        ) as caught:
            hook.send(NOTICE)
    assert_no_secret(caught.value)
    assert CANARY not in repr(hook)
    assert hook.where == "127.0.0.1"


def test_a_redirect_is_no_delivery() -> None:
    elsewhere = Webhook()
    with webhook_server(elsewhere) as other:
        told = Webhook(code=302, location=f"http://127.0.0.1:{other}/{CANARY}")
        with webhook_server(told) as port, pytest.raises(NotDelivered, match="302"):
            WebhookChannel(f"http://127.0.0.1:{port}/hook").send(NOTICE)
    assert elsewhere.posts == []


def test_a_webhook_that_hangs_is_left() -> None:
    with webhook_server(Webhook(hangs=True)) as port:
        with pytest.raises(NotDelivered, match="no answer within 0.3 s"):
            WebhookChannel(f"http://127.0.0.1:{port}/hook", timeout_s=0.3).send(NOTICE)


def test_a_webhook_that_is_not_there() -> None:
    with pytest.raises(NotDelivered, match=r"(?i)connection refused"):
        WebhookChannel(f"http://127.0.0.1:{free_port()}/{CANARY}").send(NOTICE)


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://host/{CANARY}",
        f"https:///{CANARY}",
        f"https://host:no/{CANARY}",
        f"https://host/{CANARY} x",
        f"https://host/{CANARY}\n",
        f"https://lab:{CANARY}@host/",
        f"https://[::1/{CANARY}",
        CANARY,
        f"https://host/{CANARY}ü",
    ],
)
def test_a_webhook_that_cannot_be_meant_is_not_shown(url: str) -> None:
    with pytest.raises(Unusable, match="LABWRIGHT_NOTIFY_WEBHOOK must be a URL") as caught:
        WebhookChannel(url)
    assert_no_secret(caught.value)
