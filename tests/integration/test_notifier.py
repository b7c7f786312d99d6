"""The notifier on a real ledger, with real servers that come, go, hang and refuse."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.ledgers.redis_ledger import RedisLedger
from orchestrator.adapters.notices.notify_email import EmailChannel, MailServer
from orchestrator.adapters.notices.notify_webhook import WebhookChannel
from orchestrator.adapters.processes import child
from orchestrator.app import SystemClock
from orchestrator.domain import events as ev
from orchestrator.domain.envelope import Envelope
from orchestrator.domain.notices import NoticeRules, followed_key
from orchestrator.domain.rules import TAKES_TRIALS
from orchestrator.notifier import Notifier
from tests.post_office import Behaviour, Webhook, free_port, mail_server, webhook_server

pytestmark = pytest.mark.integration

CANARY = "hunter2-canary-3f9a"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def ledger(server: Any, lab_name: str) -> Iterator[RedisLedger]:
    real = RedisLedger(server.url, lab=lab_name, patience_s=5)
    yield real
    real.close()


class Told:
    """Orders to one campaign of the lab."""

    def __init__(self, ledger: RedisLedger, campaign_id: str = "scan-1") -> None:
        self.ledger, self.id = ledger, campaign_id
        opened = ev.Opened(
            campaign_id=campaign_id,
            instrument="stage",
            mode="twin",
            spec={},
            instrument_spec={},
        )
        assert ledger.open_campaign(opened)

    def asks(self, reason: str = "look at the stage") -> None:
        self.ledger.order(self.id, ev.NeedsPerson(by="worker", reason=reason), TAKES_TRIALS)

    def suspends(self) -> None:
        self.ledger.order(self.id, ev.Suspended(by="condition", reason="9 bar"), TAKES_TRIALS)

    def resumes(self) -> None:
        self.ledger.order(self.id, ev.Resumed(by="me"), TAKES_TRIALS)

    def ends(self) -> None:
        newest = self.ledger.events(self.id)[-1].id
        ended = ev.Ended(by="campaign", reason="budget spent", status="done")
        assert self.ledger.end(self.id, ended, newest)


@pytest.fixture
def campaign(ledger: RedisLedger) -> Told:
    return Told(ledger)


def email(port: int, timeout_s: float = 5.0, **login: str) -> EmailChannel:
    user = f"{login['user']}@" if login else ""
    mail = MailServer.from_url(f"smtp://{user}127.0.0.1:{port}", login.get("password"))
    return EmailChannel(mail, ["ops@example.org"], "lab@example.org", timeout_s)


@contextmanager
def notifier(ledger: RedisLedger, *channels: Any, name: str = "one", **rules: float) -> Any:
    """A notifier in this process, stepped by the test; its threads end with the context."""
    made = Notifier(ledger, channels, NoticeRules(**rules), SystemClock(), name, first_wait_s=0.05)
    try:
        yield made
    finally:
        for thread in made._threads.values():
            thread.shutdown(wait=True)


def step_until(what: Callable[[], Any], *notifiers: Notifier, patience_s: float = 20.0) -> None:
    give_up = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < give_up, "waited in vain"
        for one in notifiers:
            one.step()
        time.sleep(0.005)


def step_to_rest(*notifiers: Notifier) -> None:
    """Until no notifier has anything on its way."""

    def all_rest() -> bool:
        busy = [one.step() for one in notifiers]  # each of them, not only up to the first
        return not any(busy)

    step_until(all_rest)


def subjects(post: Behaviour) -> list[str]:
    return [str(mail["Subject"]) for mail in post.mails]


ASKED = "[Labwright TWIN] scan-1 needs a person: look at the stage"
OVER = "[Labwright TWIN] scan-1 is over: done: budget spent"


def test_each_event_is_one_message_on_each_channel(ledger: RedisLedger, campaign: Told) -> None:
    post, hook = Behaviour(), Webhook()
    with mail_server(post) as port, webhook_server(hook) as at:
        channels = (email(port), WebhookChannel(f"http://127.0.0.1:{at}/hook"))
        with notifier(ledger, *channels) as one:
            step_to_rest(one)
            assert post.mails == hook.posts == []
            campaign.asks()
            step_to_rest(one)
            campaign.resumes()
            campaign.ends()
            step_to_rest(one)
            for _ in range(50):
                one.step()
    assert subjects(post) == [ASKED, OVER]
    assert [content["subject"] for _, content in hook.posts] == [ASKED, OVER]


def test_a_server_that_is_down_is_tried_until_it_is_up(
    ledger: RedisLedger, campaign: Told, caplog: pytest.LogCaptureFixture
) -> None:
    port, post = free_port(), Behaviour()
    campaign.asks()
    with notifier(ledger, email(port)) as one:
        step_until(lambda: len(caplog.records) >= 2, one)
        assert "was not sent, next try in" in caplog.text
        with mail_server(post, port):
            step_until(lambda: post.mails, one)
            step_to_rest(one)
            for _ in range(50):
                one.step()
    assert subjects(post) == [ASKED]


def test_waits_grow_up_to_a_few_minutes(ledger: RedisLedger, campaign: Told, caplog: Any) -> None:
    campaign.asks()
    with notifier(ledger, email(free_port())) as one:
        for _ in range(16):
            for delivery in one._deliveries.values():
                delivery.not_before = 0.0
            step_to_rest(one)
    waits = [record.args[1] for record in caplog.records if "next try" in record.msg]
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
    assert waits[-1] == 300.0
    assert waits == sorted(waits)


def test_a_refused_login_is_logged_without_the_secret_and_breaks_nothing(
    ledger: RedisLedger, campaign: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    post, hook = Behaviour(login=("lab", "another")), Webhook(code=500, answer=CANARY)
    campaign.asks()
    with mail_server(post) as port, webhook_server(hook) as at:
        channels = (
            email(port, user="lab", password=CANARY),
            WebhookChannel(f"http://127.0.0.1:{at}/services/{CANARY}"),
        )
        with notifier(ledger, *channels) as one:
            step_until(lambda: len(post.logins) >= 2 and len(hook.posts) >= 2, one)
            campaign.ends()
            step_until(lambda: len(post.logins) >= 4, one)
            shown = repr(one)
    assert "refused the login of lab (535)" in caplog.text
    assert "the server said 500" in caplog.text
    for text in (caplog.text, shown, everything_in(ledger)):
        assert CANARY not in text
    assert ledger.status("scan-1") == "done"


def everything_in(ledger: RedisLedger) -> str:
    """All keys of this lab with all that they hold."""
    redis: Any = ledger._redis
    read = {
        "hash": redis.hgetall,
        "string": redis.get,
        "stream": redis.xrange,
        "list": lambda key: redis.lrange(key, 0, -1),
    }
    keys = list(redis.scan_iter(f"{ledger._lab}:*"))
    assert any("notice" in key for key in keys)
    return repr([(key, read[redis.type(key)](key)) for key in keys])


def test_a_server_that_hangs_holds_up_no_other(ledger: RedisLedger, campaign: Told) -> None:
    post, hook = Behaviour(hangs_at="data"), Webhook()
    campaign.asks()
    with mail_server(post) as port, webhook_server(hook) as at:
        channels = (email(port, timeout_s=1.0), WebhookChannel(f"http://127.0.0.1:{at}/hook"))
        with notifier(ledger, *channels) as one:
            step_until(post.arrived.is_set, one)
            campaign.ends()
            step_until(lambda: len(hook.posts) == 2, one)
            assert one._deliveries, "the mail is still on its way"
            assert post.mails == []
            post.hangs_at = ""
            step_until(lambda: OVER in subjects(post), one)
    assert [content["kind"] for _, content in hook.posts] == ["needs_person", "over"]


def test_two_notifiers_send_one_message(ledger: RedisLedger, campaign: Told) -> None:
    post = Behaviour()
    with mail_server(post) as port:
        with (
            notifier(ledger, email(port), name="one") as one,
            notifier(ledger, email(port), name="two") as two,
        ):
            step_to_rest(one, two)
            campaign.asks()
            campaign.asks("something else")
            step_to_rest(one, two)
            campaign.ends()
            step_to_rest(two, one)
    assert sorted(subjects(post)) == sorted(
        [ASKED, ASKED.replace("look at the stage", "something else"), OVER]
    )


def test_without_a_claim_two_notifiers_would_send_two(
    ledger: RedisLedger, campaign: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the test above fails when nobody has to claim."""
    monkeypatch.setattr(RedisLedger, "claim_notice", lambda *_: True)
    post = Behaviour()
    campaign.asks()
    with mail_server(post) as port:
        with (
            notifier(ledger, email(port), name="one") as one,
            notifier(ledger, email(port), name="two") as two,
        ):
            step_until(lambda: len(post.mails) == 2, one, two)


