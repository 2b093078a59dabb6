"""CSV for log shippers and spreadsheets: `alerts-YYYY-MM-DD.csv` below `MLIDS_HOME/alerts`, with the columns of ids-iforest and the alert's id."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mlids.alerts.sinks.base import Document, Refused
from mlids.alerts.sinks.day_files import DayFiles
from mlids.cases.severity import LEVELS
from mlids.files import PRIVATE
from mlids.settings import Settings
from mlids.text import no_formula

COLUMNS = ("timestamp", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "score", "level", "id")


def open_sink(settings: Settings) -> CsvSink:
    """Return the sink that the settings describe."""
    return CsvSink(settings.home / "alerts", int(settings.jsonl_mode, 8), red=(settings.severity or LEVELS)[-1])


class CsvSink(DayFiles):
    """One row an alert; cases have no row. `level` is `red` from the score of a critical case on, else `yellow`."""

    name = "csv"
    suffix = ".csv"
    header = ",".join(COLUMNS)

    def __init__(self, folder: Path, mode: int = PRIVATE, red: float = LEVELS[-1]) -> None:
        super().__init__(folder, mode)
        self._red = red

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Append the alerts that are not in their day's file. Raises StoreError when the disk refuses."""
        return super().write([d for d in documents if d["mlids"]["kind"] != "case"])

    def line(self, document: Document) -> str:
        """Return the row; a cell can neither end it nor be run by a spreadsheet."""
        level = "red" if document["score"] >= self._red else "yellow"
        cells = (
            document["ts"], document["src"], document["dst"], document["source"].get("port", ""), document["destination"].get("port", ""),
            document["network"]["transport"], document["score"], level, document["event"]["id"],
        )  # fmt: skip
        out = io.StringIO()
        csv.writer(out, lineterminator="").writerow([no_formula(c) if isinstance(c, str) else c for c in cells])
        return out.getvalue()

    def id_of(self, line: bytes) -> str | None:
        """Return the last cell, of a whole row."""
        cells = next(csv.reader([line.decode("utf-8", "replace").rstrip("\n")]), [])
        return cells[-1] if len(cells) == len(COLUMNS) and cells[-1] != COLUMNS[-1] else None
