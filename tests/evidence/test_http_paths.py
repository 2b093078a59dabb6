"""Random paths, stagers, gates, and one path asked of many hosts."""

from __future__ import annotations

import random
import string
from pathlib import Path

from mlids.evidence.http_paths import LONG, HttpPaths
from tests.evidence.http_rows import OUTSIDE, found, of_folder, request

LETTERS = string.ascii_letters + string.digits


def random_path(length: int, seed: int, total: int | None = None) -> str:
    """Return a random path, whose bytes add up to `total` modulo 256 if it is given."""
    rng = random.Random(seed)
    while True:
        path = "".join(rng.choice(LETTERS) for _ in range(length))
        if total is None or sum(path.encode()) % 256 == total:
            return f"/{path}"


def test_checksums_of_meterpreter() -> None:
    first, session = random_path(100, 1, 92), random_path(70, 2, 98)
    rows = [request(0, uri=first, response_body_len=176_000), *(request(i, uri=f"{session}/") for i in range(1, 60))]
    (one,) = found(HttpPaths, rows)
    assert (
        one.kind == "http_random_paths" and one.score == 0.8 and "2 random paths" in one.text and "2 of them with the checksum" in one.text
    )
    other = [request(i, uri=random_path(70, i, 7)) for i in range(2)]
    assert found(HttpPaths, other) == []


def test_many_long_random_paths_are_a_hint() -> None:
    rows = [
        request(i, method="POST", uri=f"/api1{random_path(16, i)}{random_path(20, i + 50)}{random_path(20, i + 100)}") for i in range(12)
    ]
    (one,) = found(HttpPaths, rows)
    assert 0.3 <= one.score < 0.5 and one.count >= 10
    (bare,) = found(HttpPaths, [r | {"host": OUTSIDE} for r in rows])
    assert bare.score >= 0.5
    assert found(HttpPaths, rows[:3]) == [] and found(HttpPaths, [r | {"resp_mime_types": ["image/jpeg"]} for r in rows]) == []
    assert found(HttpPaths, [r | {"referrer": "http://www.example.com/"} for r in rows]) == []


def test_ordinary_long_paths_are_no_evidence() -> None:
    words = [request(i, uri=f"/Articles/2026/How-to-write-documentation-for-everybody-{i}00.html") for i in range(40)]
    certificates = [request(i, uri=f"/MFEwTzBNMEswSTAJBgUrDgMCGgUABBQ50otx{i}/h0Ztl+z8SiPI7wEWVxDlQQUTiJUIBiV5uNu5g") for i in range(40)]
    hashes = [request(i, uri=f"/ubuntu/by-hash/SHA256/{i:064x}") for i in range(40)]
    guids = [request(i, uri=f"/Files/9DCE48D2-3150-4A88-A97C-0EB67C5C{i:04d}/x") for i in range(40)]
    assert found(HttpPaths, [*words, *certificates, *hashes, *guids]) == []


def test_stagers() -> None:
    path = random_path(4, 3, 92)
    (one,) = found(HttpPaths, [request(uri=path, host=OUTSIDE, response_body_len=210_000, resp_mime_types=None)])
    assert one.kind == "http_stager" and one.score == 0.5 and "210.0 KB" in one.text
    assert found(HttpPaths, [request(uri=path, response_body_len=210_000, resp_mime_types=None)])[0].score == 0.3
    assert found(HttpPaths, [request(uri=path, host=OUTSIDE, response_body_len=900)]) == []
    assert found(HttpPaths, [request(uri=random_path(4, 4, 1), host=OUTSIDE, response_body_len=210_000)]) == []


def test_gates() -> None:
    (one,) = found(HttpPaths, [request(i, method="POST", uri="/panel/gate.php") for i in range(5)])
    assert one.kind == "http_gate" and one.score == 0.45 and "5 POST requests" in one.text
    assert found(HttpPaths, [request(uri="/gate.php"), request(method="POST", uri="/navigate.php")]) == []


def test_one_path_of_many_hosts() -> None:
    rows = [
        request(i, uri="/login.php", host=f"q{i}x.com", status_code=404 if i % 3 else None, referrer="http://search.example/")
        for i in range(40)
    ]
    (one,) = found(HttpPaths, rows)
    assert one.kind == "http_many_hosts" and one.score == 0.6 and "40 host names" in one.text and one.subject == "/login.php"
    (answered,) = found(HttpPaths, [r | {"status_code": 200, "referrer": None} for r in rows])
    assert answered.score <= 0.3
    pages = [request(i, uri="/track.php", host=f"ad{i}.example", referrer="http://news.example/") for i in range(40)]
    blogs = [request(i, uri="/wp-comments-post.php", host=f"blog{i}.example", status_code=404) for i in range(40)]
    assert found(HttpPaths, [*pages, *blogs, *([rows[0]] * 100)]) == []


def test_real_captures(real_data: Path) -> None:
    (one,) = of_folder(HttpPaths, real_data / "more/meterpreter-browse")
    assert one.kind == "http_random_paths" and one.score == 0.8 and one.count > 200 and len(one.uids) == 2
    (dga,) = of_folder(HttpPaths, real_data / "stratosphere/005-zeek-scenario-malicious")
    assert dga.kind == "http_many_hosts" and dga.score >= 0.5
    assert [e.kind for e in of_folder(HttpPaths, real_data / "more/sendsafe")] == ["http_gate"]
    for benign in (
        "more/benign-day",
        "rita/2024-04-19",
        "rita/proxy_rolling",
        "more/zetaswitch",
        "stratosphere/008-zeek-mixed",
        "slips/test9-mixed-zeek-dir",
    ):
        assert of_folder(HttpPaths, real_data / benign) == [], benign
    assert LONG == 40
