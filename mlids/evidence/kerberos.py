"""Requests for tickets in kerberos.log: Kerberoasting, AS-REP roasting, and names or passwords tried one after the other."""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import MAX_GROUPS, clearest, counted, day, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.tables import ramp

# Services of computer accounts, whose keys are random: nobody asks for their tickets in order to guess a password.
_COMPUTERS = r"(?i)^(krbtgt|host|cifs|ldap|gc|dns|rpcss|restrictedkrbhost|termsrv|wsman|kadmin|exchange[a-z]*|smtpsvc|dfsr-[^/]*|[0-9a-f-]{36})(/|@|$)|\$(@|/|$)"
FEW_SERVICES, MANY_SERVICES = 3, 10
# A client asks for tickets of a dozen such services a day.
FEW_STRONG, MANY_STRONG = 25, 80
FEW_NAMES, MANY_NAMES = 8, 30
MIN_OTHERS = 20  # tickets of other hosts, from which is seen whether the site still uses RC4
_WANTED = {
    "request_type": pl.String(), "client": pl.String(), "service": pl.String(), "success": pl.Boolean(), "error_msg": pl.String(), "cipher": pl.String(),
}  # fmt: skip
_TICKETS = ["source", "service", "weak", "day"]
_CIPHERS = ["source", "weak"]
_NAMES = ["source", "name", "day"]
_SUMS = {c: pl.col(c).sum() for c in ("asked", "failed", "unknown", "ok")}
_TARGET = pl.col("target").first()


