"""The alert document: rows of any log become alerts, and these go to JSON lines and back unchanged, one line each."""

from __future__ import annotations

import io
import json

import numpy as np
import polars as pl

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.document import merged
from mlids.detectors.bundle import Scores
from mlids.detectors.verdict import Verdicts
from mlids.errors import MlidsError
from mlids.features.spec import NAMES
from mlids.text import no_formula, safe
from mlids.zeek.reader import LogReader
from mlids.zeek.types import conn_columns
from tests.conftest import CONN_HEADER, conn_line
from tests.support.alerts import ConstantModel

FIXED = CONN_HEADER.encode()


def check(data: bytes) -> None:
    """Read the bytes as rows of conn.log, or as JSON, and make an alert of every row."""
    text = data if data.lstrip()[:1] == b"{" else FIXED + data
    try:
        frames = [conn_columns(b.frame) for b in LogReader(io.BytesIO(text), "conn.log") if b.is_type("conn")]
    except MlidsError:
        return
    aggregator, rows = AlertAggregator(), 0
    for frame in frames:
        conns = frame.filter(pl.col("ts").is_not_null()).with_columns(sensor=pl.lit("hq"))
        n = conns.height
        rows += n
        if n:
            scores = Scores(np.full(n, 0.9, np.float32), None, None)
            verdicts = Verdicts(scores, np.full(n, 90.0, np.float32), np.ones(n, bool), np.full(n, -1), np.zeros(n, np.float32))
            aggregator.add(ConstantModel(), conns, np.zeros((n, len(NAMES)), np.float32), verdicts)
    for alert in aggregator.open.values():
        document = alert.document()
        line = json.dumps(document)
        assert json.loads(line) == document and line.isprintable() and document["event"]["id"] == alert.id
        assert document["ts"] <= document["event"]["end"] and 0 <= document["score"] <= 100
        both = merged({"live": document, "late": document})
        assert both["mlids"]["count"] == 2 * alert.count and both["event"]["id"] == alert.id
        for value in (alert.title, alert.src, alert.reasons, *alert.uids):
            shown = safe(no_formula(value))
            assert shown.isprintable() and not shown.startswith(("=", "@"))
    assert sum(a.count for a in aggregator.open.values()) == rows


def seeds() -> dict[str, bytes]:
    """Return rows with ordinary and with hostile cells."""
    cells = ("C1", "=cmd|' /C calc'!A0", "\\x1b[2J", "<script>alert(1)</script>", "\\xe2\\x80\\xae", "\\xed\\xa0\\x80")
    made = {f"uid-{n}": conn_line(cell).encode() for n, cell in enumerate(cells)}
    ipv6 = conn_line("C2", id__orig_h="2001:db8::1", id__resp_h="ff02::1", proto="udp", id__resp_p="-").encode()
    return made | {"ipv6": ipv6, "json": b'{"ts":1.5,"uid":"\\u0000\\ud800","id.orig_h":"10.0.0.1","proto":"icmp"}\n'}
