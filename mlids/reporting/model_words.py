"""The model, the gate and the metrics in words that need no knowledge of metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlids.reporting.facts import WeekFacts, count

HALF = 0.5
# How the gate's reasons begin, or what they contain, and the same for a reader who does not know PR-AUC.
_REASONS = (
    (re.compile(r"could not be judged"), "there was nothing to judge it by"),
    (re.compile(r"below the minimum"), "it tells attacks from ordinary connections too poorly"),
    (re.compile(r"would fall from"), "it would tell attacks from ordinary connections worse than {other} does"),
    (re.compile(r"its threshold loses (\d+) of (\d+)"), "it would miss {0} of the {1} implanted attacks that {other} finds"),
    (re.compile(r"finds (\d+)% of the held-out attack rows, \S+(?: reference model's)? (\d+)%"), "it finds {0} of 100 connections of implanted attacks, {other} {1}"),
    (re.compile(r"it finds (\d+)% of the held-out attack rows, version (\d+), in production before, (\d+)%"), "it finds {0} of 100 connections of implanted attacks, version {1}, which was in service before, {2}"),
    (re.compile(r"of ([\d,]+) conns of alerts marked true that production finds, it finds ([\d,]+)"), "of {0} connections that people marked as attacks and {other} finds, it finds {1}"),
    (re.compile(r"trained on ([\d,]+) conns a day, .{1,40} on ([\d,]+): is a sensor down"), "its week had {0} connections a day, {1} are usual: a sensor was probably down"),
    (re.compile(r"trained on ([\d,]+) conns a day, .{1,40} on ([\d,]+): is it flooded"), "its week had {0} connections a day, {1} are usual: it was probably flooded"),
    (re.compile(r"no conns of (.{1,200}), which the week before had"), "its week lacks the sensor {0}"),
    (re.compile(r"labels call ([\d.]+%) of its own rows attacks"), "labels call {0} of its week attacks, which is too much to be right"),
    (re.compile(r"production alerts on ([\d.]+%) of the rows that it calls benign"), "{other} alerts on {0} of what its week calls harmless: labels may be wrong, or an attack is under way"),
    (re.compile(r"conns it gives ([\d,]+) alerts, production ([\d,]+)"), "on the latest day it would give {0} alerts, {other} gives {1}"),
    (re.compile(r"a row takes .{1,20} production's"), "it is too slow or too large"),
    (re.compile(r"labelled captures its threshold finds ([\d.]+) of the attack rows as a mean, production's ([\d.]+)"), "on recorded attacks of other networks it finds less, or takes more for attacks, than {other}"),
    (re.compile(r"an older week is kept as a version"), "its week is older than that of {other}"),
    (re.compile(r"cannot be compared with|gives no usable scores"), "{other} is damaged, and cannot be compared with"),
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One question about how good the model is, with the number that flatters and the one that does not."""

    question: str
    flattering: str
    honest: str


def of_hundred(share: float | None) -> str:
    """Return a share from 0 to 1 as `94 of 100`; one that is neither none nor all is never rounded to it. `not known` for nan and None."""
    if share is None or not math.isfinite(share):
        return "not known"
    n = round(100 * share)
    if n == 100 and share < 1:
        return "more than 99 of 100"
    if n == 0 and share > 0:
        return "fewer than 1 of 100"
    return f"{n} of 100"


def one_in(share: float | None) -> str:
    """Return a rate as `1 in 450`; `none` for 0."""
    if share is None or not math.isfinite(share):
        return "not known"
    return f"1 in {round(1 / share):,}" if share > 0 else "none"


def finds(tested: Mapping[str, float] | None) -> str:
    """Return what a model finds at two rates of ordinary connections taken for attacks, to complete "it …"."""
    one, tenth = ((tested or {}).get(f"recall_at_fpr_{rate}") for rate in ("1pct", "0_1pct"))
    if one is None or not math.isfinite(one):
        return "could not be tested"
    text = f"finds {of_hundred(one)} connections of implanted attacks at 1 false alarm in 100 ordinary connections"
    return text if tenth is None else f"{text}, and {of_hundred(tenth)} at 1 in 1,000"


def in_service(facts: WeekFacts) -> str:
    """Return which model is in service, since when, and how good it is, in sentences."""
    model = facts.model
    if model is None:
        return (
            "No model of this site is in production: the reference model of the package, which learned from synthetic networks, scores "
            "until a training of this site passes the gate."
        )
    how = "was put back into service by hand" if model.action == "rollback" else "went into service"
    text = f"Version {model.version} {how} on {model.since[:10]}."
    return f"{text} On connections of this site that were kept from its training it {finds(model.tested)}." if model.tested else text