class KerberosEvidence(Collector):
    """Tickets by source, service and cipher, and names by source with what the domain controller answered."""

    reads = {"kerberos": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED)}
    kinds = (
        Kind(
            "kerberoasting", title="Kerberoasting", sentence="asks for tickets of many services, whose passwords can be guessed from them", technique="T1558.003",
            next_step="find the program on the source that asked; give the named service accounts long passwords, and switch RC4 off for them",
        ),
        Kind(
            "asrep_roasting", title="AS-REP roasting", sentence="collects answers for accounts that need no pre-authentication", technique="T1558.004",
            next_step="require pre-authentication for the named accounts and change their passwords; find the program on the source",
        ),
        Kind(
            "kerberos_guessing", title="names or passwords tried with Kerberos", sentence="tries many names or passwords with Kerberos", technique="T1110.003",
            next_step="find the program on the source; look for a login of one of these names afterwards",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of kerberos.log. Rows about other services than the domain controller have no request, and are ignored."""
        asked = ends(rows, _WANTED).drop_nulls("request_type").with_columns(day=day(one_day=self.one_day))
        tickets = asked.filter((pl.col("request_type") == "TGS") & pl.col("success")).drop_nulls(["service", "cipher"])
        tickets = tickets.with_columns(
            weak=pl.col("cipher").str.contains("(?i)rc4|arcfour|des-cbc"), service=pl.col("service").str.to_lowercase()
        )
        fold_counted(self.tables, "ciphers", counted(tickets, _CIPHERS, target=_TARGET), _CIPHERS, 20_000, target=_TARGET)
        of_users = tickets.filter(~pl.col("service").str.contains(_COMPUTERS))
        fold_counted(self.tables, "tickets", counted(of_users, _TICKETS, target=_TARGET), _TICKETS, target=_TARGET)
        error = pl.col("error_msg")
        names = asked.filter(pl.col("request_type") == "AS").with_columns(
            name=pl.col("client").str.extract(r"^([^/@]+)").str.to_lowercase(),
            asked=error.str.contains("PREAUTH_REQUIRED|PA-ENC-TIMESTAMP"), failed=error.str.contains("PREAUTH_FAILED|CLIENT_REVOKED|KEY_EXPIRED"),
            unknown=error.str.contains("C_PRINCIPAL_UNKNOWN"), ok=pl.col("success") & error.is_null(),
        ).drop_nulls("name")  # fmt: skip
        counts = {c: pl.col(c).fill_null(value=False).sum().cast(pl.Int64) for c in _SUMS}
        fold_counted(self.tables, "names", counted(names, _NAMES, target=_TARGET, **counts), _NAMES, MAX_GROUPS, target=_TARGET, **_SUMS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return what each source asked for, the clearest first."""
        found: list[Evidence] = []
        if "tickets" in self.tables:
            found += _roasting(self.tables["tickets"], self.tables["ciphers"])
        if "names" in self.tables:
            found += _names(self.tables["names"], site)
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = KerberosEvidence


def _roasting(tickets: pl.DataFrame, ciphers: pl.DataFrame) -> list[Evidence]:
    services = {
        "services": pl.col("service").n_unique().cast(pl.Int64),
        "names": pl.col("service").unique(maintain_order=True).head(6),
        "target": main_target(),
    }
    weak = summed(tickets.filter("weak"), ["source", "day"], **services)
    # Where other hosts get RC4 tickets too, the site has not yet left it.
    total, of_weak = ciphers["n"].sum(), ciphers.filter("weak")["n"].sum()
    own = ciphers.group_by("source").agg(own=pl.col("n").sum(), own_weak=pl.col("n").filter("weak").sum())
    weak = weak.join(own, on="source", how="left", maintain_order="left").with_columns(others=total - pl.col("own").fill_null(0))
    usual = pl.when(pl.col("others") >= MIN_OTHERS).then((of_weak - pl.col("own_weak").fill_null(0)) / pl.col("others")).otherwise(0.0)
    rare = 1.0 - 0.6 * ramp(usual, 0.3, 0.8)
    weak = weak.with_columns(how=pl.lit("weak (RC4) "), score=pl.when(pl.col("services") > FEW_SERVICES).then(0.4 + 0.5 * ramp(pl.col("services"), FEW_SERVICES, MANY_SERVICES)).otherwise(0.0) * rare)  # fmt: skip
    every = summed(tickets, ["source", "day"], **services)
    every = every.with_columns(how=pl.lit(""), score=0.45 * ramp(pl.col("services"), FEW_STRONG, MANY_STRONG))
    both = pl.concat([weak.select(every.columns), every]).sort("score", descending=True, maintain_order=True)
    found = clearest(both.unique(["source", "day"], keep="first", maintain_order=True))
    return [
        from_row("kerberoasting", row, f"{row['how']}tickets of {row['services']:,} services of user accounts: {named(row['names'])}")
        for row in found.iter_rows(named=True)
    ]


def _names(names: pl.DataFrame, site: SiteView) -> list[Evidence]:
    never = pl.col("ok") == 0
    bad = never & (pl.col("failed") + pl.col("unknown") > 0)
    silent = never & ~bad & (pl.col("asked") > 0)
    open_ = (pl.col("ok") > 0) & (pl.col("asked") == 0) & (pl.col("failed") == 0)
    found = summed(
        names, ["source", "day"], target=main_target(), total=pl.len().cast(pl.Int64), bad=bad.sum().cast(pl.Int64), silent=silent.sum().cast(pl.Int64),
        unknown=(pl.col("unknown") > 0).sum().cast(pl.Int64), open=open_.sum().cast(pl.Int64), names=pl.col("name").filter(bad | silent).head(6), open_names=pl.col("name").filter(open_).head(6),
    )  # fmt: skip
    # A server that many people log in through has mostly names that succeed.
    share = ramp((pl.col("bad") + pl.col("silent")) / pl.col("total"), 0.2, 0.6)
    tried = pl.when(pl.col("bad") >= FEW_NAMES).then(0.4 + 0.5 * ramp(pl.col("bad"), FEW_NAMES, MANY_NAMES)).otherwise(0.0)
    listed = 0.7 * ramp(pl.col("silent"), FEW_NAMES, 2 * MANY_NAMES)
    inside = site.inside(found["source"])
    score = pl.max_horizontal(tried, listed) * share
    guessing = clearest(found.with_columns(score=pl.when(inside).then(score).otherwise(pl.min_horizontal(score, 0.3))))
    roasted = pl.when((pl.col("silent") >= FEW_NAMES) & (pl.col("open") > 0)).then(0.55 + 0.3 * ramp(pl.col("silent"), FEW_NAMES, MANY_NAMES)).otherwise(0.0)  # fmt: skip
    roasting = clearest(found.with_columns(score=roasted * share))
    return [from_row("kerberos_guessing", row, _describe_names(row)) for row in guessing.iter_rows(named=True)] + [
        from_row("asrep_roasting", row, f"answers without pre-authentication for {named(row['open_names'])}, among {row['total']:,} names that were tried")
        for row in roasting.iter_rows(named=True)
    ]  # fmt: skip


def _describe_names(row: dict[str, Any]) -> str:
    return (
        f"{row['bad'] + row['silent']:,} of {row['total']:,} names never got a ticket ({row['unknown']:,} of them unknown to the domain), "
        f"in {row['n']:,} requests: {named(row['names'])}"
    )
