"""Public names, docstrings, command help and documents use the glossary's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import cli_reference
from tests.conftest import ROOT

GLOSSARY = ROOT / "docs" / "glossary.md"
DOCUMENTS = [p for p in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))] if p != GLOSSARY]


def _cells(section: str) -> list[list[str]]:
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


TERMS, _, ALLOWED_ROWS = GLOSSARY.read_text().partition("## Allowed elsewhere")
REPLACED = {word.lower(): cells[0] for cells in _cells(TERMS) for word in re.findall(r"`([^`]+)`", cells[2])}
ALLOWED = [cells[0].strip("`").lower() for cells in _cells(ALLOWED_ROWS)]
_WORDS = re.compile(r"(?<![\w-])(" + "|".join(re.escape(w) for w in sorted(REPLACED, key=len, reverse=True)) + r")(?![\w-])")


def replaced_words(text: str) -> list[str]:
    """Return the replaced words that `text` uses, after the allowed phrases are removed."""
    text = text.lower()
    for phrase in ALLOWED:
        text = text.replace(phrase, " ")
    return _WORDS.findall(text)


def words_of(name: str) -> str:
    """Return a name as words: `held_back`, `heldBack` and `HeldBack` are "held back"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each public class, function and method below `node`: names, arguments, first line of the docstring."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if child.name.startswith("_") and not child.name.startswith("__"):
            continue
        name = prefix + child.name
        yield name, words_of(child.name)
        yield name, (ast.get_docstring(child) or "").partition("\n")[0]
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{name}.")
        else:
            arguments = [*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs, child.args.vararg, child.args.kwarg]
            yield from ((f"{name}({a.arg})", words_of(a.arg)) for a in arguments if a is not None and not a.arg.startswith("_"))


def in_module(path: Path) -> list[str]:
    """Return what a module's public names and docstrings use of the replaced words."""
    tree = ast.parse(path.read_text())
    found = [(path.stem, words_of(path.stem)), ("docstring", (ast.get_docstring(tree) or "").partition("\n")[0]), *public(tree)]
    return [f"{path.relative_to(ROOT)}: {name}: {word} -> {REPLACED[word]}" for name, text in found for word in replaced_words(text)]


def test_public_names_and_docstrings() -> None:
    problems = [problem for p in sorted((ROOT / "mlids").rglob("*.py")) for problem in in_module(p)]
    assert not problems, "\n".join(["", *problems])


def test_command_help() -> None:
    problems = []
    for path, command in cli_reference.commands(cli_reference.root(), "mlids"):
        texts = [(path, command.help or ""), *((f"{path} {p.name}", f"{words_of(p.name)} {p.help or ''}") for p in command.params)]
        problems += [f"{name}: {word} -> {REPLACED[word]}" for name, text in texts for word in replaced_words(text)]
    assert not problems, "\n".join(["", *problems])


def test_documents() -> None:
    problems = []
    for path in DOCUMENTS:
        for line in re.sub(r"`[^`\n]+`", "", path.read_text()).splitlines():  # names in code spans may be a file format's
            problems += [f"{path.relative_to(ROOT)}: {word} -> {REPLACED[word]}: {line.strip()[:80]}" for word in replaced_words(line)]
    assert not problems, "\n".join(["", *problems])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The Cut of the site", ["cut"]),
        ("the line was cut off", []),
        (words_of("heldBack_conns"), ["held back"]),
        ("a made-up site", ["made-up"]),
        ("execute, shortcut, uncut, figurative", []),
        (words_of("attacks_planted"), []),
    ],
)
def test_words_are_found_whole(text: str, found: list[str]) -> None:
    assert replaced_words(text) == found


def test_glossary_has_its_terms() -> None:
    terms = {t for cells in _cells(TERMS) for t in cells[0].split(", ")}
    assert len(REPLACED) >= 30
    assert {"threshold", "suppress", "metrics", "synthetic", "evidence", "dead letter", "noisy-OR", "idle", "storm", "gap ledger"} <= terms
