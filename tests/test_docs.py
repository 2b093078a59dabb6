"""Every command, setting and DAG is documented, and every link in the documents leads somewhere."""

from __future__ import annotations

import re

from mlids.settings import Settings
from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(p.read_text() for p in DOCUMENTS)


def test_every_setting_is_documented() -> None:
    assert not [n for n in Settings.model_fields if f"MLIDS_{n.upper()}" not in TEXT]


def test_every_command_is_documented() -> None:
    from mlids.cli.__main__ import app

    groups = {g.name: g.typer_instance for g in app.registered_groups}
    names = [*groups, *(c.name or c.callback.__name__ for a in (app, *groups.values()) for c in a.registered_commands if c.callback)]
    assert len(names) >= 19
    assert not [n for n in names if not re.search(rf"\b{n}\b", TEXT)]


def test_every_dag_is_documented() -> None:
    assert not [p.stem for p in (ROOT / "dags").glob("*.py") if p.stem not in TEXT]


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_no_module_is_too_long() -> None:
    long = {p.name: n for p in (ROOT / "mlids").rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
    assert not [p for p in (ROOT / "mlids").rglob("*.py") if p.stem in {"utils", "helpers", "common", "misc", "manager"}]
