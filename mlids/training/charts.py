"""Charts of a training as SVG: how it ranks the held-out rows, which classes it confuses, what it looks at, alerts a day.

The SVG has no script, loads nothing, and its letters are paths: names of classes, which may come from labels, are drawn and
never become markup.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlids.detectors.forest import BENIGN
from mlids.detectors.verdict import lowest_threshold
from mlids.features.spec import NAMES
from mlids.text import safe
from mlids.training.experiments import DETECTOR_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlids.training.train import Thresholds, Trained

_BENIGN, _ATTACK, _OTHER = "#3b6ea5", "#d1495b", "#5a5a5a"
_BINS = 10  # of the calibration
_FEATURES = 20  # that are shown
_LONGEST_NAME = 32
_MOST_CLASSES = 30
_STEPS = 200  # of a curve
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_STYLE = {
    "text.parse_math": False, "svg.fonttype": "path", "svg.hashsalt": "mlids", "axes.spines.top": False, "axes.spines.right": False,
    "font.family": ["DejaVu Sans"], "font.size": 9,
}  # fmt: skip


def charts(trained: Trained, found: Thresholds | None = None) -> dict[str, str]:
    """Return SVG texts by file name; those about held-out rows say so where there are none. `found` has the alerts a day."""
    held_out = trained.held_out
    both = held_out.verdicts is not None and bool(held_out.attack.any()) and not bool(held_out.attack.all())
    drawn: dict[str, tuple[str, Callable[[Axes, Trained], None], bool]] = {
        "pr-curve": ("Precision and recall on held-out rows, at 1 % attacks", _pr_curve, both),
        "scores": ("risk_score of held-out rows", _scores, held_out.verdicts is not None),
        "confusion": ("Held-out rows by class and verdict", _confusion, held_out.verdicts is not None),
        "calibration": ("attack_probability and share of attacks", _calibration, both),
        "importance": ("Features that the RandomForest uses most", _importance, True),
    }
    out = {f"{name}.svg": _svg(title, draw if there else _nothing, trained) for name, (title, draw, there) in drawn.items()}
    if found is not None:
        out["alerts-a-day.svg"] = _svg("Alerts a day by threshold", lambda axes, t: _alerts(axes, t, found), trained)
    return out


def _svg(title: str, draw: Callable[[Axes, Trained], None], trained: Trained) -> str:
    return svg(lambda axes: draw(axes, trained), title)


def svg(draw: Callable[[Axes], None], title: str = "", size: tuple[float, float] = (7.5, 5.0)) -> str:
    """Return the SVG of what `draw` draws, `size` in inches; the same axes give the same text. Letters are paths."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure: Figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(title)
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return _COMMENT.sub("", out.getvalue())  # each text is drawn, and said again in a comment


def _name(text: str) -> str:
    """Return a name in ASCII, which the font has."""
    return safe(text).encode("ascii", "backslashreplace").decode()[:_LONGEST_NAME]


def _nothing(axes: Axes, _: Trained) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "the held-out rows have no attacks, or no benign rows", ha="center", va="center")


def _pr_curve(axes: Axes, trained: Trained) -> None:
    attack = trained.held_out.attack
    for name, score in trained.held_out.scores().items():
        order = np.argsort(-score, kind="stable")
        last = np.append(np.diff(score[order]) != 0, True)  # rows of one score are taken together
        recall = np.cumsum(attack[order])[last] / attack.sum()
        fpr = np.cumsum(~attack[order])[last] / (~attack).sum()
        precision = 0.01 * recall / np.maximum(0.01 * recall + 0.99 * fpr, 1e-12)
        shown = np.unique(np.linspace(0, len(recall) - 1, 2 * _STEPS).astype(int))
        axes.step(recall[shown], precision[shown], where="post", label=DETECTOR_NAMES[name])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.legend(loc="lower left")  # a place that is looked for takes long with many points


def _scores(axes: Axes, trained: Trained) -> None:
    risk, attack = trained.held_out.scores()["hybrid"], trained.held_out.attack
    bins = np.linspace(0, 100, 51)
    for label, rows, colour in (("benign", ~attack, _BENIGN), ("attack", attack, _ATTACK)):
        if rows.any():
            axes.hist(
                risk[rows], bins=bins.tolist(), weights=np.full(int(rows.sum()), 1 / rows.sum()), color=colour, alpha=0.6, label=label
            )
    axes.axvline(trained.spec.threshold, color=_OTHER, linestyle="--", label="lowest threshold")
    axes.set(xlabel="risk_score", ylabel="share of rows", yscale="log")
    axes.legend(loc="upper right")


