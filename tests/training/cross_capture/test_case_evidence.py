"""A capture's cases are those that `mlids score` makes of its folder, with each log taken away in turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlids.cases.gathering import Gathered
from mlids.detectors.reference import load_reference
from mlids.detectors.verdict import judge
from mlids.errors import SourceError
from mlids.scoring.batch import ScoreOptions, score_logs
from mlids.training.cross_capture.captures import Capture, load_capture
from mlids.training.cross_capture.case_evidence import NOTHING, OTHERS, conn_evidence, gather_capture, read_evidence
from mlids.training.cross_capture.evaluate import cases_under
from mlids.training.cross_capture.listing import ListedCapture
from mlids.training.cross_capture.truth import Rule, Truth

CLIENT, RESOLVER, C2 = "10.0.0.5", "10.0.0.1", "203.0.113.9"


def _conns() -> list[dict[str, object]]:
    rng = np.random.default_rng(1)
    rows: list[tuple[float, str, str, int, str, int]] = [(300.0 * i, CLIENT, C2, 443, "tcp", 412) for i in range(120)]
    rows += [(rng.uniform(0, 36_000), "10.0.0.6", f"198.51.100.{i % 20}", 443, "tcp", int(rng.integers(200, 9_000))) for i in range(150)]
    rows += [(60.0 * i, CLIENT, RESOLVER, 53, "udp", 60) for i in range(200)]
    return [
        {"uid": f"C{i}", "ts": 1.7e9 + at, "id.orig_h": a, "id.orig_p": 40_000 + i % 9_000, "id.resp_h": b, "id.resp_p": port, "proto": proto,
         "duration": 0.2, "orig_bytes": size, "resp_bytes": 900, "orig_pkts": 6, "resp_pkts": 6, "conn_state": "SF", "history": "ShADadFf"}
        for i, (at, a, b, port, proto, size) in enumerate(sorted(rows))
    ]  # fmt: skip


def _queries() -> list[dict[str, object]]:
    rng = np.random.default_rng(2)
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    return [
        {"uid": f"D{i}", "ts": 1.7e9 + 60.0 * i, "id.orig_h": CLIENT, "id.resp_h": RESOLVER, "id.resp_p": 53, "proto": "udp",
         "qtype_name": "TXT", "query": f"{''.join(rng.choice(letters, 40))}.tunnel.example"}
        for i in range(200)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    names = [{"ts": 1.7e9, "uid": "S1", "id.orig_h": CLIENT, "id.resp_h": C2, "server_name": "cdn.example"}]
    for log, rows in {"conn": _conns(), "dns": _queries(), "ssl": names}.items():
        (out / f"{log}.log").write_text("".join(json.dumps({"_path": log} | r) + "\n" for r in rows))
    return out


@pytest.fixture(scope="module")
def capture(folder: Path) -> Capture:
    truth = Truth(attacks=(Rule("tunnel", destination=(RESOLVER,)), Rule("beacon", destination=(C2,))), rest="benign")
    return load_capture(ListedCapture(folder / "conn.log", "site", "lab", truth=truth, logs=(folder / "dns.log", folder / "ssl.log")))


def _scores(gathered: Gathered) -> list[tuple[str, float, list[tuple[str, float]]]]:
    return [(c.subject.host, c.score, [(e.kind, e.score) for e in c.evidence]) for c in gathered.cases]


def test_the_cases_are_those_of_the_product(folder: Path, capture: Capture) -> None:
    model = load_reference()
    scored = score_logs([folder], ScoreOptions(model=model, top=0)).gathered
    found = gather_capture(conn_evidence(model, capture, judge(model, capture.x), model.spec.threshold), read_evidence(capture)[NOTHING])
    assert _scores(found) == _scores(scored)
    assert [c.id for c in found.cases] == [c.id for c in scored.cases]
    assert {"dns_tunnel", "beacon"} <= {e.kind for c in found.cases for e in c.evidence}


def test_a_log_that_is_taken_away_says_nothing_and_names_nobody(capture: Capture) -> None:
    found = read_evidence(capture)
    assert list(found) == [NOTHING, "dns", "ssl", OTHERS]
    logs = {left_out: {e.log for e in evidence.found} for left_out, evidence in found.items()}
    assert "dns" in logs[NOTHING] and "dns" not in logs["dns"] and "dns" in logs["ssl"] and logs[OTHERS] == set()
    names = {left_out: evidence.site.names.judged for left_out, evidence in found.items()}
    assert names == {NOTHING: {"dns", "ssl"}, "dns": {"ssl"}, "ssl": {"dns"}, OTHERS: set()}


def test_cases_are_counted_with_each_log_taken_away(capture: Capture) -> None:
    bare = replace(capture, name="bare", logs=())
    logs = {c.name: read_evidence(c) for c in (capture, bare)}
    found = cases_under(load_reference(), [capture, bare], logs, {"site": "site", "bare": "bare"})
    assert list(found["without"]) == [NOTHING, "dns", "ssl", OTHERS] and found["without"][NOTHING] == found["summary"]
    site, alone = (found["networks"][n]["cases"] for n in ("site", "bare"))
    assert (site["n_hosts"], site["hosts_found"], site["first_right"]) == (2.0, 2.0, 1.0), (
        "the client, and the resolver that its title names"
    )
    assert found["without"][OTHERS]["hosts_found"] == 2 * alone["hosts_found"] < found["summary"]["hosts_found"]
    json.dumps(found, allow_nan=False)


def test_a_log_that_is_not_there_is_an_error(capture: Capture, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_evidence(replace(capture, logs=(tmp_path / "dns.log",)))
