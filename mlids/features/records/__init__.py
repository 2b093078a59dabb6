"""Features of single records of http, dns, ssh and ssl: one file for each log. No other record, address, port or time of day enters."""

from __future__ import annotations

from mlids.features.records.base import RecordLog
from mlids.features.records.dns import DNS
from mlids.features.records.http import HTTP
from mlids.features.records.ssh import SSH
from mlids.features.records.ssl import SSL

RECORD_LOGS: dict[str, RecordLog] = {log.name: log for log in (HTTP, DNS, SSH, SSL)}
