"""A million stored alerts: every listing, page, report and rule stays quick and small, counts are exact, and no scorer waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from mlids.alerts.stores import Stores, open_stores
from mlids.alerts.stores.tables import SUPPRESSIONS
from mlids.alerts.suppression import Rule
from tests.support.alerts import alert
from tests.support.many_alerts import BEGIN, fill

Happened = Callable[[str], None]
SECONDS, MIB = 2.0, 300
RULES = 100  # of single addresses, as `mlids alerts suppress --alert` makes them; and five of networks
pytestmark = pytest.mark.attack(
    row=14,
    attack="a flood leaves a million alerts in the database",
    held="2 s and 300 MiB for every listing, page, report and rule, with exact counts; a scorer that writes meanwhile waits less than 2 s",
)
# What people do, in this order; `stores` and `count` are there. The page and the report are what the database gives to them.
CALLS = {
    "list": "found = len(pipeline.list_alerts(limit=20)); assert found == 20",
    "list 10,000": "found = len(pipeline.list_alerts(limit=10_000)); assert found == 10_000",
    "find": "found = pipeline.find_alert(pipeline.list_alerts(limit=1)[0]['id'][:16])['id']",
    "page": "found = len(stores.alerts.latest(limit=200)); assert found == 200 and stores.alerts.count() >= count",
    "report": "found = stores.alerts.summary(BEGIN, when(count)).count",
    "suppress": "found = pipeline.suppress(why='noise', who='ana', kind='vertical_scan', force=True)['rule']",
    "list of few": "found = stores.alerts.count(); assert count // 10 <= found <= count // 10 + 50",
    "suppress all": "found = pipeline.suppress(why='noise', who='ana', src='10.0.0.0/8', force=True)['rule']",
    "list of none": "found = len(pipeline.list_alerts(limit=20)); assert found == 0",
    "list suppressed": "found = len(pipeline.list_alerts(limit=1_000, suppressed=True)); assert found == 1_000",
    "unsuppress": "[pipeline.unsuppress(r['id']) for r in pipeline.suppression_rules(in_force=True)[:2]]; found = 0",
    "late scoring again": "stores.alerts.drop_part('hq', 'late 2026-08-02', set()); found = 0",
}
CHILD = """
import json, sys, time
from mlids import pipeline
from mlids.settings import load_settings
from tests.support.many_alerts import BEGIN, when
count, took = int(sys.argv[2]), {}
stores = pipeline.open_stores(load_settings())
pipeline.list_alerts(limit=1)
for name, call in json.loads(sys.argv[1]).items():
    began = time.process_time()  # the machine may have other work
    exec(call)
    took[name] = {"seconds": time.process_time() - began, "found": found}
    took[name]["mib"] = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
print(json.dumps(took))
"""


@pytest.fixture(scope="module", params=[100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A home with very many alerts and the rules of years; and their number."""
    home, count = tmp_path_factory.mktemp("many"), int(request.param)
    stores = open_stores(f"sqlite:///{home}/mlids.db")
    fill(stores, count)
    for n in range(RULES):
        stores.rules.add(Rule(0, kind="brute_force", src=f"10.0.{n}.7/32", dst="192.0.2.1/32", sensor="hq"), "known", "ana")
    for n in range(5):
        stores.rules.add(Rule(0, src=f"172.16.{n}.0/24", port=22), "known", "ana")
    stores.close()
    yield home, count
    (home / "mlids.db").unlink()


@dataclass
class Writer:
    """A scorer's part in it: stores an alert every few milliseconds, and keeps the longest wait."""

    stores: Stores
    longest_s: float = 0.0
    errors: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Write until `over` is set."""
        n = 0
        while not self.over.wait(0.02):
            began = time.monotonic()
            try:
                self.stores.alerts.put([alert(n % 50, BEGIN - timedelta(days=1), count=n + 1)], "live")
            except Exception as error:
                self.errors.append(str(error))
            self.longest_s, n = max(self.longest_s, time.monotonic() - began), n + 1


def test_every_call_is_quick_and_small_while_a_scorer_writes(many: tuple[Path, int], happened: Happened) -> None:
    home, count = many
    writer = Writer(open_stores(f"sqlite:///{home}/mlids.db"))
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        env = {k: v for k, v in os.environ.items() if not k.startswith("MLIDS_")} | {"MLIDS_HOME": str(home)}
        command = [sys.executable, "-c", CHILD, json.dumps(CALLS), str(count)]
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
    finally:
        writer.over.set()
        thread.join()
    assert done.returncode == 0, done.stderr[-2_000:]
    took = json.loads(done.stdout)
    slowest, mib = max(took, key=lambda n: took[n]["seconds"]), max(t["mib"] for t in took.values())
    assert writer.errors == [] and writer.longest_s < SECONDS
    assert took[slowest]["seconds"] < SECONDS and mib < MIB, took
    assert took["report"]["found"] == count, "the report counts every alert of its window"
    words = f"slowest of {len(took)} calls {took[slowest]['seconds']:.1f} s of CPU ({slowest}), largest memory {mib:.0f} MiB"
    happened(f"{count:,} alerts: {words}; a scorer waited {writer.longest_s:.2f} s at most, no error")


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    opened = open_stores(f"sqlite:///{tmp_path}/mlids.db")
    yield opened
    opened.close()


def test_more_rules_than_an_expression_of_sqlite_holds(stores: Stores) -> None:
    stores.alerts.put([alert(1), alert(2), alert(3)], "live")
    networks = [{"src": f"172.{16 + n // 250}.{n % 250}.0/24"} for n in range(1_200)]
    single = [{"src": f"10.{n // 250}.{n % 250}.9/32", "kind": "beacon"} for n in range(1_200)]
    for rules in (networks, single):
        with stores.engine.writing("rules") as db:
            db.execute(sa.insert(SUPPRESSIONS), [r | {"why": "known", "who": "ana", "at": "then"} for r in rules])
    stores.rules.add(Rule(0, src="10.0.0.2/32"), "known", "ana")
    assert sorted(a["src"] for a in stores.alerts.latest()) == ["10.0.0.1", "10.0.0.3"] and stores.alerts.count() == 2


def test_transaction_of_another_program_is_waited_for_and_named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.alerts.put([alert(1)], "live")
    released = threading.Event()

    def hold() -> None:
        with stores.engine.writing("a backup"):
            held.set()
            released.wait(10)

    held = threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(10)
    threading.Timer(1.0, released.set).start()
    stores.rules.add(Rule(0, kind="beacon"), "noise", "ana")  # waits for the other one
    other.join()
    assert released.is_set() and len(stores.rules.rows()) == 1
