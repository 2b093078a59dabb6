"""ssl.log: which server a client asks for, what both agree on, and whether the certificate is trusted."""

from __future__ import annotations

import polars as pl

from mlids.features.records.base import RecordLog, count, flag, is_address, length, level, text_features
from mlids.zeek.types import STRINGS

_VERSIONS = {"SSLv2": 0, "SSLv3": 1, "TLSv10": 2, "TLSv11": 3, "TLSv12": 4, "TLSv13": 5, "DTLSv10": 3, "DTLSv12": 4, "DTLSv13": 5}
# IANA's registry of cipher suites: not recommended for what they lack (RFC 7465, RFC 8996, RFC 9325).
_WEAK = r"RC4|3DES|_DES|DES_CBC|NULL|EXPORT|anon|_MD5|RC2|IDEA"
_FORWARD = r"DHE|^TLS_(AES|CHACHA20)"
_CURVES = r"(?i)25519|secp(256r1|384r1|521r1)|x448|mlkem|kyber|prime256"
_cipher = pl.col("cipher").str.head(128)
_validation = pl.col("validation_status").str.head(256)
_alpn = pl.col("next_protocol")
_chain = pl.col("cert_chain_fps")
_history = pl.col("ssl_history")

SSL = RecordLog(
    "ssl",
    columns={
        "version": pl.String(), "cipher": pl.String(), "curve": pl.String(), "server_name": pl.String(), "resumed": pl.Boolean(),
        "last_alert": pl.String(), "next_protocol": pl.String(), "established": pl.Boolean(), "ssl_history": pl.String(),
        "cert_chain_fps": STRINGS, "client_cert_chain_fps": STRINGS, "sni_matches_cert": pl.Boolean(), "validation_status": pl.String(),
    },
    texts=("server_name",),
    shown=("server_name",),
    features=(
        level("version", "version (2: TLS 1.0, 3: TLS 1.1, 4: TLS 1.2, 5: TLS 1.3)",
              pl.col("version").replace_strict(_VERSIONS, default=None, return_dtype=pl.Float64), 4.0),
        flag("agreed", "agreement on a version", pl.col("version").is_not_null(), neutral=True),
        flag("weak_cipher", "weak cipher", _cipher.str.contains(_WEAK)),
        flag("forward_secret", "cipher with forward secrecy", _cipher.str.contains(_FORWARD), neutral=True),
        flag("other_curve", "curve that few use", ~pl.col("curve").str.head(64).str.contains(_CURVES)),
        flag("name", "server name given", pl.col("server_name").is_not_null(), neutral=True),
        flag("address_name", "server name that is an IP address", is_address("server_name")),
        count("name_bytes", "length of the server name in bytes", length("server_name"), 18.0),
        count("name_labels", "dots in the server name", pl.col("server_name").str.count_matches(".", literal=True), 2.0),
        *text_features("server_name", "server name", entropy=3.4, longest=8.0),
        flag("resumed", "resumed session", pl.col("resumed")),
        flag("established", "handshake that ended well", pl.col("established"), neutral=True),
        flag("alert", "alert in the handshake", pl.col("last_alert").is_not_null()),
        flag("other_protocol", "application protocol other than HTTP", ~_alpn.str.head(64).str.contains(r"^(h2|h3|http/|spdy)")),
        flag("protocol", "agreement on an application protocol", _alpn.is_not_null(), neutral=True),
        count("history", "messages of the handshake", length("ssl_history"), 10.0),
        flag("hello", "hello of the client", _history.str.head(64).str.contains("C", literal=True), neutral=True),
        count("certificates", "certificates of the server", _chain.list.len(), 2.0),
        flag("certificate", "certificate of the server", _chain.list.len().fill_null(0) > 0, neutral=True),
        flag("client_certificate", "certificate of the client", pl.col("client_cert_chain_fps").list.len() > 0),
        flag("name_mismatch", "certificate for another name", ~pl.col("sni_matches_cert")),
        flag("self_signed", "certificate that is signed by itself", _validation.str.contains("self.signed")),
        flag("trusted", "certificate that is trusted", _validation == "ok", neutral=True),
    ),
)  # fmt: skip
