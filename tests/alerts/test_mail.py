"""Mail through a real SMTP server: plain, STARTTLS, TLS, with a login; what is refused says by whom, and no password goes out in clear text."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from mlids.alerts.mail import MailServer, Tls, mail_server, send
from mlids.errors import SettingsError, StoreError
from tests.conftest import free_port
from tests.support.smtp import REFUSED, certificate, smtp_server

LOGIN = ("mlids", "correct horse")


def message(*to: str) -> EmailMessage:
    out = EmailMessage()
    out["From"], out["To"], out["Subject"] = "mlids@example.org", ", ".join(to or ("ana@example.org",)), "hello"
    out.set_content("text")
    return out


@pytest.mark.parametrize("tls", list(Tls))
def test_mail_arrives_with_a_login(tls: Tls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with smtp_server(None if tls == Tls.NONE else context, starttls=tls == Tls.STARTTLS, login=LOGIN) as box:
        scheme, query = ("smtps", "") if tls == Tls.FROM_START else ("smtp", "?starttls=yes" if tls == Tls.STARTTLS else "")
        server = mail_server(f"{scheme}://localhost:{box.port}/{query}", *LOGIN)
        assert server.tls == tls and LOGIN[1] not in repr(server)
        send(server, message())
        assert [m["Subject"] for m in box.messages] == ["hello"] and box.recipients == [["ana@example.org"]]
        with pytest.raises(StoreError, match=r"refuses the login of mlids: 535") as caught:
            send(mail_server(f"{scheme}://localhost:{box.port}/{query}", "mlids", "another-secret"), message())
        assert "another-secret" not in str(caught.value)


def test_a_certificate_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    _, context = certificate(tmp_path)
    with smtp_server(context, login=LOGIN) as box:
        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            send(mail_server(f"smtps://localhost:{box.port}", *LOGIN), message())
        assert not box.messages


def test_a_server_without_starttls_gets_nothing() -> None:
    with smtp_server() as box:
        with pytest.raises(StoreError, match=r"STARTTLS.*starttls=no"):
            send(MailServer("localhost", box.port, Tls.STARTTLS), message())
        assert not box.messages


def test_refused_recipients_are_named() -> None:
    with smtp_server() as box:
        with pytest.raises(StoreError, match=rf"refuses every recipient: {REFUSED} \(550 no such mailbox\)"):
            send(mail_server(f"smtp://127.0.0.1:{box.port}"), message(REFUSED))
        with pytest.raises(StoreError, match=rf"took the mail, but refuses {REFUSED}"):
            send(mail_server(f"smtp://127.0.0.1:{box.port}"), message("ana@example.org", REFUSED))
        assert box.recipients == [["ana@example.org"]]


def test_a_server_that_is_down_is_named() -> None:
    port = free_port()
    with pytest.raises(StoreError, match=rf"mail server 127\.0\.0\.1:{port}: .*refused"):
        send(mail_server(f"smtp://127.0.0.1:{port}"), message())


def test_encryption_is_the_default_except_to_this_machine() -> None:
    assert (mail_server("smtp://mail.example").tls, mail_server("smtp://mail.example").port) == (Tls.STARTTLS, 587)
    assert (mail_server("smtps://mail.example").tls, mail_server("smtps://mail.example").port) == (Tls.FROM_START, 465)
    assert (mail_server("smtp://127.0.0.1").tls, mail_server("smtp://[::1]:2525").port, mail_server("smtp://localhost").port) == (
        Tls.NONE,
        2525,
        25,
    )
    assert mail_server("smtp://mail.example:25?starttls=no").tls == Tls.NONE
    with pytest.raises(SettingsError, match="clear text"):
        mail_server("smtp://mail.example:25?starttls=no", *LOGIN)
    with pytest.raises(SettingsError, match="MLIDS_SMTP_PASSWORD_FILE"):
        mail_server("smtp://mail.example", "mlids")
