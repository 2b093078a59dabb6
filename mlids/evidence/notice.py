"""What Zeek's own scripts, and packages of others, wrote to notice.log."""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, fold_counted, from_row, named, summed
from mlids.evidence.tables import columns
from mlids.zeek.types import TIME

# The first pattern that a note fits: kind (a behaviour, or one of this module), score of a source inside and of one outside.
# From outside, attempts reach every public address. Scores of 0: nothing (the sensor's own health, certificates, inventories).
_NOTES: tuple[tuple[str, str, float, float], ...] = (
    (r"^Scan::Port_Scan", "vertical_scan", 0.6, 0.15),
    (r"^Scan::|^ICMP::.*AddressScan", "horizontal_scan", 0.6, 0.15),
    (r"::Login_By_Password_Guesser", "notice_login", 0.9, 0.9),
    (r"::(Password_Guessing|Bruteforcing|RDP_Bruteforce)|(?i)brute_?forc", "brute_force", 0.7, 0.25),
    (r"::SSL_Heartbeat_Attack_Success|::Site_Exec_Success", "notice_exploit", 0.9, 0.9),
    (r"::SQL_Injection_Attacker|::SSL_Heartbeat_Attack", "notice_exploit", 0.7, 0.25),
    (r"(?i)CVE_\d{4}.*success", "notice_exploit", 0.85, 0.85),
    (r"(?i)CVE_\d{4}|log4j|zerologon|eternalblue|exploit", "notice_exploit", 0.6, 0.25),
    (r"^TeamCymruMalwareHashRegistry::Match", "notice_malware", 0.85, 0.6),
    (r"(?i)::C2_|(^|_|::)c2($|_|::)|cobalt_?strike|meterpreter|sliver|asyncrat|quasar|njrat|agenttesla|netsupport|trojan|backdoor", "notice_c2", 0.8, 0.6),
    (r"(?i)malware|ransom|stealer|coin_?min", "notice_malware", 0.7, 0.5),
    (r"^ATTACK::(Lateral_Movement_and_Execution|Lateral_Movement_Multiple_Attempts)", "notice_lateral", 0.7, 0.7),
    (r"^ATTACK::Discovery", "notice_lateral", 0.25, 0.25),
    (r"^ATTACK::", "notice_lateral", 0.5, 0.5),
    (r"^Signatures::|^SSH::(Watched_Country_Login|Interesting_Hostname_Login)|^HTTP::SQL_Injection_Victim", "notice_other", 0.3, 0.15),
    (
        r"^(CaptureLoss|PacketFilter|Packet_Filter|Notice|Weird|Conn|SSL|X509|OCSP|Software|SMTP|DNS|DNP3|Traceroute|Known|Site|ProtocolDetector|"
        r"NetControl|Netcontrol|Intel|Broker|Cluster|Spicy|Zeekygen|ICMP|FTP|SSH|HTTP|Dropped|Telemetry|Zeek|Bro|Heartbeat|Stats)::",
        "", 0.0, 0.0,
    ),
    (r".", "notice_other", 0.2, 0.1),
)  # fmt: skip
_WANTED = {
    "ts": TIME, "uid": pl.String(), "note": pl.String(), "msg": pl.String(), "sub": pl.String(), "src": pl.String(), "dst": pl.String(),
    "id.orig_h": pl.String(), "id.resp_h": pl.String(), "id.resp_p": pl.UInt32(), "p": pl.UInt32(),
}  # fmt: skip
_KEYS = ["source", "target", "note", "local", "day"]
_MESSAGE = pl.col("msg").drop_nulls().first()
MAX_NOTICES = 20_000


class NoticeEvidence(Collector):
    """Notices by source, destination and day. Notes of unknown packages are hints, those about certificates and the sensor nothing."""

    reads = {"notice": tuple(_WANTED)}
    kinds = (
        Kind(
            "notice_login", title="login after password guessing (notice)", sentence="logged in to {target} after guessing passwords, Zeek says", technique="T1110.001",
            next_step="close the session, and change the password of the account that logged in",
        ),
        Kind(
            "notice_exploit", title="exploit (notice)", sentence="attacks {target}, Zeek says: {subject}", technique="T1190",
            next_step="read the message of the notice and the answer of the server; check that it has the update",
        ),
        Kind(
            "notice_malware", title="malware (notice)", sentence="transferred malware, Zeek says: {subject}", technique="T1105",
            next_step="look up the hash in files.log, and find the file on the host",
        ),
        Kind(
            "notice_c2", title="command and control (notice)", sentence="talks to a command server, Zeek says: {subject}", technique="T1071",
            next_step="isolate the host; find the process that holds the connection",
        ),
        Kind(
            "notice_lateral", title="lateral movement (notice)", sentence="moves to other hosts, Zeek says: {subject}", technique="T1021",
            next_step="compare with the administrators' changes on the named hosts",
        ),
        Kind(
            "notice_other", title="other notice", sentence="has a notice of Zeek: {subject}", technique="T1071",
            next_step="read the message of the notice, and the documentation of the package that wrote it",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of notice.log. Notices without a source or a note are ignored."""
        found = columns(rows, _WANTED).select(
            "ts", "uid", "msg", "note", source=pl.coalesce("src", "id.orig_h"), target=pl.coalesce("dst", "id.resp_h"), port=pl.coalesce("id.resp_p", "p"),
            # scan.zeek itself says where the source is.
            local=pl.when(pl.col("note").str.starts_with("Scan::") & pl.col("sub").is_in(["local", "remote"])).then(pl.col("sub") == "local"), day=day(one_day=self.one_day),
        ).drop_nulls(["source", "note"])  # fmt: skip
        fold_counted(self.tables, "notices", counted(found, _KEYS, msg=_MESSAGE), _KEYS, MAX_NOTICES, msg=_MESSAGE)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return notices by source, note and day, the clearest first."""
        if "notices" not in self.tables:
            return []
        number = pl.coalesce(pl.when(pl.col("note").str.contains(p)).then(pl.lit(i)) for i, (p, *_) in enumerate(_NOTES))
        found = summed(self.tables["notices"].with_columns(local=pl.col("local").fill_null(value=False)), ["source", "note", "day"], target=pl.col("target").drop_nulls().first(), msg=_MESSAGE, local=pl.col("local").any())  # fmt: skip
        inside = site.inside(found["source"]) | found["local"]
        found = found.with_columns(number=number).drop_nulls("number")
        score = [pl.col("number").replace_strict(dict(enumerate(n[i] for n in _NOTES)), return_dtype=pl.Float64) for i in (2, 3)]
        found = found.with_columns(score=pl.when(inside).then(score[0]).otherwise(score[1]))
        return [from_row(_NOTES[row["number"]][1], row, _describe(row), subject=row["note"][:80], proto="") for row in clearest(found).iter_rows(named=True)]  # fmt: skip


EVIDENCE = NoticeEvidence


def _describe(row: dict[str, Any]) -> str:
    return f"{row['n']:,} notices {row['note'][:80]}: {named([row['msg']]) or 'no message'}"
