"""Secrets among the settings: where they come from, and that nothing shows them."""

import dataclasses
from pathlib import Path

import pytest

from orchestrator.domain.errors import Unusable
from orchestrator.settings import Secret, Settings

CANARY = "hunter2-canary-3f9a"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in dataclasses.fields(Settings):
        monkeypatch.delenv(f"LABWRIGHT_{field.name.upper()}", raising=False)


def test_settings_do_not_show_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWRIGHT_SMTP_PASSWORD", CANARY)
    monkeypatch.setenv("LABWRIGHT_NOTIFY_WEBHOOK", f"https://host/{CANARY}")
    monkeypatch.setenv("LABWRIGHT_SMTP_URL", f"smtps://lab:{CANARY}@host")
    settings = Settings.from_environment()
    assert settings.mail_password() == CANARY
    shown = f"{settings!r} {settings} {settings.smtp_password} {settings.notify_webhook!r}"
    shown += f"{dataclasses.astuple(settings)[:2]} {[settings.smtp_password]}"
    assert CANARY not in shown


def test_nobody_is_called_unless_somebody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings.from_environment().calls_for_help
    monkeypatch.setenv("LABWRIGHT_NOTIFY_WEBHOOK", "")
    assert not Settings.from_environment().calls_for_help
    monkeypatch.setenv("LABWRIGHT_NOTIFY_EMAIL", "ops@example.org")
    assert Settings.from_environment().calls_for_help


@pytest.mark.parametrize("text", [CANARY, f"{CANARY}\n", f"{CANARY}\r\nanything else\n"])
def test_the_password_is_the_first_line_of_its_file(tmp_path: Path, text: str) -> None:
    assert Settings(smtp_password_file=password_file(tmp_path, text)).mail_password() == CANARY


def password_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_bytes(text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_password_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = password_file(tmp_path, CANARY, mode)
    with pytest.raises(Unusable, match=f"chmod 600 {path}") as caught:
        Settings(smtp_password_file=path).mail_password()
    assert CANARY not in str(caught.value)


def test_a_password_file_without_one(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="holds no password"):
        Settings(smtp_password_file=password_file(tmp_path, "\n")).mail_password()
    with pytest.raises(Unusable, match=r"cannot be read \(FileNotFoundError\)"):
        Settings(smtp_password_file=tmp_path / "nowhere").mail_password()


def test_one_password_is_enough(tmp_path: Path) -> None:
    path = password_file(tmp_path, CANARY)
    with pytest.raises(Unusable, match="not both"):
        Settings(smtp_password_file=path, smtp_password=Secret(CANARY)).mail_password()
