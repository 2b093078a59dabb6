"""The three charts of the weekly report, as SVG inside the page: drawn like the charts of a training, and legible without colours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from mlids.cases.severity import Severity
from mlids.text import safe
from mlids.training.charts import svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From light to dark, each with a pattern of its own: they are told apart in grey and by who sees no red.
_LOOK: dict[Severity, tuple[str, str]] = {
    Severity.LOW: ("#d9dee3", ""),
    Severity.MEDIUM: ("#f2c14e", "...."),
    Severity.HIGH: ("#d9631e", "////"),
    Severity.CRITICAL: ("#5c0f14", ""),
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_NOW, _BEFORE, _EDGE = "#1f4e79", "#ffffff", "#1d2733"
_WIDE, _HALF = (7.1, 1.15), (3.5, 1.45)  # inches on A4
_OPENING = re.compile(r"<svg\b[^>]*?viewBox=\"([^\"]*)\"[^>]*>")
# What a page does not need: facts about the file, and the one rule that is for all elements, which are given it by inheritance.
_DROPPED = re.compile(r"<metadata>.*?</metadata>|<style\b.*?</style>", re.DOTALL)
_STYLE = re.compile(r"style=\"([^\"]*)\"")  # as attributes: the page's renderer takes the properties of SVG for unknown ones of CSS
_IDS = re.compile(r"(\bid=\"|href=\"#|url\(#)")


def alerts_a_day(days: Mapping[str, Mapping[Severity, int]]) -> str:
    """Return the chart of alerts by severity for each day, in the order of `days`."""

    def draw(axes: Axes) -> None:
        places, height = range(len(days)), [0] * len(days)
        for severity, (colour, hatch) in _LOOK.items():
            counts = [day[severity] for day in days.values()]
            axes.bar(places, counts, 0.66, bottom=height, color=colour, hatch=hatch, edgecolor=_EDGE, linewidth=0.5, label=str(severity))
            height = [h + c for h, c in zip(height, counts, strict=True)]
        for place, total in zip(places, height, strict=True):
            axes.annotate(f"{total:,}", (place, total), textcoords="offset points", xytext=(0, 2), ha="center", fontsize=7)
        axes.set_xticks(list(places), [_weekday(day) for day in days])
        _plain(axes, max([1, *height]))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False, reverse=True)

    said = "; ".join(f"{day} {sum(n.values()):,}" + _of_severity(n) for day, n in days.items())
    return _inline("day", svg(draw, size=_WIDE), f"Alerts a day by severity: {said or 'no days'}.")


def hosts_by_risk(hosts: Sequence[Mapping[str, Any]]) -> str:
    """Return the chart of the hosts with cases by the highest score of a case, 0 to 100, the riskiest at the top."""

    def draw(axes: Axes) -> None:
        shown = list(reversed(hosts))
        for place, host in enumerate(shown):
            colour, hatch = _LOOK[Severity(host["severity"])]
            axes.barh(place, host["score"], 0.66, color=colour, hatch=hatch, edgecolor=_EDGE, linewidth=0.5)
            axes.annotate(
                f"{host['score']:.0f} {host['severity']}",
                (host["score"], place),
                textcoords="offset points",
                xytext=(3, 0),
                va="center",
                fontsize=7,
            )
        axes.set_yticks(range(len(shown)), [_ascii(h["host"]) for h in shown], fontsize=6 if any(len(h["host"]) > 20 for h in shown) else 7)
        axes.set(xlim=(0, 138), xticks=(0, 50, 100), ylim=(min(len(shown) - 5, 0) - 0.5, len(shown) - 0.5))
        axes.tick_params(axis="x", labelsize=7)
        if not shown:
            _nothing(axes, "no host had a case")

    said = "; ".join(f"{safe(h['host'])[:64]} {h['score']:.0f} ({h['severity']})" for h in hosts)
    return _inline("hosts", svg(draw, size=_HALF), f"Hosts by risk: {said or 'no host had a case'}.")


def against_last_week(changes: Sequence[Mapping[str, Any]]) -> str:
    """Return the chart of this week's counts beside those of the week before (`what`, `now`, `before`: None when it was not read).

    Each pair has a scale of its own: its larger number is the longest bar.
    """

    def draw(axes: Axes) -> None:
        for place, row in enumerate(reversed(changes)):
            longest = max(row["now"], row["before"] or 0, 1)
            for offset, value, colour, hatch in ((0.18, row["now"], _NOW, ""), (-0.18, row["before"], _BEFORE, "////")):
                axes.barh(place + offset, (value or 0) / longest, 0.32, color=colour, hatch=hatch, edgecolor=_EDGE, linewidth=0.5)
                axes.annotate(
                    "not read" if value is None else f"{value:,}",
                    ((value or 0) / longest, place + offset),
                    textcoords="offset points",
                    xytext=(3, 0),
                    va="center",
                    fontsize=7,
                )
        axes.set_yticks(range(len(changes)), [c["short"] for c in reversed(changes)], fontsize=7)
        axes.set(xlim=(0, 1.3), xticks=())
        from matplotlib.patches import Patch

        handles = [
            Patch(facecolor=c, hatch=h, edgecolor=_EDGE, label=t)
            for t, c, h in (("this week", _NOW, ""), ("the week before", _BEFORE, "////"))
        ]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.02), ncols=2, fontsize=7, frameon=False)

    said = "; ".join(f"{c['what']} {c['now']:,}, before {'not read' if c['before'] is None else format(c['before'], ',')}" for c in changes)
    return _inline("weeks", svg(draw, size=_HALF), f"This week and the week before: {said}.")


def _plain(axes: Axes, highest: int) -> None:
    axes.set_ylim(0, 1.18 * highest)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="y", integer=True, nbins=4)


def _nothing(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def _of_severity(counts: Mapping[Severity, int]) -> str:
    parts = [f"{n:,} {severity}" for severity, n in counts.items() if n]
    return f" ({', '.join(parts)})" if parts else ""


def _weekday(day: str) -> str:
    when = date.fromisoformat(day)
    return f"{_WEEKDAYS[when.weekday()]} {when.day}"


def _ascii(text: str) -> str:
    """Return a text in ASCII, which the font has; the longest address has 39 characters."""
    return safe(text).encode("ascii", "backslashreplace").decode()[:40]


def _inline(name: str, drawn: str, said: str) -> str:
    """Return a chart for a page: its numbers as its title, ids that no other chart has, as wide as the page gives it."""
    opening = _OPENING.search(drawn)
    assert opening is not None
    body = _IDS.sub(lambda m: f"{m[1]}{name}-", _DROPPED.sub("", drawn[opening.end() :]))
    body = _STYLE.sub(
        lambda m: " ".join(f'{n.strip()}="{v.strip()}"' for n, _, v in (p.partition(":") for p in m[1].split(";") if p.strip())), body
    )
    head = f'<svg class="chart {name}" viewBox="{opening[1]}" role="img" stroke-linejoin="round" stroke-linecap="butt" xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return f"{head}<title>{escape(said)}</title>{body.strip()}"
