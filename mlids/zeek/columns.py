"""Columns of the logs beside conn.log that synthetic sites hold, as Zeek 6 and 7 write them.

ssl.log and x509.log hold both ways to join them: by fingerprint, and by file id as Zeek 4 and older did.
"""

from __future__ import annotations

from mlids.zeek.types import Column

_ID = (
    Column("ts", "time"), Column("uid", "string"), Column("id.orig_h", "addr"), Column("id.orig_p", "port"),
    Column("id.resp_h", "addr"), Column("id.resp_p", "port"),
)  # fmt: skip


def _columns(*described: str) -> tuple[Column, ...]:
    """Return columns from words "name type"."""
    return tuple(Column(*words.split(" ")) for words in described)


HTTP: tuple[Column, ...] = _ID + _columns(
    "trans_depth count", "method string", "host string", "uri string", "referrer string", "version string", "user_agent string",
    "origin string", "request_body_len count", "response_body_len count", "status_code count", "status_msg string", "info_code count",
    "info_msg string", "tags set[enum]", "username string", "password string", "proxied set[string]", "orig_fuids vector[string]",
    "orig_filenames vector[string]", "orig_mime_types vector[string]", "resp_fuids vector[string]", "resp_filenames vector[string]",
    "resp_mime_types vector[string]",
)  # fmt: skip
SSL: tuple[Column, ...] = _ID + _columns(
    "version string", "cipher string", "curve string", "server_name string", "resumed bool", "last_alert string", "next_protocol string",
    "established bool", "ssl_history string", "cert_chain_fps vector[string]", "client_cert_chain_fps vector[string]",
    "cert_chain_fuids vector[string]", "sni_matches_cert bool", "validation_status string",
)  # fmt: skip
SSH: tuple[Column, ...] = _ID + _columns(
    "version count", "auth_success bool", "auth_attempts count", "direction enum", "client string", "server string", "cipher_alg string",
    "mac_alg string", "compression_alg string", "kex_alg string", "host_key_alg string", "host_key string",
)  # fmt: skip
FILES: tuple[Column, ...] = _columns("ts time", "fuid string", "uid string") + _ID[2:] + _columns(
    "source string", "depth count", "analyzers set[string]", "mime_type string", "filename string", "duration interval", "local_orig bool",
    "is_orig bool", "seen_bytes count", "total_bytes count", "missing_bytes count", "overflow_bytes count", "timedout bool",
    "parent_fuid string",
)  # fmt: skip
X509: tuple[Column, ...] = _columns(
    "ts time", "id string", "fingerprint string", "certificate.version count", "certificate.serial string", "certificate.subject string",
    "certificate.issuer string", "certificate.not_valid_before time", "certificate.not_valid_after time", "certificate.key_alg string",
    "certificate.sig_alg string", "certificate.key_type string", "certificate.key_length count", "certificate.exponent string",
    "certificate.curve string", "san.dns vector[string]", "san.uri vector[string]", "san.email vector[string]", "san.ip vector[addr]",
    "basic_constraints.ca bool", "basic_constraints.path_len count", "host_cert bool", "client_cert bool",
)  # fmt: skip
SMB_FILES: tuple[Column, ...] = _ID + _columns(
    "fuid string", "action enum", "path string", "name string", "size count", "prev_name string", "times.modified time",
    "times.accessed time", "times.created time", "times.changed time",
)  # fmt: skip
SMB_MAPPING: tuple[Column, ...] = _ID + _columns("path string", "service string", "native_file_system string", "share_type string")
DCE_RPC: tuple[Column, ...] = _ID + _columns("rtt interval", "named_pipe string", "endpoint string", "operation string")
NOTICE: tuple[Column, ...] = _ID + _columns(
    "fuid string", "file_mime_type string", "file_desc string", "proto enum", "note enum", "msg string", "sub string", "src addr",
    "dst addr", "p port", "n count", "peer_descr string", "actions set[enum]", "email_dest set[string]", "suppress_for interval",
)  # fmt: skip
