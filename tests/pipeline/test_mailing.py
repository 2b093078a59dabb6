"""The weekly report by mail, through a real SMTP server: whom it reaches, what is in it, and the settings that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.stores.ledger import LedgerDay
from mlids.cases.gathering import gather
from mlids.cli.__main__ import app
from mlids.errors import InputError, SettingsError
from mlids.evidence.base import SiteView
from mlids.files import write_atomic
from mlids.settings import load_settings
from tests.support.evidence import BEACON
from tests.support.smtp import smtp_server


def fill() -> None:
    stores = pipeline.open_stores(load_settings())
    for n in range(7):
        stores.ledger.put_day(LedgerDay("hq", f"2026-11-{2 + n:02}", 5_000, 0, 24))
    stores.cases.put("hq", "day 2026-11-04", gather([BEACON], SiteView(), "hq").cases)


def filed(home: Path) -> str:
    """File a report that is a page only, and return its name."""
    write_atomic(home / "reports" / "weekly-2026-W45.html", "<p>a report</p>")
    return "weekly-2026-W45"


def test_the_report_is_mailed_with_both_files(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    password = home / "smtp-password"
    password.write_text("correct horse\n")
    for variable, value in (
        ("SMTP_USER", "mlids"), ("SMTP_PASSWORD_FILE", str(password)), ("REPORT_TO", "ana@example.org, boss@example.org"), ("MAIL_FROM", "mlids@example.org"),
    ):  # fmt: skip
        monkeypatch.setenv(f"MLIDS_{variable}", value)
    with smtp_server(login=("mlids", "correct horse")) as box:
        monkeypatch.setenv("MLIDS_SMTP_URL", f"smtp://127.0.0.1:{box.port}")
        app(args=["report", "--week", "2026-W45", "--mail", "--json"], standalone_mode=False)
        out, err = capsys.readouterr()
        assert json.loads(out)["mailed_to"] == ["ana@example.org", "boss@example.org"] and "correct horse" not in out + err
        assert pipeline.mail_report("weekly-2026-W45")["to"] == ["ana@example.org", "boss@example.org"]
    first, again = box.messages
    assert box.recipients[0] == ["ana@example.org", "boss@example.org"] and first["From"] == "mlids@example.org"
    assert first["Subject"].startswith("mlids, week 45 of 2026: Yes: 1 case of medium severity or more")
    assert first["Message-ID"] == again["Message-ID"] == "<weekly-2026-W45.report@example.org>"
    body = first.get_body(("plain",))
    assert body is not None and "Should I worry?" in body.get_content() and "What to do" in body.get_content()
    sent = {part.get_filename(): part.get_payload(decode=True) for part in first.iter_attachments()}
    assert sent == {p.name: p.read_bytes() for p in (home / "reports").glob("weekly-2026-W45.*")} and len(sent) == 2


def test_nothing_is_mailed_until_it_is_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    name = filed(home)
    for words in (["--start", "2026-11-02"], ["--week", "2026-W45", "--end", "2026-11-09"], []):
        with pytest.raises(InputError, match="give --week, or --start and --end"):
            app(args=["report", *words], standalone_mode=False)
    assert pipeline.mail_report(name) == {"to": [], "why": "MLIDS_SMTP_URL and MLIDS_REPORT_TO are not set"}
    monkeypatch.setenv("MLIDS_SMTP_URL", "smtp://127.0.0.1:1")
    assert pipeline.mail_report(name)["why"] == "MLIDS_REPORT_TO is not set"
    monkeypatch.setenv("MLIDS_REPORT_TO", "ana@example.org")
    with pytest.raises(InputError, match="no report 'weekly-2026-W44' is filed"):
        pipeline.mail_report("weekly-2026-W44")
    for name in ("../mlids.db", "weekly-../../x"):
        with pytest.raises(InputError):
            pipeline.mail_report(name)


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("MLIDS_SMTP_URL", "smtp://mlids:secret@mail.example", "smtp_password_file"),
        ("MLIDS_SMTP_URL", "http://mail.example", "smtp://HOST:PORT"),
        ("MLIDS_SMTP_URL", "smtp://mail.example:25?tls=no", "smtp://HOST:PORT"),
        ("MLIDS_REPORT_TO", "ana@example.org,boss", "'boss' is no mail address"),
        ("MLIDS_REPORT_TO", "ana@example.org\nBcc: eve@example.org", "is no mail address"),
        ("MLIDS_MAIL_FROM", "mlids", "is no mail address"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable.lower().removeprefix("mlids_")) as caught:
        load_settings()
    assert why in str(caught.value) and "secret@" not in str(caught.value)


def test_a_password_file_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    name = filed(home)
    home_file = home / "none"
    for variable, value in (
        ("SMTP_URL", "smtps://mail.example"),
        ("SMTP_USER", "mlids"),
        ("REPORT_TO", "ana@example.org"),
        ("SMTP_PASSWORD_FILE", str(home_file)),
    ):
        monkeypatch.setenv(f"MLIDS_{variable}", value)
    with pytest.raises(SettingsError, match="MLIDS_SMTP_PASSWORD_FILE"):
        pipeline.mail_report(name)
    home_file.write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        pipeline.mail_report(name)
