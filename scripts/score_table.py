"""Writes docs/images/score-table.svg: the output of `mlids score` for a day of a synthetic site with attacks."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 110
MLIDS = Path(sys.executable).with_name("mlids")

with tempfile.TemporaryDirectory() as folder:
    subprocess.run(
        [MLIDS, "synth", f"{folder}/logs", "--attacks", "5", "--seed", "12", "--first", "2026-11-04"], check=True, stdout=subprocess.DEVNULL
    )
    shown = subprocess.run(
        [MLIDS, "score", f"{folder}/logs/2026-11-04", "--top", "0", "--logs", "conn"], check=True, capture_output=True, text=True,
        env=os.environ | {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"},
    ).stdout  # fmt: skip
screen = Console(record=True, width=WIDTH, file=io.StringIO())
screen.print(Text.from_ansi(shown.rstrip()))
screen.save_svg(sys.argv[1], title="mlids score logs/2026-11-04 --top 0 --logs conn")
