"""Features of records: of the record alone, whatever the columns are, and never of who or when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlids.features.records import RECORD_LOGS
from mlids.zeek.reader import LogReader

CAPTURES = {
    "http": "more/benign-day/http.log.labeled.gz", "dns": "more/benign-day/dns.log.labeled.gz", "ssh": "zed/ssh.log.gz", "ssl": "zed/ssl.log.gz",
}  # fmt: skip


def records(real_data: Path, log: str, most: int = 3_000) -> pl.DataFrame:
    return pl.concat([b.frame for b in LogReader(real_data / CAPTURES[log])]).head(most)


@pytest.mark.parametrize("log", RECORD_LOGS)
def test_features_of_a_real_log_vary_and_are_finite(real_data: Path, log: str) -> None:
    x = RECORD_LOGS[log].matrix(records(real_data, log))
    assert np.isfinite(x).all() and x.flags.f_contiguous and x.dtype == np.float32
    assert (x.min(axis=0) < x.max(axis=0)).sum() >= 10


@pytest.mark.parametrize("log", RECORD_LOGS)
def test_a_record_has_the_same_features_in_any_batch(real_data: Path, log: str) -> None:
    rows, described = records(real_data, log), RECORD_LOGS[log]
    whole = described.matrix(rows)
    pieces = [described.matrix(rows[a:b]) for a, b in ((0, 1), (1, 7), (7, rows.height))]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert np.array_equal(whole[::-1], described.matrix(rows.reverse()))


@pytest.mark.parametrize("log", RECORD_LOGS)
def test_who_and_when_is_no_feature(real_data: Path, log: str) -> None:
    rows, described = records(real_data, log), RECORD_LOGS[log]
    other = rows.with_columns(
        pl.lit("198.51.100.9").alias("id.orig_h"), pl.lit("2001:db8::1").alias("id.resp_h"), pl.lit("Cx").alias("uid"),
        pl.lit(9, pl.UInt32).alias("id.orig_p"), pl.lit(9, pl.UInt32).alias("id.resp_p"), pl.col("ts") + pl.duration(hours=7),
    )  # fmt: skip
    assert np.array_equal(described.matrix(rows), described.matrix(other))
    assert not {"ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"} & set().union(*(f.needs for f in described.features))


@pytest.mark.parametrize("log", RECORD_LOGS)
def test_missing_columns_are_neutral_and_the_others_stay(real_data: Path, log: str) -> None:
    rows, described = records(real_data, log), RECORD_LOGS[log]
    whole = described.matrix(rows)
    for column in described.columns:
        if column not in rows.columns:
            continue
        x = described.matrix(rows.drop(column))
        for at, feature in enumerate(described.features):
            if any(n == column or n.startswith(f"{column}.") for n in feature.needs):
                assert np.unique(x[:, at]).tolist() == pytest.approx([np.log1p(feature.neutral) if feature.is_count else feature.neutral])
            else:
                assert np.array_equal(x[:, at], whole[:, at]), feature.name
    nothing = described.matrix(rows.select("uid"))
    assert nothing.shape == whole.shape and (nothing == nothing[0]).all()
    assert described.matrix(rows.head(0)).shape == (0, len(described.features))


ODD = {
    "all numbers": pl.lit(7), "all text": pl.lit("=1,é\u202e"), "all lists": pl.concat_list(pl.lit("a"), pl.lit(None, pl.String)),
    "all null": pl.lit(None), "all nan": pl.lit(float("nan")), "all infinite": pl.lit(float("inf")), "all structs": pl.struct(a=pl.lit(1)),
    "all long": pl.lit("é." * 32_768),
}  # fmt: skip


@pytest.mark.parametrize("log", RECORD_LOGS)
@pytest.mark.parametrize("odd", ODD)
def test_columns_of_any_type_give_finite_features(log: str, odd: str) -> None:
    described = RECORD_LOGS[log]
    rows = pl.DataFrame({"line": [1, 2]}).with_columns(ODD[odd].alias(name) for name in described.columns)
    assert np.isfinite(described.matrix(rows)).all()


def value(log: str, feature: str, **cells: object) -> float:
    described = RECORD_LOGS[log]
    frame = pl.DataFrame({n: [v] for n, v in cells.items()}, schema={n: described.columns[n] for n in cells})
    return float(described.matrix(frame)[0, described.names.index(feature)])


@pytest.mark.parametrize(
    ("log", "feature", "cells", "expected"),
    [
        ("http", "changing_method", {"method": "PUT"}, 1.0),
        ("http", "other_method", {"method": "PROPFIND"}, 1.0),
        ("http", "other_method", {"method": "GET"}, 0.0),
        ("http", "status_class", {"status_code": 404}, 4.0),
        ("http", "answered", {"status_code": None}, 0.0),
        ("http", "address_host", {"host": "192.0.2.7:8080"}, 1.0),
        ("http", "address_host", {"host": "[2001:db8::1]"}, 1.0),
        ("http", "address_host", {"host": "www.example.com:80"}, 0.0),
        ("http", "uri_bytes", {"uri": "/" * 65_536}, np.log1p(65_536)),
        ("http", "program", {"resp_mime_types": ["text/html", "application/x-dosexec"]}, 1.0),
        ("http", "program", {"resp_mime_types": ["text/html"]}, 0.0),
        ("dns", "other_type", {"qtype_name": "TXT"}, 1.0),
        ("dns", "other_type", {"qtype_name": "HTTPS"}, 0.0),
        ("dns", "error", {"rcode": 2}, 1.0),
        ("dns", "error", {"rcode": 3}, 0.0),
        ("dns", "no_such_name", {"rcode": 3}, 1.0),
        ("dns", "ttl", {"TTLs": [300.0, 60.0]}, np.log1p(60)),
        ("dns", "answer_bytes", {"answers": ["192.0.2.1", "192.0.2.20"]}, np.log1p(19)),
        ("ssh", "refused", {"auth_success": False}, 1.0),
        ("ssh", "refused", {"auth_success": None}, 0.0),
        ("ssh", "library_client", {"client": "SSH-2.0-libssh_0.9.6"}, 1.0),
        ("ssh", "library_client", {"client": "SSH-2.0-OpenSSH_9.6"}, 0.0),
        ("ssh", "old_kex", {"kex_alg": "diffie-hellman-group1-sha1"}, 1.0),
        ("ssl", "version", {"version": "TLSv13"}, 5.0),
        ("ssl", "weak_cipher", {"cipher": "TLS_RSA_WITH_RC4_128_MD5"}, 1.0),
        ("ssl", "weak_cipher", {"cipher": "TLS_AES_128_GCM_SHA256"}, 0.0),
        ("ssl", "forward_secret", {"cipher": "TLS_AES_128_GCM_SHA256"}, 1.0),
        ("ssl", "forward_secret", {"cipher": "TLS_RSA_WITH_AES_128_CBC_SHA"}, 0.0),
        ("ssl", "self_signed", {"validation_status": "self signed certificate in certificate chain"}, 1.0),
        ("ssl", "certificate", {"cert_chain_fps": []}, 0.0),
        ("ssl", "name", {"server_name": None}, 0.0),
    ],
)
def test_values_of_features(log: str, feature: str, cells: dict[str, object], expected: float) -> None:
    assert value(log, feature, **cells) == pytest.approx(expected)


def test_values_in_words() -> None:
    of = {f.name: f for f in RECORD_LOGS["http"].features}
    assert of["uri_bytes"].describe(float(np.log1p(2_048)), float(np.log1p(24))) == "length of the URI in bytes: 2,048 (usually 24)"
    assert of["post"].describe(1.0, 0.0) == "POST request: yes (usually no)"
    assert of["uri_digits"].describe(0.25, 0.0) == "share of digits in the URI: 0.25 (usually 0)"
