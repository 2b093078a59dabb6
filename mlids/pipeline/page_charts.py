"""Charts of the pages: a week's alerts by day and severity, and hosts by hour. Inline SVG in the colours of the page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from mlids.text import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEVERITY_NAMES = ("low", "medium", "high", "critical")
# Colours that matplotlib draws, and the variables of the page's style that take their place.
_INK, _LINE, _BUDGET = "#010101", "#010102", "#010103"
_LEVELS = ("#010104", "#010105", "#010106", "#010107")
_VARIABLES = {_INK: "soft", _LINE: "line", _BUDGET: "accent"} | {c: f"chart-{n}" for c, n in zip(_LEVELS, SEVERITY_NAMES, strict=True)}
_PROLOG = re.compile(r"\A.*?(?=<svg )|<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL)
_PLACE = re.compile(r'<g id="[a-zA-Z_]+_?\d*">')
_SIZE = re.compile(r'(<svg [^>]*?) width="[\d.]+pt" height="[\d.]+pt"')
_LINK = re.compile(r'<a xlink:href="([^"]*)"[^>]*>')
HOURS = 168
_LONGEST_NAME = 39  # characters, as of an IPv6 address


def timeline(days: Sequence[Mapping[str, Any]], budget: float) -> str:
    """Return the alerts of each day, stacked by severity, with the budget as a line. A day has `day` (ISO 8601) and a count for each severity."""
    return _timeline(tuple((d["day"], *(d[name] for name in SEVERITY_NAMES)) for d in days), budget)


def heat_map(hosts: Sequence[str], cells: Sequence[tuple[str, str, int, float, int]], start: datetime, base: str) -> str:
    """Return which host had alerts in which hour of the week from `start`; the names of hosts are links, which begin with `base`.

    A cell is (host, hour as `2026-11-20T12`, alerts, highest risk_score, rank of its severity).
    """
    return _heat_map(tuple(hosts), tuple(cells), start, base)


@lru_cache(maxsize=16)
def _timeline(days: tuple[tuple[Any, ...], ...], budget: float) -> str:
    from mlids.training.charts import svg

    def draw(axes: Axes) -> None:
        bottom = [0] * len(days)
        for n, name in enumerate(SEVERITY_NAMES, 1):
            axes.bar(range(len(days)), [d[n] for d in days], 0.62, bottom=bottom, color=_LEVELS[n - 1], label=name)
            bottom = [b + d[n] for b, d in zip(bottom, days, strict=True)]
        for n, total in enumerate(bottom):
            axes.annotate(f"{total:,}", (n, total), textcoords="offset points", xytext=(0, 3), ha="center", color=_INK)
        axes.axhline(budget, color=_BUDGET, linestyle="--", linewidth=1.4, label=f"budget, {budget:g} a day")
        axes.set_xticks(range(len(days)), [f"{datetime.fromisoformat(d[0]):%a %d %b}" for d in days])
        axes.set_ylim(0, max(*bottom, budget, 1) * 1.18)
        axes.margins(x=0.02)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=5, frameon=False, labelcolor=_INK)
        _style(axes)

    return inline(svg(draw, size=(9.0, 2.7)))


@lru_cache(maxsize=16)
def _heat_map(hosts: tuple[str, ...], cells: tuple[tuple[str, str, int, float, int], ...], start: datetime, base: str) -> str:
    from matplotlib.collections import PolyCollection

    from mlids.training.charts import svg

    def draw(axes: Axes) -> None:
        row = {host: n for n, host in enumerate(hosts)}
        shapes, colours = [], []
        for host, hour, _, _, rank in cells:
            x, y = (datetime.fromisoformat(f"{hour}:00:00+00:00") - start) / timedelta(hours=1), row[host]
            shapes.append([(x, y - 0.42), (x + 1, y - 0.42), (x + 1, y + 0.42), (x, y + 0.42)])
            colours.append(_LEVELS[rank])
        axes.add_collection(PolyCollection(shapes, facecolors=colours, edgecolors="none"))
        axes.set_xlim(0, HOURS)
        axes.set_ylim(max(len(hosts), 1) - 0.4, -0.6)
        for label, host in zip(axes.set_yticks(range(len(hosts)), [_name(h) for h in hosts]), hosts, strict=True):
            label.label1.set_url(f"{base}alerts?{urlencode({'src': host, 'since': '7d'})}")
        axes.set_xticks(range(0, HOURS, 24), [f"{start + timedelta(hours=h):%a %d %b}" for h in range(0, HOURS, 24)], ha="left")
        axes.set_xticks(range(0, HOURS, 6), minor=True)
        axes.grid(axis="x", color=_LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        _style(axes)

    return inline(svg(draw, size=(9.0, 0.62 + 0.21 * max(len(hosts), 1))))


def _name(host: str) -> str:
    """Return a host in ASCII, which the font has."""
    return safe(host).encode("ascii", "backslashreplace").decode()[:_LONGEST_NAME]


def _style(axes: Axes) -> None:
    axes.tick_params(which="both", colors=_INK, labelcolor=_INK, length=0)
    axes.patch.set_visible(False)
    axes.figure.patch.set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_LINE)


def inline(drawn: str) -> str:
    """Return SVG to be a part of a page: without prolog, styles and names that could clash, in the page's colours."""
    out = _SIZE.sub(r"\1", _PLACE.sub("<g>", _PROLOG.sub("", drawn)), count=1)
    for colour, variable in _VARIABLES.items():
        out = out.replace(colour, f"var(--{variable})")
    return _LINK.sub(r'<a href="\1" aria-label="alerts of this host">', out)