def test_after_a_restart_nothing_is_sent_again(ledger: RedisLedger, campaign: Told) -> None:
    post = Behaviour()
    campaign.asks()
    with mail_server(post) as port:
        for name in ("one", "two"):
            with notifier(ledger, email(port), name=name) as one:
                step_to_rest(one)
        campaign.ends()
        for name in ("three", "four"):
            with notifier(ledger, email(port), name=name) as one:
                step_to_rest(one)
    assert subjects(post) == [ASKED, OVER]


def test_a_crash_before_the_confirmation_costs_one_copy_and_not_the_call(
    ledger: RedisLedger, campaign: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.notifier.CLAIM_S", 0.2)
    post = Behaviour()
    campaign.asks()
    with mail_server(post) as port:
        with notifier(ledger, email(port), name="one") as one:
            one.step()
            step_until(lambda: post.mails)  # taken by the server; now it dies unconfirmed
        with notifier(ledger, email(port), name="two") as two:
            step_to_rest(two)
        with notifier(ledger, email(port), name="three") as three:
            step_to_rest(three)
    assert subjects(post) == [ASKED, ASKED]
    assert len({mail["Message-ID"] for mail in post.mails}) == 1


def test_an_end_that_nobody_told_is_told_by_the_next_notifier(
    ledger: RedisLedger, campaign: Told
) -> None:
    post = Behaviour()
    with mail_server(post) as port:
        with notifier(ledger, email(port), name="one") as one:
            one.step()
        campaign.ends()
        with notifier(ledger, email(port), name="two") as two:
            step_to_rest(two)
    assert subjects(post) == [OVER]


def test_a_campaign_that_was_over_before_is_left_alone(ledger: RedisLedger, campaign: Told) -> None:
    campaign.asks()
    campaign.ends()
    post = Behaviour()
    with mail_server(post) as port:
        with notifier(ledger, email(port)) as one:
            step_to_rest(one)
            assert post.mails == []
            late = Told(ledger, "scan-2")  # opened and over between two looks
            late.ends()
            step_to_rest(one)
    assert subjects(post) == [OVER.replace("scan-1", "scan-2")]


def test_a_campaign_that_a_run_has_marked_is_told_even_when_it_ends_first(
    ledger: RedisLedger, campaign: Told
) -> None:
    ledger.confirm_notice(followed_key("scan-1"))
    campaign.ends()
    post = Behaviour()
    with mail_server(post) as port, notifier(ledger, email(port)) as one:
        step_to_rest(one)
    assert subjects(post) == [OVER]


def test_a_suspension_is_told_after_its_time(ledger: RedisLedger, campaign: Told) -> None:
    post = Behaviour()
    campaign.suspends()
    with mail_server(post) as port:
        with notifier(ledger, email(port), suspended_s=3600.0) as patient:
            step_to_rest(patient)
            assert post.mails == []
        with notifier(ledger, email(port), name="two", suspended_s=0.3) as one:
            step_until(lambda: post.mails, one)
            step_to_rest(one)
    assert subjects(post) == ["[Labwright TWIN] scan-1 is suspended: 9 bar"]


def test_a_log_that_cannot_be_read_silences_only_its_own_campaign(
    ledger: RedisLedger, campaign: Told, caplog: pytest.LogCaptureFixture
) -> None:
    strange = Told(ledger, "strange")
    redis: Any = ledger._redis
    redis.xadd(f"{ledger._lab}:c:strange:log", {"type": "from the future", "v": "9", "at": "0"})
    campaign.asks()
    post = Behaviour()
    with mail_server(post) as port, notifier(ledger, email(port)) as one:
        step_to_rest(one)
        step_to_rest(one)
    assert subjects(post) == [ASKED]
    assert f"nobody can be told of campaign {strange.id}" in caplog.text


def test_the_end_gives_what_is_due_one_more_chance(ledger: RedisLedger, campaign: Told) -> None:
    post = Behaviour()
    with mail_server(post) as port:
        with notifier(ledger, email(port)) as one:
            one.first_wait_s = 3600.0
            one.step()
            campaign.ends()
            post.login = ("nobody", "knows")  # the first try fails
            step_until(lambda: post.sessions, one)
            step_to_rest(one)
            post.login = None
            one.run(lambda _: True)
    assert subjects(post) == [OVER]


def test_the_end_does_not_wait_for_a_server_that_is_down(
    ledger: RedisLedger, campaign: Told
) -> None:
    campaign.ends()
    ledger.confirm_notice(followed_key("scan-1"))
    began = time.monotonic()
    with notifier(ledger, email(free_port())) as one:
        one.first_wait_s = 5.0
        one.run(lambda _: True)
    assert time.monotonic() - began < 4.0


def started_and_ended_at_once(
    folder: Path, environment: dict[str, str], held_back: tuple[signal.Signals, ...]
) -> int:
    """Start the process as the supervisor does, order it to end at once; gives its exit code."""
    log = folder / "notifier.log"
    arguments = ["orchestrator.app", "notifier", "lab"]
    process = child.start_module(arguments, log=log, environment=environment, held_back=held_back)
    process.terminate()
    return process.wait(30)


def test_an_order_to_end_that_comes_too_early_is_not_lost(
    ledger: RedisLedger, campaign: Told, server: Any, lab_name: str, tmp_path: Path
) -> None:
    """A campaign may be over before its notifier has loaded: the end is told all the same."""
    ledger.confirm_notice(followed_key("scan-1"))
    campaign.ends()
    post = Behaviour()
    (tmp_path / "logs").mkdir()
    with mail_server(post) as port:
        environment = {
            "LABWRIGHT_DATA_DIR": str(tmp_path),
            "LABWRIGHT_REDIS_URL": server.url,
            "LABWRIGHT_LAB": lab_name,
            "LABWRIGHT_NOTIFY_EMAIL": "ops@example.org",
            "LABWRIGHT_SMTP_URL": f"smtp://127.0.0.1:{port}",
        }
        control = started_and_ended_at_once(tmp_path, environment, ())
        assert (control, post.mails) == (-signal.SIGTERM, [])
        assert started_and_ended_at_once(tmp_path, environment, (signal.SIGTERM,)) == 0
    assert subjects(post) == [OVER]


def test_a_question_is_told_while_it_waits_for_its_answer(
    ledger: RedisLedger, campaign: Told
) -> None:
    post = Behaviour()
    ledger.register("stage", "w", Envelope("stage", {}, ()))
    point = ev.Proposed(trial_id=1, parameters={}, source="initial", basis="0", seed=1)
    ledger.propose(campaign.id, point)
    lease = ledger.acquire(campaign.id, "stage", "w", floor=0, ttl_s=60)
    assert lease is not None
    ledger.start(lease)
    asked = ev.Asked(trial_id=1, question="1-1-1", text="sample loaded?")
    ledger.ask(lease, asked)
    with mail_server(post) as port, notifier(ledger, email(port)) as one:
        step_to_rest(one)
        told = f"[Labwright TWIN] {campaign.id} asks for a person: sample loaded?"
        assert subjects(post) == [told]
        given = ev.Answered(trial_id=1, question="1-1-1", text="yes", by="ada")
        assert ledger.answer(campaign.id, given)
        step_to_rest(one)
    with mail_server(post) as port, notifier(ledger, email(port), name="two") as two:
        step_to_rest(two)
    assert subjects(post) == [told]
