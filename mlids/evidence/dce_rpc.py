"""Remote calls that administrators make seldom and intruders often, in dce_rpc.log.

The calls of BZAR (https://github.com/mitre-attack/bzar) and of published attacks: services and tasks created from another host,
replication by a host that is no domain controller, hives saved over the network, forced authentication, Zerologon, SharpHound.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.tables import columns, fold, joined, ramp

# Zeek's names of operations, in lower case, by what they do.
_CALLS = {
    "service_created": ("createservicew", "createservicea", "createservicewow64w", "createservicewow64a"),
    "service_started": ("startservicew", "startservicea"),
    "task_created": ("netrjobadd", "jobadd", "schrpcregistertask"),
    "task_run": ("schrpcrun", "schrpcenabletask"),
    "method_run": ("execmethod", "execmethodasync"),
    "replication": ("drsgetncchanges", "drsgetnt4changelog"),
    "hive_saved": ("baseregsavekey", "baseregsavekeyex"),
    "log_cleared": ("elfrclearelfw", "elfrclearelfa"),
    "driver": (
        "rpcaddprinterdriver", "rpcaddprinterdriverex", "rpcinstallprinterdriverfrompackage", "rpcasyncaddprinterdriver",
        "rpcasyncinstallprinterdriverfrompackage", "rpcaddmonitor", "rpcasyncaddmonitor", "rpcaddprintprocessor", "rpcasyncaddprintprocessor",
    ),
    "forced": (
        "efsrpcopenfileraw", "efsrpcencryptfilesrv", "efsdecryptfilesrv", "efsrpcdecryptfilesrv", "efsrpcqueryusersonfile",
        "efsrpcqueryrecoveryagents", "efsrpcremoveusersfromfile", "efsrpcadduserstofile", "efsrpcfilekeyinfo", "efsrpcduplicateencryptioninfofile",
        "netrdfsaddstdroot", "netrdfsremovestdroot",
    ),
    "printer_notification": ("rpcremotefindfirstprinterchangenotification", "rpcremotefindfirstprinterchangenotificationex"),
    "sessions_listed": ("netrsessionenum", "netrwkstauserenum", "samrgetmembersinalias", "samrenumeratealiasesindomain"),
    "shares_listed": ("netrshareenum", "netrshareenumsticky"),
    "authenticated": ("netrserverauthenticate", "netrserverauthenticate2", "netrserverauthenticate3"),
}  # fmt: skip
_WHAT = {operation: what for what, operations in _CALLS.items() for operation in operations}
# Interfaces of which every call is meant: PetitPotam, and ShadowCoerce, whose interface Zeek does not name.
_FORCED = r"^efsrpc|a8e0653c-2744-4389-a61d-7373df8b2292"
_KEYS = ["source", "target", "what", "day"]
_OPERATIONS = joined("operations", 6)
MAX_CONTROLLERS = 5_000
# The exploit of CVE-2020-1472 succeeds once in 256 attempts on average; a computer authenticates a few times a day.
FEW_ATTEMPTS, MANY_ATTEMPTS = 50, 250
_CHANGED = "compare with the administrators' changes; if nobody made it, isolate the source and read "

_KINDS = {
    "rpc_service": Kind(
        "rpc_service", title="service created on another host", sentence="creates a service on {target}", technique="T1569.002",
        next_step=_CHANGED + "event 7045 on the target",
    ),
    "rpc_task": Kind(
        "rpc_task", title="task created on another host", sentence="creates a scheduled task on {target}", technique="T1053.005",
        next_step=_CHANGED + "event 4698 on the target",
    ),
    "rpc_wmi": Kind(
        "rpc_wmi", title="WMI method run on another host", sentence="runs WMI methods on {target}", technique="T1047",
        next_step="look for processes under WmiPrvSE.exe on the target at this time",
    ),
    "dcsync": Kind(
        "dcsync", title="replication by a host that is no domain controller", sentence="copies passwords from the domain controller {target}", technique="T1003.006",
        next_step="check whether the source is a new domain controller or the directory synchronization server; if not, isolate it and reset krbtgt twice",
    ),
    "rpc_hive": Kind(
        "rpc_hive", title="registry hive saved over the network", sentence="saves registry hives of {target}", technique="T1003.002",
        next_step="isolate the source; the passwords of local accounts and services of the target are known to it",
    ),
    "rpc_log_cleared": Kind(
        "rpc_log_cleared", title="event log cleared over the network", sentence="clears the event log of {target}", technique="T1070.001",
        next_step="ask who cleared it, and read what other logs have about the target before this time",
    ),
    "rpc_enumeration": Kind(
        "rpc_enumeration", title="sessions or shares listed on many hosts", sentence="lists sessions, groups or shares of many hosts", technique="T1018",
        next_step="ask who runs an inventory from the source; if nobody does, look there for SharpHound or a similar tool",
    ),
    "zerologon": Kind(
        "zerologon", title="many authentication attempts of a computer account", sentence="tries Zerologon on {target}", technique="T1210",
        next_step="check that the domain controller has the update for CVE-2020-1472, and that its computer account still has its password",
    ),
    "printer_driver": Kind(
        "printer_driver", title="printer driver installed on another host", sentence="installs a printer driver on {target}", technique="T1210",
        next_step="compare with changes of printers; look on the target for new files under System32\\spool\\drivers",
    ),
    "forced_authentication": Kind(
        "forced_authentication", title="forced authentication", sentence="makes {target} authenticate to another host", technique="T1187",
        next_step="find where the target connected right afterwards, and whether a certificate or a session was obtained there in its name",
    ),
}  # fmt: skip


class DceRpcEvidence(Collector):
    """Calls by source, target, purpose and day, and the addresses of domain controllers."""

    reads = {
        "dce_rpc": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", "endpoint", "operation"),
        "kerberos": ("id.resp_h", "request_type"),
    }
    kinds = tuple(_KINDS.values())

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of dce_rpc.log, or of kerberos.log, whose responders are domain controllers."""
        if log == "kerberos":
            asked = columns(rows, {"id.resp_h": pl.String(), "request_type": pl.String()}).drop_nulls()
            self._controllers(asked["id.resp_h"])
            return
        rpc = ends(rows, {"endpoint": pl.String(), "operation": pl.String()}).with_columns(pl.col("endpoint").str.to_lowercase())
        operation = pl.col("operation").str.to_lowercase()
        self._controllers(rpc.filter(pl.col("endpoint").is_in(["drsuapi", "netlogon"]))["target"])
        what = pl.when(pl.col("endpoint").str.contains(_FORCED)).then(pl.lit("forced")).otherwise(operation.replace_strict(_WHAT, default=None, return_dtype=pl.String))  # fmt: skip
        calls = rpc.with_columns(what=what).drop_nulls("what").with_columns(day=day(one_day=self.one_day))
        fresh = counted(calls, _KEYS, operations=pl.col("operation").drop_nulls().unique(maintain_order=True).head(6))
        fold_counted(self.tables, "calls", fresh, _KEYS, operations=_OPERATIONS)

    def _controllers(self, addresses: pl.Series) -> None:
        fresh = pl.DataFrame({"address": addresses}, schema={"address": pl.String}).group_by("address", maintain_order=True).agg(n=pl.len().cast(pl.Int64))  # fmt: skip
        if fresh.height:
            how = {"n": pl.col("n").sum()}
            self.tables["controllers"] = fold(self.tables.get("controllers"), fresh, ["address"], how, largest="n", most=MAX_CONTROLLERS)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return the calls of each source, purpose and day, the clearest first."""
        if "calls" not in self.tables:
            return []
        known = (
            self.tables["controllers"]["address"].implode() if "controllers" in self.tables else pl.Series([[]], dtype=pl.List(pl.String))
        )
        calls = self.tables["calls"].with_columns(
            controller=pl.col("target").is_in(known), own=pl.col("source").is_in(known), inside=site.inside(self.tables["calls"]["source"])
        )
        found = pl.concat([_run(calls), _single(calls), _wide(calls)], how="diagonal_relaxed")
        return [from_row(row["kind"], row, _describe(row), subject=row["target"] if row["targets"] == 1 else "") for row in clearest(found).iter_rows(named=True)]  # fmt: skip


EVIDENCE = DceRpcEvidence
_MORE = {
    "target": main_target(), "operations": _OPERATIONS, "inside": pl.col("inside").first(), "controller": pl.col("controller").any(),
    "names": pl.col("target").unique(maintain_order=True).head(6),
}  # fmt: skip
# By purpose: the kind, the score for one target and for many, and for a source outside.
_RUN = {
    "service_created": ("rpc_service", 0.55, 0.85), "service_started": ("rpc_service", 0.2, 0.2), "task_created": ("rpc_task", 0.55, 0.85),
    "task_run": ("rpc_task", 0.2, 0.2), "method_run": ("rpc_wmi", 0.35, 0.6),
}  # fmt: skip
# By purpose: the kind, the score, and the score for a domain controller as target.
_SINGLE = {
    "replication": ("dcsync", 0.9, 0.9), "hive_saved": ("rpc_hive", 0.8, 0.85), "log_cleared": ("rpc_log_cleared", 0.5, 0.7),
    "driver": ("printer_driver", 0.35, 0.75), "forced": ("forced_authentication", 0.6, 0.85), "printer_notification": ("forced_authentication", 0.0, 0.6),
}  # fmt: skip


def _by_what(values: dict[str, Any], n: int, dtype: pl.DataType) -> pl.Expr:
    return pl.col("what").replace_strict({what: value[n] for what, value in values.items()}, default=None, return_dtype=dtype)


def _run(calls: pl.DataFrame) -> pl.DataFrame:
    """Return what was run on other hosts, by source and purpose; starts alone count only where nothing was created."""
    found = summed(calls.filter(pl.col("what").is_in(list(_RUN))), ["source", "what", "day"], **_MORE)
    low, high = (_by_what(_RUN, n, pl.Float64()) for n in (1, 2))
    score = low + (high - low) * ramp(pl.col("targets"), 2, 15)
    found = found.with_columns(
        kind=_by_what(_RUN, 0, pl.String()), score=pl.when(pl.col("inside")).then(score).otherwise(pl.max_horizontal(score, 0.8))
    )
    return found.sort("score", descending=True, maintain_order=True).unique(["source", "kind", "day"], keep="first", maintain_order=True)


def _single(calls: pl.DataFrame) -> pl.DataFrame:
    """Return calls of which one is enough, by source and target. Domain controllers replicate among themselves."""
    found = summed(calls.filter(pl.col("what").is_in(list(_SINGLE)) & ~((pl.col("what") == "replication") & pl.col("own"))), ["source", "what", "day", "target"], **{n: e for n, e in _MORE.items() if n != "target"})  # fmt: skip
    score = pl.when("controller").then(_by_what(_SINGLE, 2, pl.Float64())).otherwise(_by_what(_SINGLE, 1, pl.Float64()))
    return found.with_columns(kind=_by_what(_SINGLE, 0, pl.String()), score=score, targets=pl.lit(1, pl.Int64))


def _wide(calls: pl.DataFrame) -> pl.DataFrame:
    """Return lists of sessions or shares of many hosts, and repeated authentication, by source. Domain controllers do both."""
    clients = calls.filter(~pl.col("own"))
    listed = summed(clients.filter(pl.col("what").is_in(["sessions_listed", "shares_listed"])), ["source", "what", "day"], **_MORE)
    wide = (
        pl.when(pl.col("what") == "sessions_listed")
        .then(0.85 * ramp(pl.col("targets"), 4, 25))
        .otherwise(0.7 * ramp(pl.col("targets"), 8, 50))
    )
    listed = listed.with_columns(kind=pl.lit("rpc_enumeration"), score=wide)
    tried = summed(clients.filter(pl.col("what") == "authenticated"), ["source", "what", "day"], **_MORE)
    pace = pl.col("n") / ((pl.col("last") - pl.col("first")).dt.total_milliseconds().fill_null(0) / 1_000.0 + 1.0)
    many = pl.when(pl.col("n") > FEW_ATTEMPTS).then(0.5 + 0.45 * ramp(pl.col("n"), FEW_ATTEMPTS, MANY_ATTEMPTS)).otherwise(0.0)
    tried = tried.with_columns(kind=pl.lit("zerologon"), score=many * (0.4 + 0.6 * ramp(pace, 0.02, 0.2)))
    return pl.concat([listed, tried], how="diagonal_relaxed")


def _describe(row: dict[str, Any]) -> str:
    where = (
        f"on {row['targets']:,} hosts ({named(row['names'])})"
        if row["targets"] > 1
        else f"on {'the domain controller ' if row['controller'] else ''}{row['target']}"
    )
    return f"{row['n']:,} calls of {named(row['operations'])} {where}"
