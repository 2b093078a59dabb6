"""The pages in the system's Chromium, inside of a running Airflow: by keyboard, in light and dark, without an error in the console.

SCREENSHOTS=docs/images makes the pictures of the documents anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlids import pipeline
from mlids.settings import load_settings
from tests.conftest import missing
from tests.support.airflow_pages import Server
from tests.support.evidence import BEACON

pytestmark = pytest.mark.airflow
SCREENSHOTS = os.environ.get("SCREENSHOTS")
SIZE = {"width": 1400, "height": 1000}
LONGEST = 1_700  # pixels of a picture's height


class Browser:
    """A signed-in user's browser; what its console and its dialogs say is kept."""

    def __init__(self, context: Any, server: Server) -> None:
        self.server, self.context, self.page = server, context, context.new_page()
        self.said: list[str] = []
        context.on("console", lambda m: self.said.append(m.text) if m.type == "error" else None)
        context.on("weberror", lambda e: self.said.append(str(e.error)))
        context.on("dialog", self._dismiss)
        self.page.goto(server.url + "/")
        self.page.fill("input[name=username]", "ana")
        self.page.fill("input[name=password]", "pw-of-ana")
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("text=Dags", timeout=60_000)
        self.said.clear()  # Airflow's own, before the login

    def _dismiss(self, dialog: Any) -> None:
        self.said.append(dialog.message)
        dialog.dismiss()

    def open(self, path: str) -> Any:
        """Open a page outside of the frame, with all that it loads afterwards."""
        self.page.goto(f"{self.server.url}/mlids/{path}")
        self.loaded(self.page)
        return self.page

    def loaded(self, page: Any) -> None:
        """Wait for what a page loads after it is shown."""
        page.locator("[aria-busy]").first.wait_for(state="detached", timeout=60_000)

    def picture(self, name: str) -> None:
        """Store a picture of the page as it is, when pictures are asked for."""
        if SCREENSHOTS:
            height = min(self.page.locator("body").bounding_box()["height"], LONGEST)
            clip = {"x": 0, "y": 0, "width": SIZE["width"], "height": max(height, 400)}
            self.page.screenshot(path=str(Path(SCREENSHOTS) / f"page-{name}.png"), full_page=True, clip=clip)


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium", "sudo apt-get install -y chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        yield Browser(started.new_context(viewport=SIZE), server)
        started.close()


@pytest.fixture(scope="module")
def scored(server: Server) -> list[dict[str, Any]]:
    """The alerts of the lake's last day in the home of the server, which are scored, with their cases and a report; the riskiest first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLIDS_HOME", str(server.home))
        pipeline.reconcile("hq", "2026-11-05")
        pipeline.report("2026-11-02", "2026-11-09")
        return pipeline.open_stores(load_settings()).alerts.latest(sort="risk")


def test_an_alert_is_found_opened_and_judged_by_keyboard(browser: Browser, scored: list[dict[str, Any]]) -> None:
    wanted = scored[0]
    page = browser.open("alerts")
    page.keyboard.press("/")
    page.keyboard.type(wanted["src"])
    page.keyboard.press("Enter")
    page.wait_for_url("**search=*")
    assert all(cell == wanted["src"] for cell in page.locator("tr td:nth-child(4)").all_inner_texts())
    browser.picture("alerts")
    page.locator(f"a[href='/mlids/alerts/{wanted['id']}']").press("Enter")
    page.wait_for_url("**/alerts/" + wanted["id"])
    browser.loaded(page)
    uids = page.locator("table.log tr td:nth-child(2)").all_inner_texts()
    assert (
        uids
        and set(uids) <= set(wanted["mlids"]["uids"])
        and page.locator("table.log tr td:nth-child(1)").all_inner_texts()
        == sorted(page.locator("table.log tr td:nth-child(1)").all_inner_texts())
    )
    browser.picture("alert")
    page.locator("#note").fill("seen in Chromium")
    page.locator("button", has_text="True positive").press("Enter")
    page.locator("text=by ana").wait_for()
    found = browser.server.stores().rules.verdict(wanted["id"])
    assert found is not None and (found["verdict"], found["who"]) == ("true positive", "ana") and browser.said == []


def test_a_suppression_is_tried_and_nothing_is_stored(browser: Browser, scored: list[dict[str, Any]]) -> None:
    page = browser.open(f"alerts/{scored[-1]['id']}")
    page.locator("summary", has_text="Suppress").press("Enter")
    page.locator("#r-why").fill("a backup of ours")
    page.locator("button", has_text="What would it hide?").press("Enter")
    page.locator("h1", has_text="What the rule would have hidden").wait_for()
    browser.picture("suppress")
    assert page.locator("text=marked true").count() == 1 and browser.server.stores().rules.in_force() == [] and browser.said == []


def test_a_model_is_rolled_back(browser: Browser) -> None:
    page = browser.open("models")
    browser.picture("models")
    page.locator("#why-1").fill("more false positives since version 2")
    page.locator("button", has_text="Roll back to version 1").press("Enter")
    page.locator("td", has_text="rollback 2 → 1").first.wait_for()
    assert browser.server.stores().audit.rows(1)[0]["who"] == "ana"
    page.locator("#why-2").fill("back again")
    page.locator("button", has_text="Roll back to version 2").press("Enter")
    page.locator("td", has_text="rollback 1 → 2").first.wait_for()
    assert browser.said == []


def has_viewer(tab: Any) -> bool:
    """Return whether a tab comes to show a PDF: Chromium's viewer is an extension."""
    for _ in range(300):
        if any(frame.url.startswith("chrome-extension://") for frame in tab.frames):
            return True
        tab.wait_for_timeout(100)  # what happens in the browser is heard of meanwhile
    return False


