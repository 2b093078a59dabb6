"""Log types (`conn`, `dns`, …): their names, their columns, and how the type of a file is recognized."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlids.zeek.columns import DCE_RPC, FILES, HTTP, NOTICE, SMB_FILES, SMB_MAPPING, SSH, SSL, X509
from mlids.zeek.types import CONN, DNS, Column

# The columns that are written for a log type; rows read keep whatever columns the log has.
LOG_COLUMNS: dict[str, tuple[Column, ...]] = {
    "conn": CONN, "dns": DNS, "http": HTTP, "ssl": SSL, "ssh": SSH, "files": FILES, "x509": X509,
    "smb_files": SMB_FILES, "smb_mapping": SMB_MAPPING, "dce_rpc": DCE_RPC, "notice": NOTICE,
}  # fmt: skip

# Other log types whose rows have the columns of a log type.
_ALIASES: dict[str, frozenset[str]] = {"conn": frozenset({"open_conn", "conn_long"})}

# A log without a type in header, `_path` or name has the first type here of which it has a column.
_DISTINCTIVE: dict[str, frozenset[str]] = {"conn": frozenset({"conn_state", "history"})}


KNOWN_LOGS = frozenset(
    [
        "analyzer",
        "arp",
        "broker",
        "bro_files",
        "capture_loss",
        "cluster",
        "config",
        "conn",
        "conn_long",
        "conn-summary",
        "dce_rpc",
        "dhcp",
        "dnp3",
        "dns",
        "dpd",
        "files",
        "ftp",
        "http",
        "intel",
        "irc",
        "kerberos",
        "known_certs",
        "known_hosts",
        "known_services",
        "ldap",
        "ldap_search",
        "loaded_scripts",
        "login",
        "modbus",
        "mqtt_connect",
        "mqtt_publish",
        "mqtt_subscribe",
        "mysql",
        "netcontrol",
        "notice",
        "notice_alarm",
        "ntlm",
        "ntp",
        "ocsp",
        "open_conn",
        "open_http",
        "open_ssl",
        "packet_filter",
        "pe",
        "postgresql",
        "prof",
        "quic",
        "radius",
        "rdp",
        "redis",
        "reporter",
        "rfb",
        "rpc",
        "sip",
        "smb_cmd",
        "smb_files",
        "smb_mapping",
        "smtp",
        "snmp",
        "socks",
        "software",
        "ssh",
        "ssl",
        "stats",
        "stderr",
        "stdout",
        "syslog",
        "telemetry",
        "traceroute",
        "tunnel",
        "weird",
        "weird_stats",
        "websocket",
        "x509",
    ]
)

# Files beside the logs that hold free text; the glob `conn*` matches the first.
NOT_LOGS = frozenset({"conn-summary", "stderr", "stdout", "prof"})

_ENDINGS = re.compile(r"\.(gz|zst|zstd|labeled|labelled|csv|log|json|jsonl|ndjson|txt|tsv)$")


def is_log_type(log: str, wanted: str) -> bool:
    """Return whether a log of type `log` holds rows of type `wanted`: `open_conn` and `conn-inc` hold conns."""
    return log == wanted or log in _ALIASES.get(wanted, ()) or (log.startswith(f"{wanted}-") and log not in NOT_LOGS)


def log_type_of_columns(names: Iterable[str]) -> str | None:
    """Return the log type that a row's columns show; None when they show none."""
    present = set(names)
    return next((log for log, columns in _DISTINCTIVE.items() if columns & present), None)


def log_type_of(filename: str) -> str | None:
    """Return the log type (`conn`, `dns`, …) that a file name names; None when it names none.

    Recognizes `conn.log`, `conn.00:00:00-01:00:00.log.gz`, `HOST_conn.log`, `labeled-conn.log` and
    distinguishes `conn-summary` from `conn`.
    """
    stem = filename.rsplit("/", 1)[-1]
    while (shorter := _ENDINGS.sub("", stem)) != stem:
        stem = shorter
    first = stem.split(".", 1)[0]
    if first in KNOWN_LOGS:
        return first
    tail = re.search(r"(?:^|[_\-.\d])((?:open_)?[a-z][a-z0-9]*(?:_[a-z]+)?)$", stem)
    for candidate in filter(None, (tail and tail[1], re.split(r"[_\-.]", stem)[-1], re.split(r"[_\-.]", stem)[0])):
        if candidate in KNOWN_LOGS:
            return candidate
    return None
