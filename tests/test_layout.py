"""The packages of mlids, and who may import whom outside of what import-linter checks."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import ROOT

PACKAGE = ROOT / "mlids"
PACKAGES = {
    "alerts", "cases", "cli", "demo", "detectors", "evidence", "features", "ingest", "pipeline", "reporting", "scoring", "settings", "synth", "training", "zeek",
}  # fmt: skip
MODULES = {"assets", "errors", "files", "locks", "text", "window"}


def _imported(path: Path) -> set[str]:
    """Return the modules that a file imports, at any place of it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{a.name}" for a in node.names}
    return found


def test_mlids_has_these_packages_and_modules() -> None:
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == PACKAGES
    assert {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"} == MODULES


def test_every_package_says_what_it_is_for_and_what_may_not_enter() -> None:
    for name in PACKAGES:
        text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert len(text) > 60, name
        assert any(word in text for word in ("enter", "belong", "import it", "imports it")), f"{name}: what may not enter?"


def test_three_questions_are_answered_by_file_names() -> None:
    assert (PACKAGE / "scoring" / "live.py").is_file(), "where are live alerts made?"
    assert (PACKAGE / "training" / "gate.py").is_file(), "where does the weekly gate decide?"
    assert (PACKAGE / "evidence" / "dns.py").is_file(), "where do I add scoring of http.log?"


def test_dags_and_pages_call_the_pipeline_alone() -> None:
    files = [*(ROOT / "dags").glob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    assert len(files) >= 9
    for path in files:
        ours = {name for name in _imported(path) if name.split(".")[0] == "mlids"}
        # The choice of sensors in a form is read when a DAG is parsed, and the pipeline would load polars there.
        allowed = {"mlids.settings.load_settings", "mlids.errors.MlidsError"} if path.name == "forms.py" else {"mlids.pipeline"}
        assert ours <= allowed, f"{path.name}: {sorted(ours)}"


def test_no_test_module_is_imported_from_another() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        parts = [part for name in _imported(path) for part in name.split(".")[1:-1] if name.startswith("tests.")]
        assert not [p for p in parts if p.startswith("test_")], path
