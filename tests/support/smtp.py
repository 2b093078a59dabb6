"""A real SMTP server on loopback (aiosmtpd), plain, with STARTTLS or TLS, with a login when asked for; and its certificate."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from tests.conftest import free_port

REFUSED = "nobody@example.org"


@dataclass
class Mailbox:
    """What a server took, with the address that it listens on."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    asks_for_login: bool = False

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if self.asks_for_login and not session.authenticated:
            return "530 log in first"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address == REFUSED:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


class _Server(Controller):  # type: ignore[misc]  # aiosmtpd has no types
    def __init__(self, mailbox: Mailbox, tls: ssl.SSLContext | None, *, starttls: bool, login: tuple[str, str] | None) -> None:
        self._starttls = tls if starttls else None
        self._login = login
        super().__init__(mailbox, hostname="127.0.0.1", port=mailbox.port, ssl_context=None if starttls else tls)

    def factory(self) -> SMTP:
        return SMTP(
            self.handler, hostname="mail.example", tls_context=self._starttls, require_starttls=self._starttls is not None,
            authenticator=self._judge, auth_require_tls=False,
        )  # fmt: skip

    def _judge(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login.decode(), data.password.decode()) == self._login, handled=False)


@contextmanager
def smtp_server(tls: ssl.SSLContext | None = None, *, starttls: bool = False, login: tuple[str, str] | None = None) -> Iterator[Mailbox]:
    """Run a server and yield its mailbox; it answers 550 to REFUSED."""
    mailbox = Mailbox(free_port(), asks_for_login=login is not None)
    server = _Server(mailbox, tls, starttls=starttls, login=login)
    server.start()
    try:
        yield mailbox
    finally:
        server.stop()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a new certificate for localhost, and a server's context with it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    cert, private = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, private)
    return cert, context
