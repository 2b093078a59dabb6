"""Reads any Zeek log into batches of typed rows: TSV, JSON lines or CSV re-exports; plain, gzip or zstd.

Nothing is dropped silently: rows that do not parse become rejects with line and reason, and a damaged source is
reported with the position of the fault. Memory is bounded by the block size, not by the file's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from mlids.errors import InputError, NotAZeekLogError, SourceError
from mlids.zeek.bytestream import MAX_LINE_BYTES, Block, ByteStream, Problem, blocks, count_lines, without_long_lines
from mlids.zeek.header import MAX_COLUMNS, Header, apply_directive, header_of_names
from mlids.zeek.jsonl import JsonParser
from mlids.zeek.lines import content_lines, directives, is_directive
from mlids.zeek.log_types import NOT_LOGS, is_log_type, log_type_of, log_type_of_columns
from mlids.zeek.prefetch import prefetch
from mlids.zeek.trial import Trials
from mlids.zeek.tsv import Parsed, Reject, parse_table, reject
from mlids.zeek.types import Column

BLOCK_BYTES = 32 << 20
# What one file may hold. The first is a year of hourly logs joined to one file; each table costs a millisecond.
MAX_TABLES = 10_000
MAX_DIRECTIVES = 10 * MAX_TABLES
MAX_FIELDS = 2 * MAX_COLUMNS
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # from an editor


@dataclass(frozen=True)
class Batch:
    """Some rows of one log, in the log's own order; `frame.line` is the line in the file."""

    log: str  # Zeek's #path: conn, dns, …
    frame: pl.DataFrame
    source: str
    opened: str | None = None

    def is_type(self, log: str) -> bool:
        """Return whether the rows are of a log type, also under its other names (`open_conn`, `conn-inc`)."""
        return is_log_type(self.log, log)


@dataclass
class ReadReport:
    """Counts of one source: rows read, rows rejected, problems. Updated as batches are consumed."""

    source: str
    rows: int = 0
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list)  # not yet taken by `take_rejects`
    problems: list[Problem] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)  # Zeek fields seen, in order of first appearance
    log: str | None = None

    def take_rejects(self) -> list[Reject]:
        """Return the rejects since the last call and clear them: memory stays bounded."""
        taken, self.rejects = self.rejects, []
        return taken


