"""Remote calls of intruders, and of administrators and domain controllers."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from mlids.evidence.dce_rpc import DceRpcEvidence
from mlids.zeek.reader import LogReader
from tests.evidence.support import collect, kinds, rows

TO_CONTROLLER = ("dce_rpc", rows(3, endpoint="netlogon", operation="NetrLogonSamLogonEx", orig="10.0.0.9"))


def hosts(n: int) -> list[str]:
    """Return addresses of `n` hosts."""
    return [f"10.0.2.{i}" for i in range(n)]


@pytest.mark.parametrize(
    ("endpoint", "operation", "kind", "low", "high"),
    [
        ("svcctl", "CreateServiceW", "rpc_service", 0.5, 0.7), ("svcctl", "StartServiceW", "rpc_service", 0.1, 0.3),
        ("ITaskSchedulerService", "SchRpcRegisterTask", "rpc_task", 0.5, 0.7), ("atsvc", "NetrJobAdd", "rpc_task", 0.5, 0.7),
        ("IWbemServices", "ExecMethod", "rpc_wmi", 0.2, 0.49), ("winreg", "BaseRegSaveKey", "rpc_hive", 0.7, 1.0),
        ("eventlog", "ElfrClearELFW", "rpc_log_cleared", 0.5, 0.7), ("efsrpc", "EfsRpcOpenFileRaw", "forced_authentication", 0.5, 0.7),
        ("efsrpc2", "unknown-0", "forced_authentication", 0.5, 0.7), ("spoolss", "RpcAddPrinterDriverEx", "printer_driver", 0.2, 0.49),
        ("unknown-a8e0653c-2744-4389-a61d-7373df8b2292", "unknown-8", "forced_authentication", 0.5, 0.7),
    ],
)  # fmt: skip
def test_one_call_is_enough(endpoint: str, operation: str, kind: str, low: float, high: float) -> None:
    [found] = collect(DceRpcEvidence, ("dce_rpc", rows(1, endpoint=endpoint, operation=operation)))
    assert found.kind == kind and low <= found.score <= high and operation in found.text and found.uids == ("C0",)


def test_calls_that_computers_make_all_day_are_no_evidence() -> None:
    usual = [
        "ept_map",
        "DRSBind",
        "DRSCrackNames",
        "SamrConnect5",
        "SamrLookupNamesInDomain",
        "LsarLookupSids3",
        "NetrServerAuthenticate3",
        "ExecQuery",
    ]
    printing = rows(50, endpoint="spoolss", operation="RpcRemoteFindFirstPrinterChangeNotificationEx")
    assert collect(DceRpcEvidence, ("dce_rpc", rows(80, endpoint="samr", operation=usual * 10))) == []
    assert collect(DceRpcEvidence, ("dce_rpc", printing)) == []


def test_replication_is_for_domain_controllers_only() -> None:
    replication = rows(5, endpoint="drsuapi", operation="DRSGetNCChanges")
    [found] = collect(DceRpcEvidence, TO_CONTROLLER, ("dce_rpc", replication))
    assert found.kind == "dcsync" and found.score >= 0.9 and "domain controller 10.0.1.1" in found.text
    tickets = rows(3, request_type="AS", orig="10.0.0.9", resp="10.0.0.5", resp_p=88)
    assert collect(DceRpcEvidence, ("dce_rpc", replication), ("kerberos", tickets)) == []
    # Rows of kerberos.log about other services than the KDC have no request.
    assert kinds(collect(DceRpcEvidence, ("kerberos", tickets.with_columns(request_type=pl.lit(None))), ("dce_rpc", replication))) == [
        "dcsync"
    ]


def test_a_domain_controller_as_target_makes_some_calls_worse() -> None:
    calls = rows(2, endpoint="spoolss", operation=["RpcAddPrinterDriverEx", "RpcRemoteFindFirstPrinterChangeNotificationEx"])
    found = collect(DceRpcEvidence, TO_CONTROLLER, ("dce_rpc", calls))
    assert kinds(found) == ["printer_driver", "forced_authentication"] and found[1].score >= 0.6


def test_many_hosts_raise_the_score_and_a_source_outside_does() -> None:
    worm = rows(20, endpoint="svcctl", operation="CreateServiceW", resp=hosts(20))
    [found] = collect(DceRpcEvidence, ("dce_rpc", worm))
    assert found.score >= 0.8 and "20 hosts" in found.text
    [outside] = collect(DceRpcEvidence, ("dce_rpc", rows(1, endpoint="svcctl", operation="StartServiceW", orig="192.0.2.1")))
    assert outside.score >= 0.8


def test_sessions_listed_on_many_hosts_are_a_search_for_users() -> None:
    assert collect(DceRpcEvidence, ("dce_rpc", rows(4, endpoint="srvsvc", operation="NetrSessionEnum", resp=hosts(4)))) == []
    [found] = collect(DceRpcEvidence, ("dce_rpc", rows(40, endpoint="srvsvc", operation="NetrSessionEnum", resp=hosts(40))))
    assert found.kind == "rpc_enumeration" and found.score >= 0.8
    assert collect(DceRpcEvidence, ("dce_rpc", rows(9, endpoint="srvsvc", operation="NetrShareEnum", resp=hosts(9))))[:1] == []


def test_zerologon_is_fast_and_a_broken_trust_is_slow() -> None:
    fast = rows(300, every_s=0.05, endpoint="netlogon", operation="NetrServerAuthenticate2")
    slow = rows(300, every_s=240, endpoint="netlogon", operation="NetrServerAuthenticate3")
    [found] = collect(DceRpcEvidence, ("dce_rpc", fast))
    assert found.kind == "zerologon" and found.score >= 0.9
    assert all(e.score < 0.5 for e in collect(DceRpcEvidence, ("dce_rpc", slow), one_day=True))


def test_odd_rows_are_ignored() -> None:
    odd = rows(5, endpoint="x" * 65_536, operation=float("nan"), orig="no address")
    assert collect(DceRpcEvidence, ("dce_rpc", odd), ("kerberos", pl.DataFrame({"id.resp_h": [None], "request_type": [1]}))) == []
    assert collect(DceRpcEvidence, ("dce_rpc", pl.DataFrame({"operation": ["CreateServiceW"]}))) == []
    assert kinds(collect(DceRpcEvidence, ("dce_rpc", rows(1, operation="CreateServiceW", endpoint=None, ts=[None])))) == ["rpc_service"]


def test_the_state_is_bounded() -> None:
    collector = DceRpcEvidence()
    many = [f"x{i}" for i in range(80_000)]
    collector.add("dce_rpc", rows(80_000, endpoint="drsuapi", operation="DRSGetNCChanges", orig=many, resp=many))
    assert collector.tables["calls"].height <= 50_000 and collector.tables["controllers"].height <= 5_000


def test_an_office_domain_makes_no_such_calls(real_data: Path) -> None:
    folder = real_data / "otrf" / "datasets" / "compound" / "apt29" / "day2" / "zeek" / "individual_zeek_logs"
    log = pl.concat([b.frame for b in LogReader(folder / "NEWYORK_dce_rpc.log", log="dce_rpc")])
    assert log.height > 100 and collect(DceRpcEvidence, ("dce_rpc", log)) == []
