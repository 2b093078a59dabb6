"""Rules in SQL cover what `Rule.covers` covers, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores import Stores
from mlids.alerts.suppression import Rule
from tests.support.alerts import alert

KEYS = [
    GroupKey(f"k{n:031d}", sensor, kind, source, target, 0)
    for n, (sensor, kind, source, target) in enumerate(
        (sensor, kind, source, target)
        for sensor in ("hq", "branch")
        for kind in ("brute_force", "beacon")
        for source in ("10.0.0.1", "10.0.0.2", "2001:db8::1", "", "no address", "::ffff:10.0.0.1")
        for target in ("192.0.2.1:22/tcp", "192.0.2.1", "2001:db8::1:443/tcp", "22/tcp", "", "many")
    )
]
WANTED = [
    Rule(0, kind="beacon"), Rule(0, sensor="hq"), Rule(0, port=22), Rule(0, src="10.0.0.1/32"), Rule(0, src="10.0.0.0/8", port=22),
    Rule(0, src="0.0.0.0/0"), Rule(0, src="::/0"), Rule(0, dst="192.0.2.0/24"), Rule(0, dst="192.0.2.1/32", port=22), Rule(0, dst="2001:db8::1/128"),
    Rule(0, kind="beacon", sensor="branch", src="10.0.0.2/32", dst="192.0.2.1/32", port=22), Rule(0, src="2001:db8::/32"),
    Rule(0, kind="beacon", expires_at=datetime(2026, 11, 20, 12, 0, 1, tzinfo=UTC)), Rule(0, kind="beacon", expires_at=datetime(2026, 11, 20, 12, tzinfo=UTC)),
]  # fmt: skip


@pytest.mark.parametrize("rule", WANTED, ids=[str(n) for n in range(len(WANTED))])
def test_sql_hides_what_the_rule_covers(stores: Stores, rule: Rule) -> None:
    stores.alerts.put([alert(1, key=key) for key in KEYS], "live")
    stores.rules.add(rule, "why", "ana")
    began = alert(1).ts
    expected = {k.id for k in KEYS if not (rule.active(began) and rule.covers(k))}
    assert {a["id"] for a in stores.alerts.latest()} == expected and stores.alerts.count() == len(expected)
    assert {a["id"] for a in stores.alerts.latest(suppressed=True) if a["suppressed_by"] is None} == expected
