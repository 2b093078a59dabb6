"""Migrations: a new database, databases of before migrations, of an older revision and of a newer mlids; opened at once."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from mlids.alerts.stores import open_stores
from mlids.alerts.stores.audit import Move
from mlids.alerts.stores.ledger import LedgerDay
from mlids.alerts.stores.schema import MIGRATIONS, REVISIONS, VERSION_TABLE
from mlids.alerts.stores.tables import META
from mlids.alerts.suppression import Rule
from mlids.errors import StoreError
from tests.support.alerts import alert

# As mlids created them before it had migrations: `today` just before, `older` without the later tables, columns and index.
TODAY = [
    """CREATE TABLE alerts (id VARCHAR(64) NOT NULL, ts VARCHAR(32) NOT NULL, sensor VARCHAR(64) NOT NULL, kind VARCHAR(64) NOT NULL,
    src VARCHAR(64) NOT NULL, dst VARCHAR(64) NOT NULL, score FLOAT NOT NULL, count INTEGER NOT NULL, model_version VARCHAR(32),
    origin VARCHAR(16) NOT NULL, document TEXT NOT NULL, parts TEXT, suppressed_by INTEGER, updated_at VARCHAR(32) NOT NULL, PRIMARY KEY (id))""",
    "CREATE INDEX ix_alerts_ts ON alerts (ts)",
    "CREATE INDEX ix_alerts_src ON alerts (src)",
    """CREATE TABLE audit (id {id}, at VARCHAR(32) NOT NULL, who VARCHAR(128) NOT NULL, action VARCHAR(32) NOT NULL,
    from_version VARCHAR(32), to_version VARCHAR(32), why TEXT NOT NULL, gate TEXT, PRIMARY KEY (id))""",
    """CREATE TABLE verdicts (alert_id VARCHAR(64) NOT NULL, verdict VARCHAR(16) NOT NULL, who VARCHAR(128) NOT NULL, note TEXT,
    at VARCHAR(32) NOT NULL, PRIMARY KEY (alert_id))""",
    """CREATE TABLE ledger (sensor VARCHAR(64) NOT NULL, day VARCHAR(10) NOT NULL, archived INTEGER NOT NULL, rejected INTEGER NOT NULL,
    files INTEGER NOT NULL, problems TEXT NOT NULL, scored INTEGER, alerts INTEGER, at VARCHAR(32) NOT NULL, PRIMARY KEY (sensor, day))""",
    """CREATE TABLE hours (sensor VARCHAR(64) NOT NULL, day VARCHAR(10) NOT NULL, hour VARCHAR(20) NOT NULL, archived INTEGER NOT NULL,
    live INTEGER NOT NULL, late INTEGER NOT NULL, rejected INTEGER NOT NULL, PRIMARY KEY (sensor, day, hour))""",
    """CREATE TABLE suppressions (id {rule_id}, kind VARCHAR(64), sensor VARCHAR(64), src VARCHAR(64), dst VARCHAR(64), port INTEGER,
    why TEXT NOT NULL, who VARCHAR(128) NOT NULL, at VARCHAR(32) NOT NULL, expires_at VARCHAR(32), ended_at VARCHAR(32),
    conns INTEGER DEFAULT '0' NOT NULL, last_at VARCHAR(32){rule_key})""",
]
OLDER = [
    TODAY[0].replace("parts TEXT, suppressed_by INTEGER, ", ""), TODAY[1], *TODAY[3:6],
]  # fmt: skip


def _engine(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(exist_ok=True)
    return engine


def _create(url: str, tables: list[str]) -> None:
    """Create tables of before migrations, with a row in each of the first four."""
    engine = _engine(url)
    sqlite = engine.dialect.name == "sqlite"
    ids = {
        "id": "INTEGER NOT NULL" if sqlite else "SERIAL NOT NULL",
        "rule_id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT" if sqlite else "SERIAL NOT NULL",
        "rule_key": "" if sqlite else ", PRIMARY KEY (id)",
    }
    document = alert(1, count=7).document()
    with engine.begin() as db:
        for table in tables:
            db.exec_driver_sql(table.format(**ids) if "{" in table else table)
        db.execute(
            sa.text("INSERT INTO alerts (id, ts, sensor, kind, src, dst, score, count, origin, document, updated_at) "
                    "VALUES (:id, :ts, 'hq', 'brute_force', '10.0.0.1', '192.0.2.1', 80.0, 7, 'live', :document, 'then')"),
            {"id": alert(1).id, "ts": document["ts"], "document": json.dumps(document)},
        )  # fmt: skip
        db.exec_driver_sql("INSERT INTO audit (at, who, action, to_version, why) VALUES ('then', 'ana', 'promote', '1', 'the first')")
        db.exec_driver_sql(f"INSERT INTO verdicts VALUES ('{alert(1).id}', 'false positive', 'ana', NULL, 'then')")
        db.exec_driver_sql("INSERT INTO ledger VALUES ('hq', '2026-11-20', 100, 1, 2, '[\"a gap\"]', 99, 1, 'then')")
    engine.dispose()


def _differences(url: str) -> list[object]:
    """Return what alembic would still change to make the database equal to `tables.py`."""
    engine = sa.create_engine(url)
    with engine.connect() as db:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(db, opts=options), META)
    engine.dispose()
    return found


def test_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert [r.revision for r in ScriptDirectory.from_config(config).walk_revisions()][::-1] == list(REVISIONS)


def test_new_database_equals_the_tables(url: str) -> None:
    open_stores(url).close()
    assert _differences(url) == []
    open_stores(url).close()
    assert _differences(url) == []


@pytest.mark.parametrize("tables", [TODAY, OLDER], ids=["today", "older"])
def test_database_of_before_migrations_is_adopted_with_its_rows(url: str, tables: list[str]) -> None:
    _create(url, tables)
    for _ in range(2):  # the second opening changes nothing
        stores = open_stores(url)
        (found,) = stores.alerts.latest()
        assert (found["id"], found["mlids"]["count"], found["verdict"], found["suppressed_by"]) == (alert(1).id, 7, "false positive", None)
        (day,) = stores.ledger.days()
        assert (day["archived"], day["scored"], day["problems"], day["live"]) == (100, 99, ["a gap"], None)
        assert [r["why"] for r in stores.audit.rows()] == ["the first"] and stores.audit.unsettled() == []
        stores.close()
    assert _differences(url) == []
    stores = open_stores(url)
    (merged,) = stores.alerts.put([alert(1, count=2)], "late 2026-11-20")
    assert merged["mlids"]["count"] == 9, "the document of an older version is the part of its origin"
    stores.ledger.put_day(LedgerDay("hq", "2026-11-21", 1, 0, 1))
    stores.audit.record(Move("ana", "refuse", "1", "2", "worse"))
    assert stores.rules.add(Rule(0, kind="brute_force"), "noise", "ana") == 1 and stores.alerts.latest() == []
    stores.close()


def test_database_of_a_newer_mlids_is_refused_and_left_alone(url: str) -> None:
    stores = open_stores(url)
    stores.alerts.put([alert(1)], "live")
    with stores.engine.writing("the version") as db:
        db.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="has schema version 9999, and this mlids knows versions up to 0007: install the newer mlids"):
        open_stores(url)
    with stores.engine.reading("the version") as db:
        assert db.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"
    assert len(stores.alerts.latest()) == 1
    stores.close()


@pytest.mark.parametrize("before", ["nothing", "older tables"])
def test_processes_that_open_at_once_do_not_collide(url: str, before: str) -> None:
    if before == "older tables":
        _create(url, OLDER)
    script = "import sys; from mlids.alerts.stores import open_stores; input(); print(len(open_stores(sys.argv[1]).ledger.days()))"

    def opened(process: subprocess.Popen[str]) -> tuple[int, str]:
        out, _ = process.communicate("go\n", timeout=120)
        return process.returncode, out

    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(opened, started))
    assert results == [(0, "1\n" if before == "older tables" else "0\n")] * 4
    assert _differences(url) == []


def test_threads_that_open_new_databases_at_once_do_not_collide(tmp_path_factory: pytest.TempPathFactory) -> None:
    urls = [f"sqlite:///{tmp_path_factory.mktemp('db')}/mlids.db" for _ in range(4)] * 2
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda url: open_stores(url).close(), urls))
    assert all(_differences(url) == [] for url in urls)


def test_upgrade_that_fails_changes_nothing(url: str) -> None:
    """A table in the way of the second revision: neither of the two is applied."""
    engine = _engine(url)
    with engine.begin() as db:
        db.exec_driver_sql("CREATE TABLE audit (id INTEGER PRIMARY KEY, state TEXT)")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_stores(url)
    assert sa.inspect(engine).get_table_names() == ["audit"]
    engine.dispose()


def test_opening_a_current_database_does_not_import_alembic(url: str) -> None:
    open_stores(url).close()
    script = "import sys; from mlids.alerts.stores import open_stores; open_stores(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, url], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_history_of_rules_begins_with_those_of_an_older_version(url: str) -> None:
    _create(url, TODAY)
    engine = _engine(url)
    with engine.begin() as db:
        for values in ("'ana', 'noise', '2026-11-01', NULL", "'ben', 'wide', '2026-11-02', '2026-11-03'"):
            db.exec_driver_sql(f"INSERT INTO suppressions (kind, who, why, at, ended_at) VALUES ('beacon', {values})")
    engine.dispose()
    stores = open_stores(url)
    found = [(h["rule"], h["action"], h["who"], h["why"], h["at"], h["conditions"]["kind"]) for h in stores.rules.history()]
    assert found == [
        (2, "end", "", "", "2026-11-03", "beacon"), (2, "add", "ben", "wide", "2026-11-02", "beacon"), (1, "add", "ana", "noise", "2026-11-01", "beacon"),
    ]  # fmt: skip
    with pytest.raises(StoreError, match="never changed"), stores.engine.writing("history") as db:
        db.exec_driver_sql("DELETE FROM suppression_history")
    stores.close()
