"""`mlids elastic backfill` on a real node: it sends what is stored and lacks there, each once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlids import pipeline
from mlids.alerts.delivery import Delivery
from mlids.alerts.sinks.elasticsearch import open_sink
from mlids.cases.gathering import gather
from mlids.cli.__main__ import app
from mlids.errors import InputError, StoreError
from mlids.evidence.base import SiteView
from mlids.settings import load_settings
from tests.conftest import free_port
from tests.support.alerts import NOON, alert
from tests.support.es_node import ElasticsearchNode
from tests.support.evidence import BEACON


def backfill(since: str) -> list[str]:
    """Return the lines of `mlids elastic backfill`."""
    return CliRunner().invoke(app, ["elastic", "backfill", "--since", since]).output.splitlines()


def test_a_second_backfill_adds_nothing(clean: ElasticsearchNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", pipeline.elastic_install()["key"])
    settings = load_settings()
    with_nothing = Delivery(pipeline.open_stores(settings), [], tmp_path / "dead.jsonl")
    days = [alert(n, NOON - timedelta(days=n % 3)) for n in range(30)]
    with_nothing.send(days, lambda error, attempt: False)
    with_nothing.put_cases("hq", "day 2026-11-04", gather([BEACON], SiteView(), "hq").cases)
    with_nothing.close()
    sink = open_sink(settings)
    sink.write([alert(3, count=5).document()])  # it was delivered when it happened, and has grown
    assert backfill("2026-11-01") == ["alerts: 29 created, 1 there already, 0 refused", "cases: 1 created, 0 there already, 0 refused"]
    clean.ask("POST", "/mlids-*/_refresh")
    before = clean.ask("GET", "/mlids-*/_search?size=100&sort=_index,event.id")["hits"]["hits"]
    assert backfill("2026-11-01") == ["alerts: 0 created, 30 there already, 0 refused", "cases: 0 created, 1 there already, 0 refused"]
    clean.ask("POST", "/mlids-*/_refresh")
    after = clean.ask("GET", "/mlids-*/_search?size=100&sort=_index,event.id")["hits"]["hits"]
    assert after == before and len(after) == 31
    assert {h["_id"]: h["_source"]["mlids"]["count"] for h in after}[alert(3).id] == 5
    assert next(h["_source"] for h in after if h["_id"] == alert(4).id) == days[4].document(), "as it is delivered live"
    assert backfill("2026-11-20")[0] == "alerts: 0 created, 10 there already, 0 refused"
    sink.close()


def test_what_is_refused_is_named(clean: ElasticsearchNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_API_KEY", pipeline.elastic_install()["key"])
    clean.ask("PUT", "/mlids-2026.11.20", {"mappings": {"properties": {"rule": {"properties": {"name": {"type": "date"}}}}}})
    stores = Delivery(pipeline.open_stores(load_settings()), [], tmp_path / "dead.jsonl")
    stores.send([alert(1)], lambda error, attempt: False)
    stores.close()
    done = CliRunner().invoke(app, ["elastic", "backfill", "--since", "2026-11-20"])
    assert done.exit_code == 1 and "alerts: 0 created, 0 there already, 1 refused" in done.output
    assert f"  {alert(1).id}: " in done.output and "document_parsing_exception" in done.output


@pytest.mark.parametrize(("since", "words"), [("2199-01-01", "still to come"), ("yesterday", "is not a day")])
def test_a_day_that_cannot_be_sent_is_refused(home: Path, since: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pipeline.elastic_backfill(since)


def test_a_server_that_is_down_is_named_with_what_to_do(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_URL", f"http://127.0.0.1:{free_port()}")
    stores = Delivery(pipeline.open_stores(load_settings()), [], tmp_path / "dead.jsonl")
    stores.send([alert(1)], lambda error, attempt: False)
    stores.close()
    with pytest.raises(StoreError, match=r"does not take alerts.*run `mlids elastic backfill` again"):
        pipeline.elastic_backfill("2026-11-20")
