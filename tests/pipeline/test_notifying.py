"""Notifications through a real SMTP server and a real webhook: each thing once, within the limit of an hour, and nothing lost when a channel is down."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.grouping import GroupKey
from mlids.alerts.notification import LISTED, Notice, Notified, body, payload, subject
from mlids.alerts.stores.ledger import LedgerDay
from mlids.cases.gathering import gather
from mlids.errors import SettingsError, StoreError
from mlids.evidence.base import SiteView
from mlids.scoring.status import ScorerState, Status
from mlids.settings import load_settings
from tests.support.alerts import alert
from tests.support.evidence import piece
from tests.support.smtp import Mailbox, smtp_server
from tests.support.webhook import Webhook, webhook

NOW = datetime.now(UTC)


@pytest.fixture
def channels(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Mailbox, Webhook]]:
    """A home whose notifications go to a mail server and to a webhook, whose URL is in a file."""
    home.mkdir()
    (home / "sensors.toml").write_text(f'[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "{home}"\n')
    with smtp_server() as box, webhook() as hook:
        (home / "webhook").write_text(hook.url + "\n")
        monkeypatch.setenv("MLIDS_SMTP_URL", f"smtp://127.0.0.1:{box.port}")
        monkeypatch.setenv("MLIDS_NOTIFY_TO", "ana@example.org")
        monkeypatch.setenv("MLIDS_NOTIFY_WEBHOOK_FILE", str(home / "webhook"))
        yield box, hook


def put_alert(n: int, score: float, kind: str = "beacon", hours: float = 1.0) -> None:
    when = NOW - timedelta(hours=hours)
    found = replace(alert(n, when), key=GroupKey(f"id{n:030d}", "hq", kind, f"10.0.0.{n}", "192.0.2.1:22/tcp", 0), score=score)
    pipeline.open_stores(load_settings()).alerts.put([found], "live")


def put_case(source: str, score: float) -> str:
    case = gather([piece(source=source, score=score, first=NOW - timedelta(hours=2), last=NOW)], SiteView(), "hq").cases
    return str(pipeline.open_stores(load_settings()).cases.put("hq", f"live {source}", case)[0]["id"])


def set_status(home: Path, **changes: object) -> None:
    folder = home / "state" / "hq"
    folder.mkdir(parents=True, exist_ok=True)
    status = Status("hq", state=ScorerState.FOLLOWING, updated_at=datetime.now(UTC).isoformat())
    (folder / "status.json").write_text(json.dumps(status.as_dict() | changes))


def test_what_is_critical_is_sent_once_by_each_channel(channels: tuple[Mailbox, Webhook]) -> None:
    box, hook = channels
    put_alert(1, 96.0)
    put_alert(2, 80.0)
    put_alert(3, 97.0, hours=100.0)
    put_case("10.0.0.7", 0.97)
    put_case("10.0.0.8", 0.6)
    sent = {"found": 2, "channels": {n: {"sent": 2, "waiting": 0} for n in ("mail", "webhook")}}
    counted = {"found": 2, "channels": {n: {"sent": 0, "waiting": 2} for n in ("mail", "webhook")}}
    assert pipeline.notify(dry_run=True) == counted and not box.messages
    assert pipeline.notify() == sent
    (mail,) = box.messages
    assert mail["Subject"] == "mlids: 1 case, 1 alert" and mail["To"] == "ana@example.org"
    text = mail.get_content()
    assert (
        "critical case: 10.0.0.7 calls 203.0.113.9 on port 443/tcp every 27 s" in text
        and "risk 96 alert: beacon: 10.0.0.1 → 192.0.2.1" in text
    )
    assert "10.0.0.8" not in text and "10.0.0.3" not in text, "neither what is less severe nor what is old"
    assert [n["what"] for n in hook.sent[0]["notices"]] == ["case", "alert"] and hook.sent[0]["count"] == 2
    for _ in range(2):
        assert {c["sent"] for c in pipeline.notify()["channels"].values()} == {0}
    put_alert(1, 99.0)
    put_alert(4, 95.0)
    assert pipeline.notify()["channels"]["webhook"]["sent"] == 1, "an alert that grows is the same alert"
    assert len(box.messages) == len(hook.sent) == 2 and "10.0.0.4" in box.messages[1].get_content()


def test_a_verdict_or_a_closed_case_is_nothing_to_send(channels: tuple[Mailbox, Webhook]) -> None:
    put_alert(1, 96.0)
    pipeline.open_stores(load_settings()).rules.put_verdict(f"id{1:030d}", "false positive", "ana")
    pipeline.judge_case(put_case("10.0.0.7", 0.97), "closed", who="ana", verdict="false positive")
    assert pipeline.notify()["found"] == 0


def test_a_channel_that_is_down_loses_nothing_and_holds_up_no_other(
    channels: tuple[Mailbox, Webhook], caplog: pytest.LogCaptureFixture
) -> None:
    box, hook = channels
    put_alert(1, 96.0)
    caplog.set_level(logging.DEBUG)
    for status in (503, 302, 404):
        hook.status = status
        with pytest.raises(StoreError, match=f"webhook: the webhook at 127.0.0.1 answers {status}") as caught:
            pipeline.notify()
        assert "s3cr3t" not in str(caught.value)
    assert len(box.messages) == 1 and not hook.sent, "the mail went out, and once"
    hook.status = 200
    assert pipeline.notify()["channels"] == {"mail": {"sent": 0, "waiting": 0}, "webhook": {"sent": 1, "waiting": 0}}
    assert "s3cr3t" not in caplog.text, "whoever knows the URL may write there"


def test_an_hour_has_a_limit_and_what_waits_is_sent_in_one_message(
    channels: tuple[Mailbox, Webhook], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, _ = channels
    monkeypatch.setenv("MLIDS_NOTIFY_AN_HOUR", "2")
    for n in range(1, 6):
        put_alert(n, 96.0)
        pipeline.notify()
    assert len(box.messages) == 2 and pipeline.notify()["channels"]["mail"] == {"sent": 0, "waiting": 3}
    for name in ("mail", "webhook"):
        stored = json.loads((home / "state" / f"notified-{name}.json").read_text())
        earlier = [(datetime.fromisoformat(s) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for s in stored["sent"]]
        (home / "state" / f"notified-{name}.json").write_text(json.dumps(stored | {"sent": earlier}))
    assert pipeline.notify()["channels"]["mail"] == {"sent": 3, "waiting": 0}
    assert box.messages[2]["Subject"] == "mlids: 3 alerts"


def test_a_standstill_is_sent_once_and_again_when_it_comes_again(channels: tuple[Mailbox, Webhook], home: Path) -> None:
    box, _ = channels
    assert pipeline.notify()["found"] == 0, "a sensor that nobody ever followed does not stand still"
    set_status(home)
    assert pipeline.notify()["found"] == 0
    for round_ in (1, 2):
        for _ in range(2):
            set_status(home, updated_at="2026-01-01T00:00:00+00:00")
            pipeline.notify()
            assert len(box.messages) == round_
        set_status(home)
        assert pipeline.notify()["found"] == 0, "it is well again"
    assert box.messages[0]["Subject"] == "mlids: the pipeline stands still"
    assert "live scoring of hq: its scorer has not reported for" in box.messages[0].get_content()


def test_days_that_are_not_read_any_more_are_a_standstill(channels: tuple[Mailbox, Webhook]) -> None:
    ledger = pipeline.open_stores(load_settings()).ledger
    for sensor, ago in (("hq", 3), ("gone", 40)):
        ledger.put_day(LedgerDay(sensor, (date.today() - timedelta(days=ago)).isoformat(), 10, 0, 1))
    assert pipeline.notify()["found"] == 1, "a sensor that is not configured any more is not missed"
    ledger.put_day(LedgerDay("hq", (date.today() - timedelta(days=1)).isoformat(), 10, 0, 1))
    assert pipeline.notify()["found"] == 0


def test_a_test_message_reaches_everybody_and_marks_nothing(channels: tuple[Mailbox, Webhook]) -> None:
    box, hook = channels
    put_alert(1, 96.0)
    assert pipeline.notify(test=True)["channels"] == {n: {"sent": 1, "waiting": 0} for n in ("mail", "webhook")}
    assert "this is a test" in box.messages[0].get_content() and hook.sent[0]["notices"][0]["severity"] == "test"
    assert pipeline.notify()["channels"]["mail"]["sent"] == 1


def test_hostile_titles_become_no_mention_no_link_and_no_line() -> None:
    bad = Notice("k", "case", "critical", "<!channel> <http://evil.example|click>\nBcc: eve\x1b[31m" + "A" * 5_000, "")
    slack = payload([bad], "slack")["text"]
    assert "<" not in slack and "&lt;!channel&gt;" in slack and "\x1b" not in slack and slack.count("\n") == 1 and len(slack) < 700
    assert "\n" not in subject([bad]) and len(body([bad] * 100).splitlines()) == LISTED + 1
    assert json.dumps(payload([bad], "json")).isascii() and len(payload([bad] * 100, "json")["notices"]) == LISTED


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("NOTIFY_WEBHOOK", "http://hooks.example/s3cr3t", "clear text"),
        ("NOTIFY_WEBHOOK", "file:///etc/passwd", "no URL of a webhook"),
        ("NOTIFY_TO", "ana", "is no mail address"),
        ("NOTIFY_SEVERITY", "low", "medium"),
        ("NOTIFY_AN_HOUR", "0", "1"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    monkeypatch.setenv(f"MLIDS_{variable}", value)
    with pytest.raises(SettingsError, match=variable.lower()) as caught:
        load_settings()
    assert why in str(caught.value) and "s3cr3t" not in str(caught.value)


def test_channels_that_cannot_be_used_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pipeline.notify()["why"] == "neither MLIDS_NOTIFY_TO nor MLIDS_NOTIFY_WEBHOOK is set"
    monkeypatch.setenv("MLIDS_NOTIFY_TO", "ana@example.org")
    with pytest.raises(SettingsError, match="without MLIDS_SMTP_URL"):
        pipeline.notify()
    monkeypatch.delenv("MLIDS_NOTIFY_TO")
    home.mkdir()
    (home / "url").write_text("http://hooks.example/s3cr3t")
    monkeypatch.setenv("MLIDS_NOTIFY_WEBHOOK_FILE", str(home / "url"))
    with pytest.raises(SettingsError, match="clear text") as caught:
        pipeline.notify()
    assert "s3cr3t" not in str(caught.value)


def test_a_damaged_record_of_what_was_sent_is_named_and_sends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notified-mail.json"
    for content in ("{", "[]", '{"keys": []}'):
        path.write_text(content)
        with pytest.raises(StoreError, match="remove the file"):
            Notified(path)


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    notified = Notified(tmp_path / "n.json")
    notified.mark([Notice("k", "case", "critical", "t", "")], NOW + timedelta(days=300))
    assert Notified(tmp_path / "n.json").may_send(NOW, 1) and not Notified(tmp_path / "n.json").new(
        [Notice("k", "case", "critical", "t", "")]
    )