def test_a_report_is_read_in_a_new_tab_with_a_way_back(browser: Browser, scored: list[dict[str, Any]]) -> None:
    browser.page.goto(browser.server.url + "/plugin/mlids")
    frame = browser.page.frame_locator("iframe")
    frame.locator("nav a", has_text="Reports").press("Enter")
    frame.locator("h1", has_text="Reports").wait_for()
    for kind in ("html", "pdf"):
        with browser.context.expect_page() as opened:
            frame.locator(f"a[href$='.{kind}/read']").first.press("Enter")
        tab = opened.value
        if kind == "html":
            tab.frame_locator("iframe.reader").locator("h1").first.wait_for()
        else:
            assert has_viewer(tab), "the browser shows the PDF"
        assert tab.locator("a", has_text="Back to Airflow").get_attribute("href") == "/plugin/mlids"
        tab.locator("a", has_text="All reports").press("Enter")
        tab.locator("h1", has_text="Reports").wait_for()
        tab.close()
    assert browser.said == []


def test_a_case_is_judged_in_the_frame_of_airflow_by_keyboard(browser: Browser) -> None:
    """Airflow's frame is sandboxed: forms and cookies must work in it, and text of a log runs no script."""
    server, page = browser.server, browser.page
    case_id = server.case(6, score=0.99, sentence="<img src=x onerror=alert(1)> calls", text=BEACON.text + "<script>alert(1)</script>")
    page.goto(server.url + "/plugin/mlids")
    frame = page.frame_locator("iframe")
    frame.locator("h1", has_text="Open cases").wait_for(timeout=60_000)
    assert frame.locator("[data-outside]").is_hidden()
    frame.locator(f'a[href="/mlids/cases/{case_id}"]').press("Enter")
    frame.locator("textarea").fill("seen in Chromium")
    assert frame.locator("img").count() == 0 and frame.locator("script").count() == 1
    frame.locator("button", has_text="Acknowledge").press("Enter")
    frame.locator("text=acknowledged").first.wait_for(timeout=30_000)
    frame.locator("button", has_text="Close as true positive").press("Enter")
    frame.locator("text=closed as true positive").wait_for(timeout=30_000)
    answer = page.request.get(f"{server.url}/mlids/cases/{case_id}")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "no-store" in answer.headers["cache-control"]
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "") and "frame-src 'none'" in policy
    assert browser.said == [] and server.stored(case_id)["who"] == "ana"


def test_every_page_loads_without_an_error_and_follows_the_theme_of_airflow(browser: Browser, scored: list[dict[str, Any]]) -> None:
    page = browser.page
    case = browser.server.stores().cases.latest(limit=1)[0]
    paths = {
        "overview": "",
        "cases": "cases",
        "case": f"cases/{case['id']}",
        "hosts": "hosts",
        "host": f"hosts/{scored[0]['src']}",
        "health": "health",
        "reports": "reports",
    }
    for name, path in paths.items():
        browser.open(path)
        browser.picture(name)
        assert page.evaluate_handle("document.documentElement.scrollWidth <= innerWidth").json_value(), f"{name} is wider than the window"
    for theme, back in (("dark", "rgb(20, 25, 31)"), ("light", "rgb(255, 255, 255)")):
        page.goto(browser.server.url + "/plugin/mlids")
        page.evaluate_handle(f"localStorage.setItem('theme', '{theme}')")
        page.reload()
        shown = page.frame_locator("iframe").locator("body")
        page.frame_locator("iframe").locator("figure svg").first.wait_for(timeout=60_000)
        assert shown.evaluate("e => getComputedStyle(e).backgroundColor") == back
        browser.picture(f"in-airflow-{theme}")
    assert browser.said == []
