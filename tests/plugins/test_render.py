"""The pages as HTML: what they show of cases, hostile text, and contrast in light and dark."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from mlids_airflow.render import render, script_digest

from mlids import pipeline
from mlids.alerts.stores.cases import CaseState
from mlids.cases.gathering import gather
from mlids.errors import InputError
from mlids.evidence.base import Evidence, SiteView
from mlids.settings import load_settings
from tests.conftest import ROOT
from tests.fuzz import page
from tests.support.evidence import BEACON, piece


def stored(*evidence: Evidence) -> list[dict[str, Any]]:
    return pipeline.open_stores(load_settings()).cases.put("hq", "day 2026-11-04", gather(evidence, SiteView(), "hq").cases)


def case_page(case_id: str, token: str | None = None) -> str:
    facts = pipeline.case_facts(case_id)
    assert facts is not None
    return render("case", "/mlids/", {**facts, "token": token})


def test_the_overview_begins_with_open_cases(home: Path) -> None:
    case, low = stored(BEACON, piece(source="10.0.0.6", score=0.3))
    shown = render("overview", "/mlids/", pipeline.overview_page())
    assert shown.index("Open cases") < shown.index("Alerts with the highest risk")
    assert f'href="/mlids/cases/{case["id"]}"' in shown and low["id"] not in shown
    assert "1 high" in shown and "1 low" in shown
    pipeline.judge_case(case["id"], "closed", who="ana", verdict="false positive")
    assert "No case of medium severity or more is open" in render("overview", "/mlids/", pipeline.overview_page())


def test_a_case_shows_evidence_next_steps_names_and_how_to_find_its_rows(home: Path) -> None:
    (case,) = stored(BEACON, piece("self_signed", 0.6, log="ssl", text="signed by itself", uids=("C2", "$(reboot)")))
    shown = case_page(case["id"])
    for text in (
        "signed by itself",
        "Next steps",
        "T1071",
        "zcat 2026-11-04/*.gz | grep -F -e C1 -e C2</pre>",
        f"mlids cases show {case['id'][:8]}",
    ):
        assert text in shown, text
    assert "$(reboot)" not in shown, "only uids go into a command"
    assert "<form" not in shown and "<button" not in shown, "readers get no form"
    shown = case_page(case["id"], token="1.a")
    assert [b for b in re.findall(r'value="([a-z ]+)">', shown) if b] == ["acknowledge", "true positive", "false positive"]
    pipeline.judge_case(case["id"], "closed", who="ana", verdict="true positive", note="reported")
    shown = case_page(case["id"], token="1.a")
    assert re.findall(r'name="action" value="([a-z ]+)">', shown) == ["open"] and "closed as true positive" in shown and "reported" in shown


def test_cases_are_filtered_and_paged(home: Path) -> None:
    stored(*(piece(source=f"10.0.{n % 2}.{n}", score=0.3 + n / 300) for n in range(120)))
    first, last = (pipeline.case_list(page=n) for n in (1, 99))
    assert (first["count"], first["pages"], len(first["cases"]), last["page_now"], len(last["cases"])) == (120, 3, 50, 3, 20)
    shown = render("cases", "/mlids/", first)
    assert 'rel="next"' in shown and 'rel="prev"' not in shown and "120 cases, page 1 of 3" in shown
    assert 'href="/mlids/cases?severity=low&amp;state=not%20closed&amp;host=&amp;page=2"' in shown
    only = pipeline.case_list(host="10.0.1.", severity="medium")
    assert {c["severity"] for c in only["cases"]} <= {"medium", "high"} and all(c["host"].startswith("10.0.1.") for c in only["cases"])
    assert "No case fits" in render("cases", "/mlids/", pipeline.case_list(host='"><b>'))
    with pytest.raises(InputError):
        pipeline.case_list(state="gone")


def test_filters_of_the_page_are_those_of_the_store() -> None:
    from mlids.cases.severity import Severity

    assert list(pipeline.SEVERITIES) == list(Severity) and {*pipeline.STATES} == {"not closed", "all", *CaseState}


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "{{ 7*7 }}", "\u202e\x1b[2J", "javascript:alert(1)"]
)
def test_text_of_others_stays_text(text: str) -> None:
    page.check("\x00".join([text] * page.FIELDS).encode())


def test_texts_are_cut_and_addresses_stay_in_one_line() -> None:
    shown = render("message", "/mlids/", {"text": f"10.0.0.5 and 2001:db8::1 {'A' * 70_000}", "back": None})
    assert shown.count('<span class="address">') == 2 and "2001:db8::1</span>" in shown and len(shown) < 20_000


def _luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_has_contrast_in_light_and_dark() -> None:
    style = (ROOT / "plugins" / "mlids_airflow" / "base.html.j2").read_text()
    pairs = dict(re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}, #[0-9a-f]{6})\)", style))
    assert {"back", "ink", "soft", "accent", "raised", "chart-high"} <= set(pairs)
    for n in (0, 1):
        scheme = {name: pair.split(", ")[n] for name, pair in pairs.items()}
        for text in ("ink", "soft", "accent"):
            assert _contrast(scheme[text], scheme["back"]) >= 4.5 <= _contrast(scheme[text], scheme["raised"]), (text, scheme)
        for name in (c for c in scheme if c.startswith("chart-")):
            assert _contrast(scheme[name], scheme["back"]) >= 3, (name, scheme)
    badges = re.findall(r"color: (#[0-9a-f]{6}); background: (#[0-9a-f]{6})", style)
    badges += [("#ffffff", colour) for colour in re.findall(r"\.(?:level\.|strip td\.)\w+ \{ background: (#[0-9a-f]{6})", style)]
    assert len(badges) >= 8 and all(_contrast(*pair) >= 4.5 for pair in badges)


def test_the_policy_names_the_pages_one_script() -> None:
    shown = render("message", "/mlids/", {"text": "x", "back": None})
    (script,) = re.findall(r"<script>(.*?)</script>", shown, re.DOTALL)
    assert script_digest() == "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "innerHTML" in script and " onclick" not in shown


def test_every_page_has_a_fuzzed_one() -> None:
    """A new template is fuzzed too; charts and layouts have tests of their own."""
    templates = {p.name.removesuffix(".html.j2") for p in (ROOT / "plugins" / "mlids_airflow").glob("*.html.j2")}
    assert templates - set(page.PAGES) == {"base", "parts", "case_rows", "part_page", "week.part", "profile.part"}
