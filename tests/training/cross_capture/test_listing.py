"""Files that list captures, and laboratories by pattern."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlids.errors import InputError
from mlids.training.cross_capture.listing import by_pattern, read_listing
from mlids.training.cross_capture.truth import Rule, Truth
from mlids.zeek.log_types import log_type_of

LISTING = """
[[capture]]
name = "one"
path = "a/conn.log"
laboratory = "lab"
networks = ["198.51.100.0/24"]
labels = "a/labels.csv"
rest = "benign"
start = 2026-11-04T08:00:00Z
groups = { rat = "c2" }
attack = [{ name = "rat", destination = ["203.0.113.9"], port = [1337] }]

[[capture]]
name = "two"
path = "b.log"
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data" / "a").mkdir(parents=True)
    for name in ("a/conn.log", "a/labels.csv", "b.log"):
        (tmp_path / "data" / name).touch()
    return tmp_path / "data"


def _write(tmp_path: Path, text: str, name: str = "captures.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_listing_gives_paths_laboratories_and_truth(tmp_path: Path, data: Path) -> None:
    one, two = read_listing(_write(tmp_path, LISTING), data)
    assert (one.name, one.path, one.laboratory, one.networks) == ("one", data / "a/conn.log", "lab", ("198.51.100.0/24",))
    rule = Rule("rat", destination=("203.0.113.9",), port=(1337,))
    assert one.truth == Truth(data / "a/labels.csv", (rule,), "benign", start=datetime(2026, 11, 4, 8, tzinfo=UTC)) and one.groups == {
        "rat": "c2"
    }
    assert two.laboratory == "two" and two.truth == Truth() and two.groups == {}


def test_paths_are_relative_to_the_listing_by_default(tmp_path: Path, data: Path) -> None:
    assert [c.path for c in read_listing(_write(data, LISTING))] == [data / "a/conn.log", data / "b.log"]


def test_json_says_the_same(tmp_path: Path, data: Path) -> None:
    entry = {"name": "two", "path": "b.log", "start": "2026-11-04T08:00:00"}
    (found,) = read_listing(_write(tmp_path, json.dumps({"capture": [entry]}), "captures.json"), data)
    assert found.truth.start == datetime(2026, 11, 4, 8, tzinfo=UTC)


def test_the_other_logs_of_a_capture_are_those_that_globs_find(tmp_path: Path, data: Path) -> None:
    for name in ("a/dns.log", "a/ssl.00:00:00-01:00:00.log.gz", "a/conn-summary.log", "a/open_conn.log", "a/TRUTH.txt", "dns.log"):
        (data / name).touch()
    entry = {"name": "two", "path": "b.log", "logs": ["a/*", "a/http*.log", "a/dns.log"], "hosts": ["10.0.0.5", "2001:DB8::1"]}
    (found,) = read_listing(_write(tmp_path, json.dumps({"capture": [entry]}), "captures.json"), data)
    assert found.logs == (data / "a/dns.log", data / "a/ssl.00:00:00-01:00:00.log.gz")
    assert found.hosts == ("10.0.0.5", "2001:db8::1")
    (folder,) = by_pattern([data / "a"], [])
    assert folder.logs == found.logs, "a folder's other logs are those of its conns"


@pytest.mark.parametrize(("text", "message"), [
    ("[[capture]]\nname = 'x'\n", "it needs `name` and `path`"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlab = 'y'\n", "it needs `name` and `path`, and may have"),
    ("[[capture]]\nname = 'x'\npath = 'c.log'\n", "c.log is not there"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nrest = 'attack'\n", "`rest` is"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\ngroups = { a = 'bots' }\n", "one of c2, scans, others"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nattack = [{ name = 'a' }]\n", "at least one of `source`"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nend = 'noon'\n", "'noon' is no time"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\n[[capture]]\nname = 'x'\npath = 'b.log'\n", "two captures are named 'x'"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlogs = 'a/*.log'\n", "`logs` is a list of globs"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlogs = ['/a/*.log']\n", "leads out of the folder"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlogs = ['a/../../*.log']\n", "leads out of the folder"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlogs = ['z/*.log']\n", "z is not there"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nlogs = ['a/dns.log']\n", "dns.log is not there"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nhosts = '10.0.0.5'\n", "`hosts` is a list of addresses"),
    ("[[capture]]\nname = 'x'\npath = 'b.log'\nhosts = ['router']\n", "does not appear to be an IPv4 or IPv6 address"),
    ("", "no \\[\\[capture\\]\\] in it"),
    ("[[capture", "cannot be read as a list of captures"),
])  # fmt: skip
def test_a_listing_that_cannot_be_used_says_why(tmp_path: Path, data: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_listing(_write(tmp_path, text), data)


def test_a_laboratory_is_that_of_the_first_pattern() -> None:
    paths = [Path("/d/iot23/a.log"), Path("/d/ctu/b.log"), Path("/d/c.log")]
    found = by_pattern(paths, ["iot=*/iot23/*", "all=*/*/*.log"])
    assert [c.laboratory for c in found] == ["iot", "all", "all"]
    assert [c.laboratory for c in by_pattern(paths[:1], [])] == ["/d/iot23/a.log"]
    with pytest.raises(InputError, match="write NAME=PATTERN"):
        by_pattern(paths, ["iot23"])


def test_the_public_captures_are_all_there_and_labelled(real_data: Path) -> None:
    listed = read_listing(Path("benchmarks/captures.toml"), real_data)
    assert len(listed) >= 30 and len({c.laboratory for c in listed}) >= 15
    assert {p.parent for p in real_data.glob("**/conn.log.labeled*")} <= {c.path.parent for c in listed}
    logs = {c.name: {log_type_of(p.name) for p in c.logs} for c in listed}
    assert all(logs[c.name] for c in listed for glob in [c.path.parent] if (glob / "dns.log").exists())
    assert "conn" not in set().union(*logs.values()) and {"http", "ssl"} <= logs["zetaswitch"] and logs["dns-tunnel-iodine"] == {"dns"}