def decided(decision: Mapping[str, Any]) -> str:
    """Return a decision of the gate, or of a person, in sentences."""
    version, before, gate = decision["to_version"], decision["from_version"], decision["gate"]
    day = decision["at"][:10]
    if decision["action"] == "rollback":
        return f"On {day} version {version} was put back into service in place of version {before or 'none'}."
    other = f"version {before}" if before and before != version else "the reference model"
    tried = f"On {day} version {version} was trained as the challenger"
    if not gate:
        return f"{tried}, and was {'refused' if decision['action'] == 'refuse' else 'put into service'}."
    beside = f"; on the same connections {other} {finds(gate['production'])}" if gate.get("production") else ""
    text = f"{tried}: it {finds(gate['challenger'])}{beside}."
    why = reason(gate["why"], other)
    if decision["action"] == "refuse":
        return f"{text} The gate refused it: {why}."
    if not gate["passed"]:
        return f"{text} The gate refused it ({why}); a person put it into service all the same."
    return f"{text} The gate let it into service{f' in place of {other}' if before else ''}."


def reason(why: str, other: str) -> str:
    """Return why the gate refused a challenger, in words; its own words where there are no simpler ones."""
    known = [words.format(*found.groups(), other=other) for pattern, words in _REASONS if (found := pattern.search(why))]
    return "; and ".join(known) if known else why.rstrip(".")


def changed_model(facts: WeekFacts) -> list[str]:
    """Return one sentence about what became of this week's challenger; none when there was no decision."""
    if not facts.decisions:
        return []
    last = facts.decisions[-1]
    version = last["to_version"]
    if last["action"] == "refuse":
        return [
            f"The new model, version {version}, was refused; {'version ' + facts.model.version if facts.model else 'the reference model'} stays."
        ]
    if last["action"] == "rollback":
        return [f"Version {version} of the model was put back into service."]
    replaced = f" in place of version {last['from_version']}" if last["from_version"] not in (None, version) else ""
    return [f"Version {version} of the model went into service{replaced}."]


def measures(facts: WeekFacts) -> list[Measure]:
    """Return how good detection is, each question with the flattering number beside the honest one."""
    out = []
    if facts.model is not None and facts.model.tested:
        tested, measured = facts.model.tested, facts.model.measured
        one, tenth = (of_hundred(tested.get(f"recall_at_fpr_{rate}")) for rate in ("1pct", "0_1pct"))
        out.append(
            Measure(
                "Finds connections of implanted attacks, among connections of this site that were kept from training",
                f"{one} at 1 false alarm in 100 ordinary connections", f"{tenth} at 1 in 1,000",
            )
        )  # fmt: skip
        out.append(
            Measure(
                "Ranks attacks before ordinary connections (1 is perfect)",
                f"{_number(tested.get('pr_auc'))} with as many attacks as the test has",
                f"{_number(tested.get('pr_auc_at_1pct'))} with 1 attack in 100 connections",
            )
        )
        if "recall_at_threshold" in measured:
            out.append(
                Measure(
                    "At the threshold that it was given", f"{of_hundred(measured['recall_at_threshold'])} connections of implanted attacks alert",
                    f"false alarms: {one_in(measured.get('fpr_at_threshold'))} ordinary connections",
                )
            )  # fmt: skip
    out.append(_elsewhere(facts.evaluation))
    judged = facts.judged_alerts
    precision = (
        f"{judged.true:,} of {judged.all:,} judged alerts were true" if judged.all else "not known: no alert of this week was judged"
    )
    out.append(Measure("Alerts of this week that are worth reading", f"{count(facts.alerts.count, 'alert')} in all", precision))
    return out


def _elsewhere(evaluation: Mapping[str, Any] | None) -> Measure:
    """Return how the method does on networks that it was not trained on, pooled beside the mean and the worst network."""
    question = "Finds attacks on networks that it was not trained on, at 1 false alarm in 100"
    if evaluation is None:
        return Measure(question, "–", "not measured: `mlids evaluate` on labelled logs")
    pooled = evaluation["pooled"].get("hybrid", {}).get("recall_at_fpr_1pct")
    mean = evaluation["macro"].get("hybrid", {}).get("recall_at_fpr_1pct")
    honest = f"{of_hundred(mean)} as the mean of {len(evaluation['about']['test'])} networks"
    means = (evaluation.get("summary") or {}).get("true_labels") or {}
    worst = (((means.get("detectors") or {}).get("hybrid") or {}).get("recall_at_fpr_1pct") or {}).get("worst")
    if worst:
        honest += f"; {of_hundred(worst['value'])} on the worst, {worst['network']}"
    return Measure(question, f"{of_hundred(pooled)} of all attack connections together", honest)


def hard_attacks(facts: WeekFacts) -> list[tuple[str, float]]:
    """Return the implanted attacks of which the model in service finds fewer than half of the connections, with the share, the lowest first."""
    found = facts.model.measured if facts.model is not None else {}
    shares = {n.partition("/")[2]: v for n, v in found.items() if n.startswith("recall/") and v < HALF}
    return sorted(shares.items(), key=lambda item: (item[1], item[0]))


def _number(value: float | None) -> str:
    return "not known" if value is None or not math.isfinite(value) else f"{value:.2f}"
