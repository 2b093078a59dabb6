"""What logs and servers say is shown as text: no formula runs, no line is forged, no terminal or reader is steered."""

from __future__ import annotations

import csv
import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mlids.cli.output import Progress, fail, safe, show
from mlids.text import LineFormatter, no_formula
from tests.conftest import CONN_HEADER, conn_line
from tests.support import forked

FORMULA = pytest.mark.attack(
    row=16,
    attack="a cell of a log is a spreadsheet formula",
    held="whoever opens the file: `'` stands before it, and what is not printable is escaped",
)
STEERED = pytest.mark.attack(
    row=16,
    attack="a log, a file name or a server's answer holds line ends, terminal escapes, bidirectional or invisible characters",
    held="terminals, log collectors and readers: each record of the log is one line; the lines of a traceback begin with `  | `",
)
FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "＝1+1"]
# ESC, newline, CR, C1 control, right-to-left override, isolate, line separator, zero width, byte order mark, tag, lone surrogate
STEERING = ["\x1b[2J", "\n", "\r", "\x9b2J", "\u202e", "\u2066", "\u2028", "\u200b", "\ufeff", "\U000e0041", "\udc80", "\x7f", "\x00"]


@STEERED
@pytest.mark.parametrize("character", STEERING, ids=ascii)
def test_characters_that_steer_are_escaped(character: str, capsys: pytest.CaptureFixture[str], happened: Callable[[str], None]) -> None:
    assert safe(f"a{character}b").isprintable()
    show({f"na{character}me": f"va{character}lue", "list": [f"x{character}"]}, False)
    fail(f"server said {character}mlids: all is well", 1)
    progress = Progress()
    progress._shown = True
    progress(f"reading {character}")
    out = capsys.readouterr()
    assert out.out.count("\n") == 2 and out.err.count("\n") == 1
    assert (out.out + out.err).replace("\n", "").replace("\r", "", 1).isprintable()
    happened(f"output shows {len(STEERING)} kinds of such characters as escapes")


@STEERED
def test_ordinary_text_of_all_languages_stays() -> None:
    for text in ("Příliš žluťoučký kůň", "日本語", "עברית", "naïve – 10 µs", "a b"):
        assert safe(text) == text == no_formula(text)
    assert no_formula("-") == "-" and no_formula("C-1") == "C-1"


@FORMULA
@pytest.mark.parametrize("way", ["--format", "--out"])
def test_no_cell_of_a_csv_is_a_formula(tmp_path: Path, way: str, happened: Callable[[str], None]) -> None:
    names = [*FORMULAS, "=1\\x0a+2", "\\xe2\\x80\\xaegpj.exe", "\\x1b[31mred"]
    rows = "".join(conn_line(name, orig_bytes=str(100 + n), proto="tcp") for n, name in enumerate(names))
    (tmp_path / "conn.log").write_text(CONN_HEADER + rows + "".join(conn_line(f"C{n}") for n in range(30)))
    out = tmp_path / "out.csv"
    options = ["--fit", "--format", "csv", "--top", "100"] if way == "--format" else ["--out", str(out)]
    done = forked.run(["score", str(tmp_path / "conn.log"), *options], None)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode() if way == "--format" else out.read_text()
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert [c for c in cells if c.startswith(tuple("=+-@＝")) and not _is_number(c)] == []
    assert [c for c in cells if not c.isprintable()] == []
    assert any("calc" in c for c in cells)
    happened(f"{len(FORMULAS) + 1} formulas: none is one in `--format csv` and `--out x.csv`")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger that writes to a text as `mlids serve` does."""
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("hostile")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, out
    logger.removeHandler(handler)


@STEERED
@pytest.mark.parametrize("character", STEERING, ids=ascii)
def test_no_server_forges_a_line_of_the_log(
    log: tuple[logging.Logger, io.StringIO], character: str, happened: Callable[[str], None]
) -> None:
    logger, out = log
    forged = f"nothing{character}ERROR mlids forged"
    logger.warning("the server said: %s", forged)
    try:
        raise ValueError(forged)
    except ValueError:
        logger.exception("failed: %s", forged)
    lines = out.getvalue().split("\n")
    assert lines[-1] == "" and all(line.isprintable() for line in lines)
    assert [line for line in lines[:-1] if not line.startswith(("WARNING hostile", "ERROR hostile", "  | "))] == []
    happened("the log of `mlids serve` shows them as escapes, no line is forged")


@STEERED
def test_serve_logs_in_this_form(home: Path) -> None:
    """The warning of a real run names a sensor's host that holds a newline; it stays in one line."""
    home.mkdir()
    (home / "sensors.toml").write_text('[[sensor]]\nname = "hq"\nkind = "folder"\nlogs = "/nowhere\\n2026 ERROR forged"\n')
    done = forked.run(["serve", "--seconds", "10"], None)
    lines = done.stderr.decode().splitlines()
    assert lines and not [line for line in lines if line.startswith("2026 ERROR forged")], sys.stderr.write(done.stderr.decode())
