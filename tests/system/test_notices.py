"""A night run calls for help, as a person sets it up and receives it."""

import base64
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.domain.events import Ended
from tests.post_office import Behaviour, Webhook, free_port, mail_server, webhook_server
from tests.system.lab import (
    answer,
    count,
    descendants,
    finish,
    labwright,
    ledger_of,
    process_of,
    start,
    wait_for,
    write,
)

pytestmark = pytest.mark.system

CANARY = "hunter2-canary-3f9a"

WARY = """
name: wary
mode: twin
devices:
  bench:
    class: simulators.soft.bench.Bench
    limits: [-5, 15]
    timeout_s: 30
    takeover: person
    kwargs: {move_s: 2}
"""
CAMPAIGN = """
name: wary
instrument: instrument.yaml
plan: {name: steady_state_sample, args: {detector: bench.det}}
reduce: {call: simulators.soft.reduce.reduce_branin}
parameters:
  x: {device: bench.x, range: [-5, 10]}
  y: {device: bench.y, range: [0, 15]}
objectives: {branin: {goal: minimize}}
budget: {trials: 1}
optimizer: {method: sobol}
"""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def post() -> Behaviour:
    return Behaviour()


@pytest.fixture
def mail(post: Behaviour) -> Iterator[dict[str, str]]:
    """Settings with which e-mail reaches ``post``."""
    with mail_server(post) as port:
        yield {
            "LABWRIGHT_NOTIFY_EMAIL": "ops@example.org, night@example.org",
            "LABWRIGHT_SMTP_URL": f"smtp://127.0.0.1:{port}",
        }


def subjects(post: Behaviour) -> list[str]:
    return [str(one["Subject"]) for one in post.mails]


def over(campaign_id: str) -> str:
    return f"[Labwright TWIN] {campaign_id} is over: done: "


