"""http.log: what a request asks for, how, and what comes back."""

from __future__ import annotations

import polars as pl

from mlids.features.records.base import RecordLog, count, flag, is_address, length, level, text_features
from mlids.zeek.types import STRINGS

# RFC 9110, RFC 5789: methods that read, and methods that change what the server holds.
_READING = ("GET", "HEAD", "OPTIONS")
_CHANGING = ("PUT", "PATCH", "DELETE")
# Media types of programs and scripts (IANA, and the names that libmagic and Zeek's signatures give).
_PROGRAMS = (
    "application/x-dosexec", "application/x-executable", "application/x-mach-o-executable", "application/x-sharedlib",
    "application/x-elf", "application/java-archive", "application/x-java-applet", "application/vnd.microsoft.portable-executable",
    "application/x-msdownload", "text/x-shellscript", "text/x-python", "text/x-perl", "text/x-powershell", "text/x-msdos-batch",
)  # fmt: skip
_method = pl.col("method")
_status = pl.col("status_code")

HTTP = RecordLog(
    "http",
    columns={
        "method": pl.String(), "host": pl.String(), "uri": pl.String(), "referrer": pl.String(), "version": pl.String(),
        "user_agent": pl.String(), "origin": pl.String(), "request_body_len": pl.Float64(), "response_body_len": pl.Float64(),
        "status_code": pl.Float64(), "trans_depth": pl.Float64(), "username": pl.String(), "proxied": STRINGS, "resp_mime_types": STRINGS,
    },
    texts=("host", "uri", "user_agent"),
    shown=("host", "uri"),
    features=(
        flag("post", "POST request", _method == "POST"),
        flag("changing_method", "method that changes what the server holds", _method.is_in(_CHANGING)),
        flag("other_method", "method other than GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE", ~_method.is_in([*_READING, "POST", *_CHANGING])),
        flag("old_version", "version of HTTP before 1.1", pl.col("version").is_in(["0.9", "1.0"])),
        level("status_class", "class of the status (2: success, 3: elsewhere, 4 and 5: error)", (_status / 100).floor().clip(0, 10), 2.0),
        flag("answered", "answer to the request", _status.is_not_null(), neutral=True),
        count("request_bytes", "bytes sent with the request", pl.col("request_body_len")),
        count("response_bytes", "bytes of the answer", pl.col("response_body_len"), 1_000.0),
        count("depth", "number of the request within its connection", pl.col("trans_depth"), 1.0),
        flag("host", "host given", pl.col("host").is_not_null(), neutral=True),
        flag("address_host", "host that is an IP address", is_address("host")),
        count("host_bytes", "length of the host in bytes", length("host"), 15.0),
        count("host_labels", "dots in the host", pl.col("host").str.count_matches(".", literal=True), 2.0),
        *text_features("host", "host", entropy=3.3, longest=8.0),
        count("uri_bytes", "length of the URI in bytes", length("uri"), 30.0),
        count("uri_parameters", "parameters in the URI", pl.col("uri").str.count_matches("=", literal=True)),
        count("uri_escapes", "escaped bytes in the URI", pl.col("uri").str.count_matches("%", literal=True)),
        *text_features("uri", "URI", entropy=4.0, longest=12.0),
        flag("user_agent", "user agent given", pl.col("user_agent").is_not_null(), neutral=True),
        flag("browser_agent", "user agent in the form of a browser's", pl.col("user_agent").str.starts_with("Mozilla/"), neutral=True),
        count("user_agent_bytes", "length of the user agent in bytes", length("user_agent"), 100.0),
        *text_features("user_agent", "user agent", entropy=4.8, longest=10.0),
        flag("referrer", "referrer given", pl.col("referrer").is_not_null()),
        flag("username", "user name sent with the request", pl.col("username").is_not_null()),
        flag("proxied", "request through a proxy", pl.col("proxied").list.len() > 0),
        flag("program", "program or script in the answer", pl.col("resp_mime_types").list.eval(pl.element().is_in(_PROGRAMS)).list.any()),
    ),
)  # fmt: skip
