"""Suppression rules: what they match, which stored alerts they cover, and that suppressed conns are counted."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from mlids.alerts.aggregation import AlertAggregator
from mlids.alerts.grouping import STORM, GroupKey, in_common
from mlids.alerts.suppression import Rule, checked, suppressing_rules
from mlids.errors import InputError
from tests.support.alerts import ConstantModel, flood


def conns(*rows: tuple[str | None, str | None, int | None]) -> pl.DataFrame:
    columns = {n: [r[i] for r in rows] for i, n in enumerate(("id.orig_h", "id.resp_h", "id.resp_p"))}
    return pl.DataFrame(columns, schema_overrides={"id.resp_p": pl.UInt16}).with_columns(sensor=pl.lit("hq"))


def test_rule_matches_when_all_conditions_do() -> None:
    rules = [Rule(1, kind="exfiltration", src="10.0.0.0/24", dst="192.0.2.7/32"), Rule(2, src="2001:db8::/32", port=22)]
    rows = conns(
        ("10.0.0.5", "192.0.2.7", 443), ("10.0.0.5", "192.0.2.8", 443), ("10.0.1.5", "192.0.2.7", 443), ("2001:db8::1", "::1", 22),
        ("2001:db8::1", "::1", 23), (None, None, None), ("no address", "192.0.2.7", 443),
    )  # fmt: skip
    assert suppressing_rules(rules, ["exfiltration"] * rows.height, rows).tolist() == [1, -1, -1, 2, -1, -1, -1]
    assert suppressing_rules(rules, ["beacon"] * rows.height, rows).tolist() == [-1, -1, -1, 2, -1, -1, -1]
    gone = [Rule(3, kind="beacon", expires_at=datetime(2026, 1, 1, tzinfo=UTC))]
    assert suppressing_rules(gone, ["beacon"], rows[:1]).tolist() == [-1]


@pytest.mark.parametrize(
    ("key", "rule", "covered"),
    [
        (("horizontal_scan", "10.0.0.9", "22/tcp"), Rule(1, src="10.0.0.9/32"), True),
        (("horizontal_scan", "10.0.0.9", "22/tcp"), Rule(1, src="10.0.0.9/32", port=22), True),
        (("horizontal_scan", "10.0.0.9", "22/tcp"), Rule(1, src="10.0.0.9/32", dst="192.0.2.1/32"), False),  # it scanned other hosts too
        (("brute_force", "10.0.0.9", "192.0.2.1:22/tcp"), Rule(1, dst="192.0.2.1/32", port=22), True),
        (("brute_force", "10.0.0.9", "2001:db8::1:22/tcp"), Rule(1, dst="2001:db8::1/128"), True),
        (("vertical_scan", "10.0.0.9", "192.0.2.1"), Rule(1, dst="192.0.2.0/24"), True),
        (("vertical_scan", "10.0.0.9", "192.0.2.1"), Rule(1, dst="192.0.2.0/24", port=22), False),
        (("flood", "", "192.0.2.1:80/tcp"), Rule(1, src="10.0.0.9/32"), False),  # many sources
        (("anomaly", "", STORM), Rule(1, kind="anomaly"), True),
        (("anomaly", "", STORM), Rule(1, dst="192.0.2.1/32"), False),
        (("anomaly", "10.0.0.9", ""), Rule(1, sensor="branch"), False),
    ],
)
def test_rule_covers_alert_only_when_it_matches_all_its_conns(key: tuple[str, str, str], rule: Rule, covered: bool) -> None:
    kind, source, target = key
    assert rule.covers(GroupKey("x", "hq", kind, source, target, 0)) is covered


def test_rule_without_condition_or_with_impossible_one_is_refused() -> None:
    with pytest.raises(InputError, match="suppress every alert"):
        checked(None, None, None, None, None)
    with pytest.raises(InputError, match=r"'10\.0\.0\.300' is neither an address nor a network"):
        checked(None, "10.0.0.300", None, None, None)
    with pytest.raises(InputError, match="no alert is of kind 'becon'"):
        checked("becon", None, None, None, None)
    assert checked("beacon", "10.1.2.3/16", None, None, None).src == "10.1.0.0/16"


def test_suppressed_conns_are_in_no_alert_and_are_counted() -> None:
    aggregator = AlertAggregator([Rule(7, src="10.0.0.0/24")])
    aggregator.add(ConstantModel(), *flood(300))  # 10.0.0.0 to 10.0.0.249, then 10.1.0.0 to 10.1.0.49
    assert len(aggregator.open) == 50 and aggregator.suppressed == {7: 250}
    everything = AlertAggregator([Rule(8, kind="anomaly")])
    assert everything.add(ConstantModel(), *flood(300)) == [] and everything.suppressed == {8: 300}


def test_rule_added_later_suppresses_only_matching_conns() -> None:
    aggregator = AlertAggregator()
    aggregator.add(ConstantModel(), *flood(3))
    aggregator.rules = [Rule(1, src="10.0.0.1/32")]
    touched = aggregator.add(ConstantModel(), *flood(3))
    assert sorted(a.src for a in touched) == ["10.0.0.0", "10.0.0.2"]
    assert {a.src: a.count for a in aggregator.open.values()} == {"10.0.0.0": 2, "10.0.0.1": 1, "10.0.0.2": 2}
    assert np.all(suppressing_rules(aggregator.rules, ["anomaly"], flood(1)[0]) == -1)


def test_anomalies_to_multicast_and_broadcast_are_grouped_by_service() -> None:
    assert in_common("anomaly", "10.0.0.5", "224.0.0.251", "5353/udp") == ("", "224.0.0.251:5353/udp")
    assert in_common("anomaly", "fe80::1", "ff02::fb", "5353/udp") == ("", "ff02::fb:5353/udp")
    assert in_common("anomaly", "10.0.0.5", "192.0.2.9", "5353/udp") == ("10.0.0.5", "")
    assert in_common("beacon", "10.0.0.5", "10.0.0.255", "137/udp") == ("10.0.0.5", "10.0.0.255:137/udp")
