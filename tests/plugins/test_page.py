"""The pages on a real Airflow API server: who may read and change what, forged forms, and text of logs that would be markup."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mlids.alerts.grouping import GroupKey
from mlids.alerts.stores.cases import CaseState
from tests.support.airflow_pages import Server, hidden_fields
from tests.support.alerts import alert

pytestmark = pytest.mark.airflow


def test_every_page_requires_a_login(server: Server) -> None:
    case_id, alert_id = server.case(1), server.alert(alert(1))
    paths = ["", "cases", f"cases/{case_id}", f"cases/{case_id}/rows", "alerts", f"alerts/{alert_id}", f"alerts/{alert_id}/rows", "hosts"]
    paths += ["hosts/10.0.0.1", "hosts/10.0.0.1/profile", "models", "model", "health", "reports", "week", "api/overview"]
    for path in paths:
        assert server.ask(f"/mlids/{path}", None)[0] == 401 and server.ask(f"/mlids/{path}", "vic")[0] == 200, path
        for part in ("week", "model", "rows", "profile"):
            if path.endswith(part):
                shown = server.ask(f"/mlids/{path}?part=1", "vic")
                assert shown[0] == 200 and "<html" not in shown[1], "a part is put into a page"
    for path in (f"cases/{case_id}", f"alerts/{alert_id}", f"alerts/{alert_id}/suppress", "models/1"):
        assert server.ask(f"/mlids/{path}", None, {"action": "open"})[0] == 401, path
    for name in ("gone.html", "gone.html/read"):
        assert server.ask(f"/mlids/reports/{name}", None)[0] == 401 and server.ask(f"/mlids/reports/{name}", "vic")[0] == 404


def test_addresses_that_lead_nowhere_are_refused(server: Server) -> None:
    missing_pages = [
        "cases/zz",
        "cases/%00",
        "cases/..%2f..%2fsecrets.json",
        "alerts/zz",
        "alerts/ID0",
        "alerts/%2e%2e",
        "hosts/x",
        "hosts/%3Cb%3E",
        "hosts/x/profile",
    ]
    for path in missing_pages:
        assert server.ask(f"/mlids/{path}", "ana")[0] == 404, path
    for query in (
        "cases?state=gone",
        "cases?severity=9",
        "cases?page=-1",
        "cases?page=%C2%B2",
        "alerts?kind=gone",
        "alerts?sort=gone",
        "alerts?src=x",
    ):
        assert server.ask(f"/mlids/{query}", "ana")[0] == 400, query
    for query in ("alerts?since=1", "alerts?hour=2026", "alerts?min_risk=x", "alerts?min_risk=nan", "alerts?page=-1"):
        assert server.ask(f"/mlids/{query}", "ana")[0] == 400, query
    for query in ("cases?host=%00%ff&page=99999999", "alerts?search=%00%ff%25&page=99999999", "alerts?hour=2026-11-20T12&unjudged=yes"):
        assert server.ask(f"/mlids/{query}", "ana")[0] == 200, query


def test_text_of_a_log_stays_text_on_every_page(server: Server) -> None:
    bad = "<script>alert(1)</script>"
    key = GroupKey("f" * 32, "hq", "brute_force", "", "192.0.2.1:22/tcp", 0)
    alert_id = server.alert(
        alert(77, key=key, src=bad, dst="'\"><img src=x onerror=alert(1)>", reasons=f"{bad}; javascript:alert(1)", uids=["C1", bad])
    )
    case_id = server.case(7, sentence=bad, text=bad)
    for path in (
        "",
        "alerts",
        f"alerts/{alert_id}",
        f"alerts/{alert_id}/rows",
        "hosts",
        "week",
        "cases",
        f"cases/{case_id}",
        f"cases/{case_id}/rows",
    ):
        shown = server.ask(f"/mlids/{path}", "ana")[1]
        assert shown.count("<script") == 1 and "<img" not in shown, path
    assert "&lt;script&gt;alert(1)" in server.ask(f"/mlids/alerts/{alert_id}", "ana")[1]


def test_an_alert_is_judged_in_the_name_of_the_user(server: Server) -> None:
    path = f"/mlids/alerts/{server.alert(alert(2))}"
    old = server.form("eve", path)
    assert server.ask(path, "ana", server.form("ana", path) | {"action": "false positive", "note": " backup\0 <b>x</b> "})[0] == 303
    found = server.stores().rules.verdict(path.rpartition("/")[2])
    assert found is not None and (found["verdict"], found["who"], found["note"]) == ("false positive", "ana", "backup\\x00 <b>x</b>")
    shown = server.ask(path, "vic")[1]
    assert "&lt;b&gt;x" in shown and "by ana" in shown and "<form" not in shown, "readers see it, and get no form"
    status, said = server.ask(path, "eve", old | {"action": "true positive"})
    assert status == 409 and "ana judged this alert" in said
    assert server.ask(path, "ana", server.form("ana", path) | {"action": "delete"})[0] == 400


def test_a_rule_is_stored_only_after_its_dry_run(server: Server) -> None:
    day = datetime.now(UTC) - timedelta(hours=3)
    ids = [server.alert(alert(n, day)) for n in range(30, 40)]
    path = f"/mlids/alerts/{ids[0]}"
    form = server.form("ana", path, path + "/suppress") | {
        "kind": "brute_force",
        "sensor": "hq",
        "src": "10.0.0.30",
        "why": "a scanner of ours",
    }
    assert server.ask(path + "/suppress", "ana", form | {"action": "store"})[0] == 403, "a rule that nobody has looked at"
    status, shown = server.ask(path + "/suppress", "ana", form | {"action": "try"})
    assert status == 200 and "Store this rule" in shown and server.stores().rules.in_force() == []
    seen = hidden_fields(shown, path + "/suppress")
    assert server.ask(path + "/suppress", "ana", seen | {"action": "store", "src": "10.0.0.0/8"})[0] == 403, (
        "another rule than the one that was shown"
    )
    assert server.ask(path + "/suppress", "eve", seen | {"action": "store"})[0] == 403
    status, said = server.ask(path + "/suppress", "ana", seen | {"action": "store"})
    (rule,) = server.stores().rules.rows_in_force()
    assert (
        status == 200
        and f"Rule {rule['id']} is stored" in said
        and (rule["src"], rule["who"], rule["why"]) == ("10.0.0.30/32", "ana", "a scanner of ours")
    )
    assert "suppressed by rule" in server.ask(path, "vic")[1]
    status, shown = server.ask(path + "/suppress", "ana", form | {"action": "try", "src": "", "kind": ""})
    assert status == 200 and "The rule is not stored" in shown and "Store this rule" not in shown, "one that covers too much"
    for wrong in ({"port": "x"}, {"days": "0"}, {"why": " "}, {"src": "nowhere"}, {"kind": "", "sensor": "", "src": ""}):
        assert server.ask(path + "/suppress", "ana", form | {"action": "try"} | wrong)[0] == 400, wrong
    server.stores().rules.end(rule["id"], "a test")


def test_a_model_is_rolled_back_with_a_reason_and_a_name(server: Server) -> None:
    shown = server.ask("/mlids/models", "ana")[1]
    assert shown.index(">production<") < shown.index("PR-AUC at 1 % attacks") and "Roll back to version 1" in shown
    form = hidden_fields(shown, "/mlids/models/1") | {"action": "rollback", "why": "too many alerts <b>"}
    assert "<form" not in server.ask("/mlids/models", "vic")[1] and server.ask("/mlids/models/1", "vic", form)[0] == 403
    assert server.ask("/mlids/models/2", "ana", form)[0] == 403, "the token is for another version"
    for wrong in ({"why": " "}, {"action": "delete"}):
        assert server.ask("/mlids/models/1", "ana", form | wrong)[0] == 400, wrong
    assert server.ask("/mlids/models/1", "ana", form | {"seen": "9"})[0] == 409
    assert server.ask("/mlids/models/1", "ana", form)[0] == 303
    last = server.stores().audit.rows(1)[0]
    assert (last["action"], last["from_version"], last["to_version"], last["who"], last["why"]) == (
        "rollback",
        "2",
        "1",
        "ana",
        "too many alerts <b>",
    )
    shown = server.ask("/mlids/models", "ana")[1]
    assert "too many alerts &lt;b&gt;" in shown and "Roll back to version 2" in shown
    assert server.ask("/mlids/models/1", "ana", form)[0] == 409, "a form that was sent already"
    form = hidden_fields(shown, "/mlids/models/2") | {"action": "rollback", "why": "back"}
    assert server.ask("/mlids/models/2", "ana", form)[0] == 303


def test_the_gate_is_asked_with_a_reason_and_a_name(server: Server) -> None:
    form = server.form("eve", "/mlids/models", "/mlids/models/1") | {"action": "promote", "why": "trained on a longer week"}
    status, said = server.ask("/mlids/models/1", "eve", form)
    assert status == 200 and "Version 1 is in production" in said
    last = server.stores().audit.rows(1)[0]
    assert (last["action"], last["to_version"], last["who"]) == ("promote", "1", "eve") and last["why"].endswith(
        "asked for by eve: trained on a longer week"
    )
    shown = server.ask("/mlids/models", "eve")[1]
    assert "Version 1: promoted" in shown and "on the same held-out rows" in shown
    assert server.ask("/mlids/models/2", "eve", hidden_fields(shown, "/mlids/models/2") | {"action": "rollback", "why": "back"})[0] == 303


def test_a_verdict_is_stored_with_the_name_of_the_user(server: Server) -> None:
    case_id = server.case(2)
    path, note = f"/mlids/cases/{case_id}", "  backup – 'agent' \0 <b>x</b> "
    assert server.ask(path, "ana", server.form("ana", f"/mlids/cases/{case_id}") | {"action": "false positive", "note": note})[0] == 303
    found = server.stored(case_id)
    assert (found["state"], found["verdict"], found["who"]) == ("closed", "false positive", "ana")
    assert found["note"] == "backup – 'agent' \\x00 <b>x</b>" and "&lt;b&gt;x" in server.ask(path, "vic")[1]
    assert server.ask(path, "eve", server.form("eve", f"/mlids/cases/{case_id}") | {"action": "open"})[0] == 303
    found = server.stored(case_id)
    assert (found["state"], found["verdict"], found["who"]) == ("open", None, "eve")


def test_forged_forms_change_nothing(server: Server) -> None:
    case_id, other = server.case(3), server.case(4)
    path, mine = f"/mlids/cases/{case_id}", server.form("ana", f"/mlids/cases/{case_id}") | {"action": "true positive"}
    forged: list[dict[str, str]] = [
        {"action": "true positive", "seen": ""},
        mine | {"token": ""},
        mine | {"token": server.form("eve", f"/mlids/cases/{case_id}")["token"]},
        mine | {"token": server.form("ana", f"/mlids/cases/{other}")["token"]},
        mine | {"token": "9" + mine["token"]},
    ]
    assert [server.ask(path, "ana", form)[0] for form in forged] == [403] * len(forged)
    for site in ("cross-site", "same-site", "none"):
        assert server.ask(path, "ana", mine, Sec_Fetch_Site=site)[0] == 403
    assert "<form" not in server.ask(path, "vic")[1] and server.ask(path, "vic", mine)[0] == 403, "a viewer changes nothing"
    assert server.ask(path, "ana", mine, Content_Type="application/json")[0] == 415
    assert server.ask(path, "ana", mine | {"note": "x" * 20_000})[0] == 413
    assert server.ask(path, "ana", mine | {"action": "delete"})[0] == 400
    assert server.stored(case_id)["state"] == "open"


def test_a_form_of_before_another_verdict_is_refused(server: Server) -> None:
    case_id = server.case(5)
    old = server.form("ana", f"/mlids/cases/{case_id}") | {"action": "acknowledge"}
    server.stores().cases.set_state(case_id, CaseState.CLOSED, "eve", verdict="true positive")
    status, page = server.ask(f"/mlids/cases/{case_id}", "ana", old)
    assert status == 409 and "eve changed this case" in page and server.stored(case_id)["state"] == "closed"
