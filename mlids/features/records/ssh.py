"""ssh.log: which programs speak, how they agree, and whether the logon succeeds."""

from __future__ import annotations

import polars as pl

from mlids.features.records.base import RecordLog, count, flag, length, level, text_features

# Algorithms that RFC 8758, RFC 9142 and OpenSSH's release notes (8.2, 8.8) withdraw.
_OLD_CIPHER = r"cbc|arcfour|3des|none"
_OLD_MAC = r"md5|sha1-96|ripemd|none|^hmac-sha1"
_OLD_KEX = r"group1-sha1|group14-sha1|exchange-sha1|rsa1024"
_OLD_HOST_KEY = r"^ssh-(dss|rsa)"
# Implementations that are libraries of programs rather than a person's client, by their own banner.
_LIBRARIES = (
    r"(?i)^SSH-[0-9.]+-(libssh|paramiko|go\b|jsch|asyncssh|ssh2js|russh|trilead|apache-sshd|sshj|nmap|zgrab|ncrack|medusa|putty_?ssh)"
)


def _old(column: str, pattern: str) -> pl.Expr:
    return pl.col(column).str.head(256).str.contains(pattern)


SSH = RecordLog(
    "ssh",
    columns={
        "version": pl.Float64(), "auth_success": pl.Boolean(), "auth_attempts": pl.Float64(), "direction": pl.String(),
        "client": pl.String(), "server": pl.String(), "cipher_alg": pl.String(), "mac_alg": pl.String(), "compression_alg": pl.String(),
        "kex_alg": pl.String(), "host_key_alg": pl.String(), "host_key": pl.String(),
    },
    texts=("client", "server"),
    shown=("client", "server"),
    features=(
        flag("version_1", "SSH version 1", pl.col("version") == 1),
        flag("accepted", "logon that succeeded", pl.col("auth_success").fill_null(value=False)),
        flag("refused", "logon that failed", ~pl.col("auth_success").fill_null(value=True)),
        count("attempts", "attempts to log on", pl.col("auth_attempts"), 1.0),
        flag("inbound", "session from outside to inside", pl.col("direction") == "INBOUND"),
        flag("outbound", "session from inside to outside", pl.col("direction") == "OUTBOUND"),
        flag("client", "banner of the client", pl.col("client").is_not_null(), neutral=True),
        flag("library_client", "client that is a library or a scanner", _old("client", _LIBRARIES)),
        flag("openssh_client", "client that is OpenSSH", pl.col("client").str.contains("OpenSSH", literal=True), neutral=True),
        count("client_bytes", "length of the client's banner in bytes", length("client"), 22.0),
        *text_features("client", "client's banner", entropy=3.7, longest=8.0),
        flag("server", "banner of the server", pl.col("server").is_not_null(), neutral=True),
        flag("openssh_server", "server that is OpenSSH", pl.col("server").str.contains("OpenSSH", literal=True), neutral=True),
        count("server_bytes", "length of the server's banner in bytes", length("server"), 30.0),
        *text_features("server", "server's banner", entropy=3.8, longest=8.0),
        flag("cipher", "agreement on a cipher", pl.col("cipher_alg").is_not_null(), neutral=True),
        flag("old_cipher", "cipher that is withdrawn", _old("cipher_alg", _OLD_CIPHER)),
        flag("old_mac", "MAC that is withdrawn", _old("mac_alg", _OLD_MAC)),
        flag("old_kex", "key exchange that is withdrawn", _old("kex_alg", _OLD_KEX)),
        flag("old_host_key", "kind of host key that is withdrawn", _old("host_key_alg", _OLD_HOST_KEY)),
        flag("host_key", "host key", pl.col("host_key").is_not_null(), neutral=True),
        flag("compressed", "compressed session", pl.col("compression_alg") != "none"),
        level("kex_length", "length of the key exchange's name, in tens of bytes", (length("kex_alg") / 10).clip(0, 10), 2.5),
    ),
)  # fmt: skip