def _confusion(axes: Axes, trained: Trained) -> None:
    rows, columns, share = confusion(trained)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), [_name(c) for c in columns], rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), [_name(r) for r in rows])
    axes.tick_params(labelsize=7)
    for i, j in zip(*np.nonzero(share >= 0.005), strict=True):
        axes.text(j, i, f"{share[i, j]:.2f}", ha="center", va="center", fontsize=6, color="white" if share[i, j] > 0.5 else "black")
    axes.set(xlabel="no alert, or the RandomForest's class of an alert", ylabel="label")


def confusion(trained: Trained) -> tuple[list[str], list[str], np.ndarray]:
    """Return labels, verdicts, and float[labels, verdicts]: the share of a label's held-out rows with that verdict.

    The first verdict is `no alert`; an alert has the attack class that the RandomForest thinks likeliest. At most 30
    labels are given, the most frequent ones.
    """
    held_out = trained.held_out
    found = held_out.verdicts.scores.attack_class if held_out.verdicts is not None else None
    columns = ["no alert", *trained.spec.attack_classes] if found is not None else ["no alert", "alert"]
    at = np.where(held_out.alert(trained.spec), 1 + (found if found is not None else np.zeros(len(held_out.label), int)), 0)
    names, counts = np.unique(held_out.label.astype(str), return_counts=True)
    chosen = sorted(names[np.argsort(-counts, kind="stable")[:_MOST_CLASSES]].tolist(), key=lambda n: (n != BENIGN, n))
    share = np.array([np.bincount(at[held_out.label == name], minlength=len(columns)) for name in chosen], float)
    return chosen, columns, share / share.sum(axis=1, keepdims=True)


def _calibration(axes: Axes, trained: Trained) -> None:
    score, attack = trained.held_out.scores().get("forest"), trained.held_out.attack
    axes.plot([0, 1], [0, 1], color=_OTHER, linestyle=":")
    if score is not None:
        place = np.minimum((score * _BINS).astype(int), _BINS - 1)
        rows = np.bincount(place, minlength=_BINS)
        there = rows > 0
        mean, share = (np.bincount(place, v, _BINS)[there] / rows[there] for v in (score, attack))
        axes.plot(mean, share, marker="o", color=_ATTACK)
        for x, y, n in zip(mean, share, rows[there], strict=True):
            axes.annotate(f"{n:,}", (x, y), textcoords="offset points", xytext=(4, -10), fontsize=7)
    axes.set(xlabel="mean attack_probability (number of rows beside each point)", ylabel="share of attacks", xlim=(0, 1), ylim=(0, 1.02))


def _importance(axes: Axes, trained: Trained) -> None:
    share = np.asarray(trained.forest.feature_importances_)
    top = np.argsort(-share, kind="stable")[:_FEATURES][::-1]
    axes.barh([NAMES[trained.spec.forest_columns[i]] for i in top], share[top], color=_BENIGN)
    axes.set(xlabel="mean decrease in impurity, as a share of all")


def _alerts(axes: Axes, trained: Trained, found: Thresholds) -> None:
    low = lowest_threshold(trained.spec, None)
    steps = np.linspace(min([low, *(float(r[0]) for r in found.sent.values() if len(r))]), 100, _STEPS)
    by_way = alerts_a_day(found.sent, found.days, steps)
    axes.step(steps, np.sum(list(by_way.values()), axis=0), where="post", color=_OTHER, label="all")
    for way, a_day in by_way.items():
        (line,) = axes.step(steps, a_day, where="post", label=way)
        axes.axvline(found.by_way[way], color=line.get_color(), linestyle="--")
    if trained.spec.budget_per_day is not None:
        axes.axhline(trained.spec.budget_per_day, color=_OTHER, linestyle=":", label="budget")
    axes.set(xlabel="threshold (risk_score); dashed: those of this model", ylabel="alerts a day on the latest days")
    axes.legend(loc="upper right")


def alerts_a_day(sent: Mapping[str, np.ndarray], days: float, steps: np.ndarray) -> dict[str, np.ndarray]:
    """Return float[steps] by way: the alerts a day at each threshold. `sent` is sorted upwards."""
    return {way: (len(risks) - np.searchsorted(risks, steps, side="left")) / max(days, 1e-9) for way, risks in sent.items()}
