"""Names in MLflow: experiments, tags and metrics, the same wherever they are written and read."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlids.text import short

if TYPE_CHECKING:
    from mlids.training.snapshot import SnapshotInfo

# The detectors as tags and run names call them, by their key in metrics.
DETECTOR_NAMES = {"forest": "RandomForest", "isolation": "IsolationForest", "hybrid": "hybrid"}
TRAINING_TAGS = ("sensor", "week", "git_commit", "features_version", "snapshot_id", "detector")
# Everything was in one experiment once, and metrics had the detector's key as a prefix.
OLD_EXPERIMENT, OLD_PREFIX = "mlids", "hybrid_"
_MODEL_SUFFIX = "-conn"
_LONGEST_TAG = 500
_LONGEST_NAME = 100
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Experiments:
    """The experiments that belong to one registered model."""

    training: str
    drift: str
    evaluation: str

    def every(self) -> tuple[str, ...]:
        """Return the names of all experiments that may hold runs of the model, also of the one that older versions used."""
        return self.training, self.drift, self.evaluation, OLD_EXPERIMENT


def experiments_of(model_name: str) -> Experiments:
    """Return the experiments of a registered model: those of `mlids-conn` are `mlids-training`, `mlids-drift`, `mlids-evaluation`."""
    prefix = model_name.removesuffix(_MODEL_SUFFIX) or model_name
    return Experiments(*(f"{prefix}-{kind}" for kind in ("training", "drift", "evaluation")))


def week_of(day: str) -> str:
    """Return the ISO week of a day (ISO 8601) as `2026-W45`."""
    year, week, _ = date.fromisoformat(day).isocalendar()
    return f"{year}-W{week:02d}"


def span_tags(sensors: Sequence[str], last_day: str) -> dict[str, str]:
    """Return the tags of a run about days of sensors; the week is that of the last day (ISO 8601)."""
    return {"sensor": short(",".join(sensors), _LONGEST_TAG), "week": week_of(last_day)} | _commit_tag()


def evaluation_tags(features_version: int) -> dict[str, str]:
    """Return the tags of a cross-capture evaluation, which is about no sensor and no week."""
    return {"features_version": str(features_version)} | _commit_tag()


def training_tags(info: SnapshotInfo) -> dict[str, str]:
    """Return the tags of all runs of a training, and of its version, without `detector`."""
    return span_tags(info.sensors, info.days[-1]) | {"features_version": str(info.features_version), "snapshot_id": info.id}


def _commit_tag() -> dict[str, str]:
    commit = git_commit()
    return {"git_commit": commit} if commit else {}


def metric_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under names that MLflow takes, without those that are no number.

    Names of classes may come from labels: what is no ASCII letter, digit, `.` or `-` becomes `_`, and a second one of the
    same name gets a number.
    """
    out: dict[str, float] = {}
    for name, value in metrics.items():
        if value != value:
            continue
        head, slash, rest = name.partition("/")
        plain = (f"{_plain(head)}/{_plain(rest)}" if slash else _plain(head))[:_LONGEST_NAME]
        key, number = plain, 2
        while key in out:
            key, number = f"{plain}_{number}", number + 1
        out[key] = float(value)
    return out


# Names of `mlids evaluate`, whose threshold is the one that the site of a capture would get, and those of trainings.
_RENAMED = {"recall_site": "recall_at_threshold", "actual_fpr_site": "fpr_at_threshold"}


def evaluation_metrics(found: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return what `mlids evaluate` measured by detector: on pooled rows, and as a mean over captures under `macro/`."""
    out: dict[str, dict[str, float]] = {}
    for part, prefix in (("pooled", ""), ("macro", "macro/")):
        for detector, metrics in found[part].items():
            if isinstance(metrics, Mapping):
                numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
                out.setdefault(detector, {}).update({prefix + _RENAMED.get(k, k): float(v) for k, v in numbers.items()})
    return out


def _plain(text: str) -> str:
    """Return a text as one step of a path that is neither `.` nor `..`."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", text).strip(".") or "_"


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Return the commit of the source tree that this code runs from; None for an installed package, or without git."""
    if not (_SOURCE / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(_SOURCE), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
