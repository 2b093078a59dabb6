"""The header of a Zeek table: `#separator`, `#fields`, `#types` and the other directives, or a bare line of column names."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from mlids.errors import NotAZeekLogError
from mlids.zeek.types import SHARED, Column, canonical_name

_NAME = re.compile(r"[A-Za-z_][\w.\-]*\Z")
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
# Labelled IoT-23 logs hold three names in the last header cell, and three values in the last data cell.
_MERGED = re.compile(r" {2,}")
# Zeek's widest log, with packages that add fields, has fewer than 200.
MAX_COLUMNS = 1_024


@dataclass(frozen=True)
class Header:
    """How the rows below a header are read: separators, markers and columns, with Zeek's defaults."""

    separator: str = "\t"
    set_separator: str = ","
    empty_field: str = "(empty)"
    unset_field: str = "-"
    path: str | None = None
    opened: str | None = None
    columns: tuple[Column, ...] = ()
    merged: int = 1  # how many columns share the last cell (IoT-23: 3)
    quoted: bool = False  # a comma CSV, where cells may be quoted


def decode_escapes(text: str) -> str:
    r"""Return the text with `\x09`-style escapes decoded; bytes that are not UTF-8 stay escaped."""

    def decode(match: re.Match[str]) -> str:
        raw = bytes.fromhex(match[0].replace("\\x", ""))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return match[0]

    return _ESCAPED.sub(decode, text)


def apply_directive(header: Header, line: str, where: str) -> Header:
    """Return the header after one `#…` line.

    A `#fields` line starts a new table, so its columns replace the old ones; `#types` completes it.
    Raises NotAZeekLogError when `#types` and `#fields` name different numbers of columns, or more than MAX_COLUMNS.
    """
    word = re.match(r"#([a-z_]+)", line)
    assert word is not None
    key = word[1]
    rest = line[word.end() :]
    if key == "separator":
        value = decode_escapes(rest.strip(" \t"))
        return Header(separator=value or "\t")
    if rest.startswith(header.separator):
        rest = rest[len(header.separator) :]
    else:
        rest = rest.lstrip(" \t")
    match key:
        case "set_separator":
            return replace(header, set_separator=decode_escapes(rest) or ",")
        case "empty_field":
            return replace(header, empty_field=rest)
        case "unset_field":
            return replace(header, unset_field=rest)
        case "path":
            return replace(header, path=rest.strip())
        case "open":
            return replace(header, opened=rest.strip())
        case "fields":
            return _with_fields(header, rest, where)
        case "types":
            return _with_types(header, rest, where)
    return header


def _with_fields(header: Header, rest: str, where: str) -> Header:
    cells = rest.split(header.separator)
    _check_columns(len(cells), where)
    last = _MERGED.split(cells[-1].strip())
    names = [canonical_name(n.strip()) for n in (*cells[:-1], *last)]
    columns = tuple(Column(n, SHARED.get(n, "string")) for n in _unique(names))
    return replace(header, columns=columns, merged=len(last))


def _check_columns(columns: int, where: str) -> None:
    if columns > MAX_COLUMNS:
        raise NotAZeekLogError(f"{where}: the header names {columns:,} columns; at most {MAX_COLUMNS:,} are read; is the file damaged?")


def _with_types(header: Header, rest: str, where: str) -> Header:
    cells = rest.split(header.separator)
    types = [t.strip() for t in (*cells[:-1], *_MERGED.split(cells[-1].strip()))]
    if len(types) != len(header.columns):
        raise NotAZeekLogError(f"{where}: #types names {len(types)} columns, #fields {len(header.columns)}; is the file damaged?")
    return replace(header, columns=tuple(Column(c.name, t) for c, t in zip(header.columns, types, strict=True)))


def _unique(names: list[str]) -> list[str]:
    """Return the names with a suffix on repeated ones, so that no column is lost."""
    seen: dict[str, int] = {}
    out: dict[str, None] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}_{seen[name]}"
        while unique in out:  # `a a a_2`
            unique += "_"
        out[unique] = None
    return list(out)


def header_of_names(line: str, where: str = "") -> Header | None:
    """Return the header for a first line of column names, as in `zeek-cut -m` output and CSV re-exports.

    None when the line is not one: every cell must be a valid name, and at least one must be a column
    of conn.log or one that several Zeek logs share. Raises NotAZeekLogError for more than MAX_COLUMNS.
    """
    for separator in ("\t", "|", ",", ";"):
        cells = [c.strip().strip('"') for c in line.split(separator)]
        if separator != "\t" and len(cells) < 3:
            continue
        if all(_NAME.match(c) for c in cells) and any(canonical_name(c) in SHARED for c in cells):
            _check_columns(len(cells), where)
            names = _unique([canonical_name(c) for c in cells])
            columns = tuple(Column(n, SHARED.get(n, "string")) for n in names)
            return Header(separator=separator, columns=columns, quoted=separator in ",;")
    return None
