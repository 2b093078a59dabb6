"""The current tables, in SQLAlchemy Core. Each change here is a revision in `migrations/versions` as well."""

from __future__ import annotations

import sqlalchemy as sa

META = sa.MetaData()
ALERTS = sa.Table(
    "alerts", META,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("ts", sa.String(32), nullable=False),
    sa.Column("sensor", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("src", sa.String(64), index=True, nullable=False),
    sa.Column("dst", sa.String(64), nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("model_version", sa.String(32)),
    sa.Column("origin", sa.String(16), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("parts", sa.Text),  # JSON: the document of each scoring (`live`, `late DAY`), by its name; null where `document` is the only one
    sa.Column("updated_at", sa.String(32), nullable=False),
    sa.Column("source_key", sa.String(40)),  # what its conns have in common, see `covering`; null in alerts of older versions
    sa.Column("host_key", sa.String(40)),
    sa.Column("port", sa.Integer),
    sa.Column("late_parts", sa.Text),  # JSON: names of the late scorings that contributed, sorted; null when there is none
    # Listings, counts and rules are answered from this index: the documents of a million alerts are 2 GB.
    sa.Index("ix_alerts_listing", "ts", "id", "kind", "sensor", "source_key", "host_key", "port", "src", "score", "count"),
    sa.Index("ix_alerts_late", "sensor", "late_parts", "id"),
)  # fmt: skip
VERDICTS = sa.Table(
    "verdicts", META,
    sa.Column("alert_id", sa.String(64), primary_key=True),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("at", sa.String(32), nullable=False),
)  # fmt: skip
AUDIT = sa.Table(
    "audit", META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("from_version", sa.String(32)),
    sa.Column("to_version", sa.String(32)),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("gate", sa.Text),
    sa.Column("state", sa.String(16)),  # intent, done or failed; null: done, by an older version
    sa.Column("sha256", sa.String(64)),  # of the graph of `to_version`; null: by an older version, or nothing was moved
)  # fmt: skip
SUPPRESSIONS = sa.Table(
    "suppressions", META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.String(64)),
    sa.Column("sensor", sa.String(64)),
    sa.Column("src", sa.String(64)),
    sa.Column("dst", sa.String(64)),
    sa.Column("port", sa.Integer),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.String(32)),
    sa.Column("ended_at", sa.String(32)),  # ended by an analyst
    sa.Column("conns", sa.Integer, nullable=False, server_default="0"),  # suppressed so far; a replay after a crash counts twice
    sa.Column("last_at", sa.String(32)),
    sqlite_autoincrement=True,
)  # fmt: skip
# Rows are only added; triggers refuse every change.
SUPPRESSION_HISTORY = sa.Table(
    "suppression_history", META,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),  # empty: not known, of a rule ended by an older version
    sa.Column("action", sa.String(16), nullable=False),  # add, force (added although it covers too much) or end
    sa.Column("rule", sa.Integer, nullable=False),
    sa.Column("conditions", sa.Text, nullable=False),  # JSON
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("alerts", sa.Integer),  # of the days before that the rule covered when it was added; null: not counted
)  # fmt: skip
LEDGER = sa.Table(
    "ledger", META,
    sa.Column("sensor", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("archived", sa.Integer, nullable=False),
    sa.Column("rejected", sa.Integer, nullable=False),
    sa.Column("files", sa.Integer, nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
    sa.Column("scored", sa.Integer),
    sa.Column("alerts", sa.Integer),
    sa.Column("at", sa.String(32), nullable=False),
)  # fmt: skip
HOURS = sa.Table(
    "hours", META,
    sa.Column("sensor", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),  # of the archive, in the sensor's zone
    sa.Column("hour", sa.String(20), primary_key=True),  # ISO 8601, UTC: unique when clocks change
    sa.Column("archived", sa.Integer, nullable=False),
    sa.Column("live", sa.Integer, nullable=False),
    sa.Column("late", sa.Integer, nullable=False),
    sa.Column("rejected", sa.Integer, nullable=False),
)  # fmt: skip
LOG_DAYS = sa.Table(
    "log_days", META,
    sa.Column("sensor", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),  # of the archive, in the sensor's zone
    sa.Column("log", sa.String(64), primary_key=True),  # one beside conn.log
    sa.Column("archived", sa.Integer, nullable=False),
    sa.Column("live", sa.Integer),  # null: live scoring does not follow this log
)  # fmt: skip
CASES = sa.Table(
    "cases", META,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("sensor", sa.String(64), nullable=False),
    sa.Column("host", sa.String(64), nullable=False),
    sa.Column("service", sa.String(32), nullable=False),  # of an attacked service; empty: the case is about what the host does
    sa.Column("source", sa.String(64), nullable=False),  # the one outside host that it is about; empty: any
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("severity", sa.Integer, nullable=False),  # 0 low to 3 critical
    sa.Column("first", sa.String(32), nullable=False),
    sa.Column("last", sa.String(32), nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # open, acknowledged or closed
    sa.Column("verdict", sa.String(16)),  # of a closed case
    sa.Column("who", sa.String(128)),
    sa.Column("note", sa.Text),
    sa.Column("state_at", sa.String(32)),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),  # JSON: the evidence of each gathering (`day 2026-11-04`), by its name
    sa.Column("updated_at", sa.String(32), nullable=False),
    sa.Index("ix_cases_subject", "sensor", "host", "service", "source", "last"),
    # Listings are answered from this index: documents can have 50 pieces of evidence each.
    sa.Index("ix_cases_listing", "state", "severity", "score", "last", "id", "host", "source", "first"),
)  # fmt: skip