class LogReader:
    """Reads one log and counts what was read and rejected in `report`.

    `log` is the log type of rows for which header, `_path` and file name give none. With `trials` every block is first
    read in another process, and the lines that end it are rejected.
    """

    def __init__(
        self,
        source: Path | BinaryIO,
        name: str | None = None,
        *,
        log: str | None = None,
        block_bytes: int = BLOCK_BYTES,
        trials: Trials | None = None,
    ) -> None:
        self._name = name or str(source)
        self._stream = ByteStream(source, self._name)
        self._guess = log_type_of(self._name)
        self._default, self._trials, self._fatal = log, trials, 0
        self._block_bytes = block_bytes
        self._header = Header()
        self._json: JsonParser | None = None
        self._seen_header = False
        self._line = 1
        self._skimmed = b""
        self._tables = self._directives = 0
        self._fields: set[str] = set()
        self.report = ReadReport(self._name)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches in file order.

        Raises NotAZeekLogError when the file is not a Zeek log, SourceError when it cannot be opened.
        """
        try:
            for block in prefetch(blocks(iter(self._stream), self._block_bytes)):
                yield from self._block(block) if self._trials is None else self._tried(block, self._trials)
        except OSError as error:
            raise SourceError(f"{self._name}: cannot be read: {error.strerror or error}") from error
        if self._fatal:
            what = f"{self._fatal:,} lines were put aside: they ended the reader when they were tried; see the quarantine"
            self.report.problems.append(Problem(self._name, what))
        if self._stream.problem is not None:
            self.report.problems.append(self._stream.problem)

    def feed(self, data: bytes) -> Iterator[Batch]:
        """Yield the batches in `data`, the next whole lines of a log that is being followed."""
        lines = count_lines(data)
        for block in without_long_lines(Block(data, self._line, lines)):
            yield from self._block(block)
        self._line += lines

    def skim(self, data: bytes) -> None:
        """Read the header lines in `data`, the next bytes of the log, and skip its rows."""
        self._skimmed += data
        end = self._skimmed.rfind(b"\n") + 1
        whole, self._skimmed = self._skimmed[:end], self._skimmed[end:]
        if len(self._skimmed) > MAX_LINE_BYTES:
            self._skimmed = b" "  # a line that is too long is no header
        if not whole:
            return
        if not self._seen_header and self._json is None:
            whole, skipped = self._sniff(whole, self._line)
            self._line += skipped
        for at, end in directives(whole):
            self._directive(whole[at:end], self._line + count_lines(whole, 0, at))
        self._line += count_lines(whole)

    def form(self) -> dict[str, Any]:
        """Return the format of the rows at this position as plain values; empty before the first line with content.

        Within a header it is what was read of it, without columns: the rest may be written later.
        """
        if self._json is not None:
            return {"json": True}
        return asdict(self._header) if self._seen_header else {}

    def restore_form(self, form: dict[str, Any]) -> None:
        """Read rows in the format that `form` of an earlier reader returned, without reading the header again."""
        if form.get("json"):
            self._json = JsonParser()
            return
        self._header = Header(**form | {"columns": tuple(Column(**c) for c in form["columns"])})
        self._seen_header = True

    def _tried(self, block: Block, trials: Trials) -> Iterator[Batch]:
        """Yield the batches of a block whose lines may end the process that parses them."""
        line = block.first_line
        for chunk in trials.sieve(block.data, self.form()) if block.data else ():
            if chunk.reason is None:
                yield from self._block(Block(chunk.data, line, chunk.lines, chunk.data.endswith(b"\n")))
            else:
                self._fatal += chunk.lines
                raw = [text.decode("utf-8", errors="replace") for text in chunk.data.splitlines()]
                self._reject([reject(line + n, chunk.reason, text) for n, text in enumerate(raw)])
            line += chunk.lines
        if block.too_long:
            yield from self._block(block)

    def _block(self, block: Block) -> Iterator[Batch]:
        if block.too_long:
            self._reject([reject(block.first_line, f"a line of {block.too_long:,} bytes; at most 1 MiB is read", "")])
            return
        data = block.data
        if not self._seen_header and self._json is None:
            data, skipped = self._sniff(data, block.first_line)
            if not data:
                return
            block = Block(data, block.first_line + skipped, block.lines - skipped, block.complete)
        if self._json is not None:
            for parsed in self._json.parse(data, block.first_line, block.lines):
                yield from self._batch(parsed)
            return
        start, line = 0, block.first_line
        for at, end in directives(data):
            yield from self._table(data[start:at], line, count_lines(data, start, at))
            line += count_lines(data, start, end)
            self._directive(data[at:end], line - 1)
            start = end
        yield from self._table(data[start:] if start else data, line, block.first_line + block.lines - line)

    def _sniff(self, data: bytes, first_line: int) -> tuple[bytes, int]:
        """Detect the format from the first line with content; return the data from there and how many lines were skipped."""
        start = len(_BYTE_ORDER_MARK) if first_line == 1 and data.startswith(_BYTE_ORDER_MARK) else 0
        for number, begin, end in content_lines(data, start, comments=True):
            text = data[begin:end].strip()
            if text.startswith(b"#"):
                if not is_directive(text):
                    continue
                # Some copies open with a tab before `#separator`.
                self._seen_header = True
                return data[data.index(b"#", begin) :], number
            if text.startswith(b"{"):
                self._json = JsonParser()
                return data[begin:], number
            where = f"{self._name} line {first_line + number}"
            header = header_of_names(text.decode("utf-8", errors="replace"), where)
            if header is None:
                raise NotAZeekLogError(
                    f"{where}: not a Zeek log: expected a #separator header, a JSON object "
                    f"or a line of Zeek column names, found {text[:60].decode('utf-8', errors='replace')!r}"
                )
            self._header, self._seen_header = header, True
            return data[end + 1 :], number + 1
        return b"", count_lines(data)

    def _directive(self, raw: bytes, line: int) -> None:
        self._directives += 1
        where = f"{self._name} line {line}"
        if self._directives > MAX_DIRECTIVES:
            raise NotAZeekLogError(f"{where}: more than {MAX_DIRECTIVES:,} header lines; the rows before them were read; split the file")
        self._header = apply_directive(self._header, raw.decode("utf-8", errors="replace").rstrip("\r\n"), where)

    def _table(self, data: bytes, first_line: int, rows: int) -> Iterator[Batch]:
        if not data or data.isspace():
            return
        if not self._header.columns:
            raise NotAZeekLogError(
                f"{self._name} line {first_line}: rows without a #fields header; "
                "is the head of the file missing? (copy the header lines of a log of the same type above it)"
            )
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise NotAZeekLogError(
                f"{self._name} line {first_line}: more than {MAX_TABLES:,} tables; the rows before them were read; split the file"
            )
        yield from self._batch(parse_table(data, self._header, first_line, rows))

    def _batch(self, parsed: Parsed) -> Iterator[Batch]:
        self._reject(parsed.rejects)
        frame = parsed.frame
        self._note_fields(frame.columns)
        self.report.rows += frame.height
        if not frame.height:
            return
        if "_path" in frame.columns and frame["_path"].n_unique() > 1:
            parts = frame.partition_by("_path", maintain_order=True)
        else:
            parts = [frame]
        for part in parts:
            log = self._log_type(part)
            self.report.log = self.report.log or log
            yield Batch(log, part, self._name, self._header.opened)

    def _note_fields(self, names: list[str]) -> None:
        new = [name for name in names if name != "line" and name not in self._fields]
        self._fields.update(new)
        self.report.fields += new
        if len(self._fields) > MAX_FIELDS:
            raise NotAZeekLogError(
                f"{self._name}: its headers name more than {MAX_FIELDS:,} columns; the rows before were read; is it damaged?"
            )

    def _reject(self, rejects: list[Reject]) -> None:
        self.report.rejected += len(rejects)
        self.report.rejects += rejects

    def _log_type(self, frame: pl.DataFrame) -> str:
        if self._header.path:
            return self._header.path
        if "_path" in frame.columns and (path := frame["_path"][0]):
            return str(path)
        if self._guess:
            return self._guess
        return log_type_of_columns(frame.columns) or self._default or "unknown"


def find_logs(path: Path) -> list[Path]:
    """Return the log files under a folder (or the file itself), in archive order, without `conn-summary` and stats logs.

    Raises InputError when the path does not exist.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not path.is_dir():
        return [path]
    ending = re.compile(r"\.(log|json|jsonl|ndjson|labeled|labelled|csv)(\.gz|\.zst)?$")
    found = [p for p in path.rglob("*") if p.is_file() and ending.search(p.name) and not p.name.startswith(".")]
    return sorted(p for p in found if log_type_of(p.name) not in NOT_LOGS and "stats" not in p.parts[-2:-1])
