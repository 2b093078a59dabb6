"""Certificates of TLS servers, from x509.log or ssl.log: what they say by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from mlids.evidence.published import DEFAULT_CERTIFICATES, PEER_CERTIFICATES, TOOL_CERTIFICATES
from mlids.evidence.tables import columns
from mlids.zeek.types import TIME

# What is kept of a certificate beside its id; times are seconds since 1970.
CERTIFICATES = {"subject": pl.String(), "issuer": pl.String(), "begins": pl.Float64(), "ends": pl.Float64()}
_TOR_CERTIFICATE = r"CN=www\.[a-z2-7]{8,20}\."  # Tor's names: a subject under .net, an issuer under .com
# Metasploit invents companies: the mail address is made of the department and the name.
_METASPLOIT = r"^emailAddress=([^@,]+)@([^@,]+),CN=([^,]+),OU=([^,]+),O="


def certificates_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `id` (fingerprint, or Zeek's id of the file) and what CERTIFICATES names, one row per row of x509.log that has an id."""
    texts = columns(rows, {name: pl.String() for name in ("fingerprint", "id", *_both("subject"), *_both("issuer"))})
    return texts.select(
        pl.coalesce("fingerprint", "id").str.head(64).alias("id"), pl.coalesce(_both("subject")).alias("subject"), pl.coalesce(_both("issuer")).alias("issuer"),
        _seconds(rows, "not_valid_before").alias("begins"), _seconds(rows, "not_valid_after").alias("ends"),
    ).drop_nulls("id")  # fmt: skip


def judged_certificates(pairs: pl.DataFrame, table: pl.DataFrame | None, keys: Sequence[str]) -> pl.DataFrame:
    """Return what the certificates (`certs`: ids) of each pair show, one row per pair that has any.

    `own`: signed by itself; `default`: nobody filled in the subject; `peers`: of a program between equals; `tor`; `tool` (null: none) with
    `tool_score`; `identity` tells certificates apart; `subject`, `begins`, `ends` of the first.
    """
    table = table if table is not None else pl.DataFrame(schema={"id": pl.String(), **CERTIFICATES, "n": pl.Int64()})
    subject, issuer = pl.col("subject"), pl.col("issuer")
    both = pl.concat_str(subject.fill_null(""), issuer.fill_null(""), separator="\n")
    tool = pl.coalesce(
        *(
            pl.when(subject.str.contains(p).fill_null(False) | issuer.str.contains(p).fill_null(False)).then(pl.lit(name))
            for name, p in TOOL_CERTIFICATES
        )
    )
    parts = [subject.str.extract(_METASPLOIT, i) for i in range(1, 5)]
    metasploit = (parts[0] == parts[3]) & (parts[1] == parts[2]) & (subject == issuer)
    facts = pairs.explode("certs", empty_as_null=False, keep_nulls=False).join(
        table.drop("n"), left_on="certs", right_on="id", maintain_order="left"
    )
    facts = facts.with_columns(
        own=(subject == issuer).fill_null(False), default=subject.str.contains(DEFAULT_CERTIFICATES).fill_null(False),
        peers=subject.str.contains(PEER_CERTIFICATES).fill_null(False), tool=pl.coalesce(tool, pl.when(metasploit).then(pl.lit("Metasploit"))),
        tor=(subject.str.contains(_TOR_CERTIFICATE + "net$") & issuer.str.contains(_TOR_CERTIFICATE + "com$")).fill_null(False), identity=both.hash(seed=1),
    )  # fmt: skip
    return facts.group_by(keys, maintain_order=True).agg(
        pl.col("own", "default", "peers", "tor").any(), pl.col("tool", "subject", "begins", "ends").drop_nulls().first(), pl.col("identity").first(),
        tool_score=pl.when((pl.col("tool") == "Metasploit").any()).then(0.85).otherwise(0.95),
    )  # fmt: skip


def _both(field: str) -> tuple[str, str]:
    return f"certificate.{field}", f"certificate_{field}"


def _seconds(rows: pl.DataFrame, field: str) -> pl.Expr:
    """Return a time as seconds: in JSON it is a number; null where it is none."""
    times = []
    for name in _both(field):
        found = rows.schema.get(name)
        if found == TIME:
            times.append(pl.lit(rows[name].dt.epoch("s").cast(pl.Float64)))
        elif found is not None and found.is_numeric():
            times.append(pl.lit(rows[name].cast(pl.Float64, strict=False).fill_nan(None)))
    return pl.coalesce(times) if times else pl.lit(None, pl.Float64)
