"""Pictures of a dashboard from what a node answered to its panels. They show the numbers and the places of the panels, not Kibana's look."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from tests.support.lens import Panel

COLUMN, ROW, MARGIN = 25, 17, 6
NOTE = "Drawn from the aggregations of a real Elasticsearch node over a synthetic site; this is not a screenshot of Kibana."
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#999999", "#44546a", "#7f6000")
_SEVERITY = {"critical": "#b3001b", "high": "#d55e00", "medium": "#e69f00", "low": "#8fa3b0"}
Answer = Mapping[str, Any]


def picture(title: str, panels: Sequence[Panel], ask: Callable[[Panel], Answer]) -> str:
    """Return the SVG of a dashboard's charts."""
    height = max(p.grid["y"] + p.grid["h"] for p in panels) * ROW + 70
    width = 48 * COLUMN
    body = "".join(_framed(p, ask(p)) for p in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#222">'
        f'<rect width="100%" height="100%" fill="#f5f7fa"/>{_text(10, 24, title, size=17, weight="bold")}{_text(10, 43, NOTE)}'
        f'<g transform="translate(0 54)">{body}</g></svg>\n'
    )


def _framed(panel: Panel, answer: Answer) -> str:
    x, y, w, h = (panel.grid[n] for n in "xywh")
    width, height = w * COLUMN - MARGIN, h * ROW - MARGIN
    inner = "".join(_drawn(panel, answer, width - 20, height - 34))
    return (
        f'<g transform="translate({x * COLUMN + 3} {y * ROW + 3})"><rect width="{width}" height="{height}" rx="4" fill="#fff" stroke="#d3dae6"/>'
        f'{_text(10, 18, panel.title, weight="bold")}<g transform="translate(10 28)">{inner}</g></g>'
    )


def _drawn(panel: Panel, answer: Answer, width: float, height: float) -> Iterator[str]:
    buckets = [i for i, c in panel.columns.items() if c["isBucketed"]]
    metrics = [i for i, c in panel.columns.items() if not c["isBucketed"]]
    if not buckets:
        yield _text(
            width / 2, height / 2 + 14, _number(_value(panel, metrics[0], answer.get("aggregations", {}), answer)), size=30, anchor="middle"
        )
        return
    rows = list(_rows(panel, answer["aggregations"], buckets, metrics))
    if panel.kind == "lnsDatatable":
        yield from _table(panel, rows, buckets, metrics, height)
    elif len(buckets) == 2 or len(metrics) > 1 or panel.columns[buckets[0]]["operationType"] == "date_histogram":
        yield from _stacks(panel, rows, metrics, width, height)
    else:
        yield from _bars(rows, width, height)


def _rows(panel: Panel, aggregations: Answer, buckets: Sequence[str], metrics: Sequence[str]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yield the keys of each innermost bucket, and the values of its metrics."""
    found = aggregations[buckets[0]]["buckets"]
    for key, bucket in found.items() if isinstance(found, dict) else ((b["key"], b) for b in found):
        if len(buckets) > 1:
            for keys, values in _rows(panel, bucket, buckets[1:], metrics):
                yield [key, *keys], values
        else:
            yield [key], [_value(panel, m, bucket, bucket) for m in metrics]


def _value(panel: Panel, metric: str, aggregations: Answer, bucket: Answer) -> Any:
    column = panel.columns[metric]
    if column["operationType"] == "count":
        return bucket["doc_count"] if "doc_count" in bucket else bucket["hits"]["total"]["value"]
    value = aggregations[metric]["value"]
    return _time(value) if column["dataType"] == "date" and value else value


def _table(
    panel: Panel, rows: Sequence[tuple[list[Any], list[Any]]], buckets: Sequence[str], metrics: Sequence[str], height: float
) -> Iterator[str]:
    columns = [panel.columns[i]["label"] for i in (*buckets, *metrics)]
    cells = [[str(k) for k in keys] + [_number(v) for v in values] for keys, values in rows][: int(height // 16) - 1]
    at = 0.0
    for n, label in enumerate(columns):
        texts = [label, *(row[n] for row in cells)]
        yield _text(at, 12, label, colour="#69707d")
        for line, row in enumerate(cells):
            yield _text(at, 28 + line * 16, row[n])
        at += 7.2 * max(map(len, texts)) + 14


def _stacks(
    panel: Panel, rows: Sequence[tuple[list[Any], list[Any]]], metrics: Sequence[str], width: float, height: float
) -> Iterator[str]:
    if len(rows[0][0]) == 2:
        values = [(keys[0], str(keys[1]), found[0] or 0) for keys, found in rows]
    else:
        names = [panel.columns[m]["label"] for m in metrics]
        values = [(keys[0], name, v or 0) for keys, found in rows for name, v in zip(names, found, strict=True)]
    places = sorted({at for at, _, _ in values})
    step = 86_400_000 if "1d" in str(panel.columns[next(iter(panel.columns))]["params"].get("interval")) else 3_600_000
    names = list(dict.fromkeys(name for _, name, _ in values))
    totals = {at: sum(v for a, _, v in values if a == at) for at in places}
    top, base, wide = max(totals.values()) or 1, height - 34, width / ((places[-1] - places[0]) // step + 1)
    stacked = dict.fromkeys(places, 0.0)
    for at, name, v in values:
        tall = v / top * (base - 4)
        stacked[at] += tall
        yield f'<rect x="{(at - places[0]) / step * wide:.1f}" y="{base - stacked[at]:.1f}" width="{max(wide - 1, 1):.1f}" height="{tall:.1f}" fill="{_colour(name, names)}"/>'
    yield f'<path d="M0 {base}H{width}" stroke="#98a2b3"/>{_text(0, base + 13, _time(places[0]))}{_text(width, base + 13, _time(places[-1]), anchor="end")}'
    yield _text(width, -10, f"highest: {_number(top)}", anchor="end", colour="#69707d")
    at_x = 0.0
    for name in names if len(names) > 1 else []:
        yield f'<rect x="{at_x}" y="{base + 20}" width="9" height="9" fill="{_colour(name, names)}"/>{_text(at_x + 12, base + 29, name, size=10)}'
        at_x += 17 + 5.2 * len(name)


def _bars(rows: Sequence[tuple[list[Any], list[Any]]], width: float, height: float) -> Iterator[str]:
    top, step = max(v[0] for _, v in rows) or 1, height / len(rows)
    for n, (keys, values) in enumerate(rows):
        long = values[0] / top * (width - 200)
        yield _text(0, n * step + step / 2 + 4, str(keys[0]))
        yield f'<rect x="120" y="{n * step + 2:.1f}" width="{long:.1f}" height="{max(step - 4, 2):.1f}" fill="{COLOURS[0]}"/>'
        yield _text(126 + long, n * step + step / 2 + 4, _number(values[0]))


def _colour(name: str, names: Sequence[str]) -> str:
    return _SEVERITY.get(name) or COLOURS[names.index(name) % len(COLOURS)]


def _time(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1_000, UTC):%Y-%m-%d %H:%M}"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _text(x: float, y: float, text: str, *, size: int = 12, weight: str = "normal", anchor: str = "start", colour: str = "#222") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