def test_the_end_of_a_campaign_is_told_once(
    post: Behaviour, mail: dict[str, str], data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    outcome = answer("run", "soft", "--trials", "3", "--id", "a", *where, **mail)
    assert outcome["trials"]["measured"] == 3
    (subject,) = subjects(post)
    assert subject.startswith(over("a"))
    body = post.mails[0].get_content()
    assert "3 of 3 trials measured; best is trial" in body
    assert f"labwright results a --data-dir {data_dir.resolve()}" in body
    answer("run", "soft", "--trials", "1", "--id", "b", *where, **mail)
    assert [one.partition(" is")[0][-1] for one in subjects(post)] == ["a", "b"]
    assert answer("status", *where)["processes"] == []


def test_a_campaign_from_before_the_settings_is_not_told(
    post: Behaviour, mail: dict[str, str], data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    answer("run", "soft", "--trials", "1", "--id", "old", *where)
    answer("run", "soft", "--trials", "1", "--id", "new", *where, **mail)
    (subject,) = subjects(post)
    assert subject.startswith(over("new"))


def test_a_campaign_that_needs_a_person_calls_one(
    post: Behaviour, mail: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    write(tmp_path, "instrument.yaml", WARY)
    campaign = write(tmp_path, "campaign.yaml", CAMPAIGN)
    where = ("--data-dir", str(data_dir))
    running = start("run", campaign, "--id", "a", "--json", *where, **mail)
    wait_for(lambda: count(data_dir, "running"), "a trial runs")
    roles = {one["role"] for one in answer("status", *where)["processes"]}
    assert "notifier" in roles
    pid = process_of("worker", data_dir)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    code, _, complaints = finish(running)
    assert code == 3, complaints
    (subject,) = subjects(post)
    assert subject.startswith("[Labwright TWIN] a needs a person: look at bench after the crash")
    body = post.mails[0].get_content()
    assert "labwright resume a --data-dir" in body
    labwright("resume", "a", "--reason", "seen", *where)
    answer("run", "--resume", "a", *where, **mail)
    assert [one.startswith(over("a")) for one in subjects(post)[1:]] == [True]


def test_a_killed_notifier_is_replaced_and_costs_the_campaign_nothing(
    post: Behaviour, mail: dict[str, str], data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    running = start("run", "soft", "--id", "a", "--json", "--trials", "30000", *where, **mail)
    seen: set[int] = set()
    for _ in range(3):
        pid = wait_for(
            lambda: (found := process_of("notifier", data_dir)) not in seen and found,
            "a notifier runs",
        )
        seen.add(pid)
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: count(data_dir, "measured"), "a trial is measured")
    labwright("finish", "a", *where)
    code, said, complaints = finish(running)
    assert code == 0, complaints
    assert json.loads(said)["status"] == "stopped"
    (subject,) = subjects(post)
    assert subject.startswith("[Labwright TWIN] a is over: stopped")


def test_nothing_is_left_when_the_launcher_is_killed_while_a_mail_hangs(
    post: Behaviour, mail: dict[str, str], data_dir: Path
) -> None:
    post.hangs_at = "connect"
    where = ("--data-dir", str(data_dir))
    running = start("run", "soft", "--id", "a", "--trials", "30000", *where, **mail)
    wait_for(lambda: process_of("notifier", data_dir), "the notifier runs")
    answer("submit", "soft", "--id", "b", *where)
    answer("abort", "b", "--reason", "to have a message", *where)
    with ledger_of(data_dir) as ledger:
        assert ledger is not None
        ended = Ended(by="test", reason="seen", status="aborted")
        assert ledger.end("b", ended, ledger.events("b")[-1].id)
    assert post.arrived.wait(20), "a mail is on its way"
    left = descendants(running.pid)
    running.kill()
    running.communicate()
    wait_for(lambda: not any(one.is_running() for one in left), "all have ended")


def test_no_mail_server_and_no_webhook_break_nothing(data_dir: Path) -> None:
    gone = {
        "LABWRIGHT_NOTIFY_EMAIL": "ops@example.org",
        "LABWRIGHT_SMTP_URL": f"smtp://127.0.0.1:{free_port()}",
        "LABWRIGHT_NOTIFY_WEBHOOK": f"http://127.0.0.1:{free_port()}/{CANARY}",
    }
    outcome = answer("run", "soft", "--trials", "2", "--data-dir", str(data_dir), **gone)
    assert (outcome["status"], outcome["trials"]["measured"]) == ("done", 2)
    log = (data_dir / "logs" / "notifier-lab.log").read_text()
    assert "was not sent" in log
    assert "refused" in log


def test_a_secret_is_nowhere(data_dir: Path, tmp_path: Path) -> None:
    """A login that fails and a webhook that echoes: neither file nor screen has the secrets."""
    password = tmp_path / "password"
    password.write_text(f"{CANARY}\n")
    password.chmod(0o600)
    post = Behaviour(login=("lab", "another"))
    hook = Webhook(code=404, answer=f"/services/{CANARY}: no such thing")
    with mail_server(post) as port, webhook_server(hook) as at:
        settings = {
            "LABWRIGHT_NOTIFY_EMAIL": "ops@example.org",
            "LABWRIGHT_SMTP_URL": f"smtp://lab@127.0.0.1:{port}",
            "LABWRIGHT_SMTP_PASSWORD_FILE": str(password),
            "LABWRIGHT_NOTIFY_WEBHOOK": f"http://127.0.0.1:{at}/services/{CANARY}",
            "LABWRIGHT_LOG_LEVEL": "DEBUG",
        }
        where = ("--data-dir", str(data_dir))
        said = [
            labwright("run", "soft", "--trials", "2", *where, **settings),
            labwright("status", "--json", *where, **settings),
            labwright("doctor", *where, **settings),
            labwright("notify", "--test", code=2, **settings),
            labwright("notify", "--test", "--json", code=2, **settings),
        ]
    assert post.logins, "the password was really used"
    assert hook.posts, "and so was the webhook"
    texts = [one.stdout + one.stderr for one in said]
    texts += [path.read_bytes().decode(errors="replace") for path in every_file(data_dir)]
    plain = base64.b64encode(f"\0lab\0{CANARY}".encode()).decode()
    for text in texts:
        assert CANARY not in text
        assert plain not in text
    assert any("refused the login" in text for text in texts), "the logs were looked at"


def every_file(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"LABWRIGHT_NOTIFY_EMAIL": "ops@example.org"}, "LABWRIGHT_SMTP_URL names no mail server"),
        (
            {"LABWRIGHT_NOTIFY_EMAIL": "ops", "LABWRIGHT_SMTP_URL": "smtp://localhost"},
            "LABWRIGHT_NOTIFY_EMAIL must be mail addresses parted by commas; 'ops' is none",
        ),
        ({"LABWRIGHT_NOTIFY_WEBHOOK": CANARY}, "LABWRIGHT_NOTIFY_WEBHOOK must be a URL"),
        (
            {"LABWRIGHT_NOTIFY_WEBHOOK": "http://h", "LABWRIGHT_NOTIFY_SUSPENDED_MIN": "soon"},
            "LABWRIGHT_NOTIFY_SUSPENDED_MIN='soon' must be a number above 0",
        ),
    ],
)
def test_settings_that_would_stay_silent_are_refused_before_the_night(
    settings: dict[str, str], complaint: str, data_dir: Path
) -> None:
    where = ("--data-dir", str(data_dir))
    refused = labwright("run", "soft", *where, code=2, **settings)
    assert complaint in refused.stderr
    assert CANARY not in refused.stderr
    assert complaint in labwright("notify", "--test", code=2, **settings).stderr


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pass word"
    path.write_text(CANARY)
    path.chmod(0o640)
    settings = {
        "LABWRIGHT_NOTIFY_EMAIL": "ops@example.org",
        "LABWRIGHT_SMTP_URL": "smtps://lab@localhost",
        "LABWRIGHT_SMTP_PASSWORD_FILE": str(path),
    }
    refused = labwright("notify", "--test", code=2, **settings).stderr
    assert f"chmod 600 '{path}'" in refused
    assert CANARY not in refused
    both = labwright("notify", "--test", code=2, LABWRIGHT_SMTP_PASSWORD=CANARY, **settings)
    assert "not both" in both.stderr


def test_a_test_message_says_what_happened(post: Behaviour, mail: dict[str, str]) -> None:
    assert "ok    email to ops@example.org, night@example.org by 127.0.0.1:" in (
        labwright("notify", "--test", **mail).stdout
    )
    assert subjects(post)[0].startswith("[Labwright] test from ")
    post.refuses = ("night@example.org",)
    refused = answer("notify", "--test", code=2, **mail)
    assert refused["ok"] is False
    assert "refused night@example.org" in refused["channels"][0]["error"]


def test_a_test_message_without_settings_says_what_to_set() -> None:
    assert "set LABWRIGHT_NOTIFY_EMAIL and" in labwright("notify", "--test", code=2).stderr
    assert "labwright notify --test" in labwright("notify", code=2).stderr
