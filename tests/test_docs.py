"""Documented command lines parse, every command, setting and DAG is documented, and every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mlids.cli.evaluate import spread_out
from scripts import attacks_reference, cli_reference, evidence_reference, settings_reference
from tests.conftest import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {cli_reference.TARGET, settings_reference.TARGET, attacks_reference.TARGET, evidence_reference.TARGET}
CODE = ("mlids", "tests", "dags", "plugins", "benchmarks", "scripts")
COMMANDS = dict(cli_reference.commands(cli_reference.root(), "mlids"))


def command_lines(document: str) -> list[str]:
    """Return the lines of fenced blocks that call mlids, without prompt, pipe and path before it."""
    found = []
    for block in re.findall(r"^ *```(?:console|bash|sh)\n(.*?)^ *```", document, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if match := re.match(r"^\s*(?:\$ )?(?:[^|#]*\| )?(?:[A-Z_]+=\S+ )*(?:\S*/)?mlids (.*)", line):
                found.append(match.group(1))
    return found


def inline_commands(document: str) -> list[str]:
    """Return what stands after `mlids` in code spans."""
    return re.findall(r"`mlids ([a-z][^`]*)`", re.sub(r"^ *```.*?^ *```", "", document, flags=re.DOTALL | re.MULTILINE))


def find_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the full name of the command that `words` call, and the words after it. Raises AssertionError for an unknown command."""
    path = "mlids"
    while words and f"{path} {words[0]}" in COMMANDS:
        path, words = f"{path} {words[0]}", words[1:]
    assert path != "mlids" or not words or words[0].startswith("-"), f"no command {words[0]}"
    return path, words


def wrong(line: str) -> str | None:
    """Return why a command line does not parse, or None."""
    try:
        path, words = find_command(shlex.split(line.partition(" > ")[0], comments=True))
        if "--help" not in words:
            COMMANDS[path].make_context(path, spread_out(words) if path == "mlids evaluate" else words)
    except Exception as error:
        return f"mlids {line}: {getattr(error, 'message', None) or error}"
    return None


def test_documented_command_lines_parse() -> None:
    lines = [line for p in DOCUMENTS for line in command_lines(p.read_text())]
    assert len(lines) >= 8
    problems = [reason for line in lines if (reason := wrong(line))]
    assert not problems, "\n".join(["", *problems])


def test_commands_in_prose_exist_with_their_options() -> None:
    problems = []
    for document in DOCUMENTS:
        for line in inline_commands(document.read_text()):
            path, words = find_command(line.split())
            known = {o for p in COMMANDS[path].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            problems += [f"{document.name}: mlids {line}: {w}" for w in words if w.startswith("--") and w.split("=")[0] not in known]
    assert not problems, "\n".join(["", *problems])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("scroe conn.log", "scroe"),
        ("score conn.log --frmat json", "--frmat"),
        ("alerts suppress --kind beacon", "why"),
        ("serve --metrics-port many", "many"),
    ],
)
def test_a_wrong_command_line_is_found(line: str, reason: str) -> None:
    assert reason in (wrong(line) or "")


def test_command_lines_are_found_in_fenced_blocks() -> None:
    text = "```console\n$ zcat a.gz | .venv/bin/mlids score - # note\n```\nmlids nothing\n```toml\nmlids = 1\n```\n"
    assert command_lines(text) == ["score - # note"]


def test_reference_of_commands_is_current() -> None:
    assert cli_reference.TARGET.read_text() == cli_reference.render(), "run `make docs`"


def test_reference_of_settings_is_current() -> None:
    assert settings_reference.TARGET.read_text() == settings_reference.render(), "run `make docs`"


def test_reference_of_attacks_and_the_table_of_families_are_current() -> None:
    assert attacks_reference.TARGET.read_text() == attacks_reference.render(), "run `make docs`"
    assert evidence_reference.TARGET.read_text() == evidence_reference.render(), "run `make docs`"
    detection = attacks_reference.DETECTION.read_text()
    assert attacks_reference.families() in detection and attacks_reference.with_families(detection) == detection, "run `make docs`"


def test_every_option_and_setting_has_a_description() -> None:
    bare = [
        line for p in GENERATED for line in p.read_text().splitlines() if line.startswith("| `") and line.endswith(("|  |", "| None |"))
    ]
    assert not bare, "\n".join(["", *bare])


def test_every_dag_is_documented() -> None:
    text = "\n".join(p.read_text() for p in DOCUMENTS)
    assert not [p.stem for p in (ROOT / "dags").glob("*.py") if p.stem not in text]


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^ *```.*?^ *```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", h) for h in headings]
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in plain}


def test_links_lead_somewhere() -> None:
    problems = []
    for document in DOCUMENTS:
        text = re.sub(r"^ *```.*?^ *```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            place = (document.parent / path).resolve() if path else document
            if not place.exists() or (anchor and anchor not in anchors(place)):
                problems.append(f"{document.name}: {target}")
    assert not problems, "\n".join(["", *problems])


def test_files_named_in_documents_exist() -> None:
    roots = (ROOT, ROOT / "mlids", ROOT / "docs")
    problems = []
    for document in DOCUMENTS:
        if document.name == "CHANGELOG.md":
            continue
        for name in re.findall(r"`([a-z_]+(?:/[a-z_0-9.]+)*(?:\.py|/))`", document.read_text()):
            if not any((root / name).exists() for root in roots):
                problems.append(f"{document.relative_to(ROOT)}: {name}")
    assert not problems, "\n".join(["", *problems])


def test_no_module_is_too_long() -> None:
    files = [p for folder in CODE for p in (ROOT / folder).rglob("*.py")]
    assert not {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 400}
    assert not [p for p in files if p.stem in {"utils", "helpers", "common", "misc", "manager"}]
