"""The first page of the weekly report, for a manager, in sentences: what happened, what changed, what to do. They hold what logs hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlids.cases.severity import Severity
from mlids.cases.words import words_of
from mlids.reporting.facts import WeekFacts, count, listed
from mlids.reporting.model_words import changed_model

# What an ATT&CK tactic means to somebody who does not know it.
_MEANING = {
    "Reconnaissance": "somebody outside is looking for a way in",
    "Resource Development": "the other side was set up very recently",
    "Initial Access": "somebody is trying to get in, or has got in",
    "Execution": "somebody runs programs on another machine",
    "Persistence": "somebody makes sure of coming back",
    "Privilege Escalation": "somebody is gaining more rights",
    "Defense Evasion": "somebody is covering traces",
    "Credential Access": "somebody is guessing or stealing passwords",
    "Discovery": "somebody is looking for machines and services to attack",
    "Lateral Movement": "an intruder may be moving from machine to machine",
    "Collection": "somebody is collecting data",
    "Command and Control": "a program may be taking orders from outside",
    "Exfiltration": "data may be leaving the site",
    "Impact": "a service is being disturbed, or a machine is misused",
}
UNNAMED = "nothing known looks like this; it is unusual here"
SHOWN_CASES = STEPS = 3
STRONG = 0.5  # score of evidence that says something by itself


def meaning(tactics: tuple[str, ...] | list[str]) -> str:
    """Return what tactics mean in words, the first known one; without any, that it is unusual."""
    return next((_MEANING[t] for t in tactics if t in _MEANING), UNNAMED)


def meaning_of_case(case: Mapping[str, Any]) -> str:
    """Return what a case means: by its strongest technique, and the next one of evidence that is strong by itself."""
    strong = {e.get("technique") for e in case["evidence"] if e.get("score", 0.0) >= STRONG}
    found = [meaning(a["tactics"]) for n, a in enumerate(case.get("attack", ())) if n == 0 or a["id"] in strong]
    return "; ".join(list(dict.fromkeys(found))[:2]) or UNNAMED


def happened(facts: WeekFacts) -> list[str]:
    """Return sentences about what was read, and how many alerts and cases came of it."""
    read = len(facts.days) - len(facts.unread)
    sensors = count(len({r["sensor"] for r in facts.ledger}), "sensor")
    if read:
        out = [f"{read:,} of {count(len(facts.days), 'day')} were read: {count(facts.total('archived'), 'connection')} of {sensors}."]
    else:
        out = ["No day of this week was read from the archive: what follows was seen live."]
    n = facts.alerts.count
    if n:
        by_severity = {s: sum(day[s] for day in facts.by_day.values()) for s in reversed(Severity)}
        parts = ", ".join(f"{k:,} {s}" for s, k in by_severity.items() if k)
        out.append(f"There were {count(n, 'alert')}, {n / len(facts.days):.1f} a day ({facts.budget_a_day:g} a day are budgeted): {parts}.")
    else:
        out.append("There was no alert." + ("" if facts.model else " No model of this site was in production."))
    now = facts.cases.now
    if now.cases:
        levels = ", ".join(f"{k:,} {s}" for s, k in reversed(list(facts.case_levels.items())) if k and s != Severity.LOW)
        out.append(
            f"They and what other logs say make {count(now.cases, 'case')} of medium severity or more, about {count(now.hosts, 'host')}: {levels}."
        )
    else:
        low = f"; {count(now.low_cases, 'case')} of low severity can wait" if now.low_cases else ""
        out.append(f"Nothing adds up to a case of medium severity or more{low}.")
    return out


def changed(facts: WeekFacts) -> list[str]:
    """Return sentences about what is different from the week before."""
    now, before = facts.cases.now, facts.cases.before
    out = []
    if not before.days_read:
        out.append("The week before was not read, so that nothing can be compared with it.")
    else:
        out.append(f"Cases of medium severity or more: {_step(now.cases, before.cases)}; alerts: {_step(now.alerts, before.alerts)}.")
    if now.cases:
        new = now.cases - facts.cases.begun_before
        out.append(f"{new:,} of the {count(now.cases, 'case')} began this week, {facts.cases.begun_before:,} before it.")
    if before.days_read:
        out += _new_kinds(facts)
    if facts.drift is not None:
        n = len(facts.drift["drifted"])
        what = f": {listed([facts.drift['words'][d] for d in facts.drift['drifted']])}" if n else ""
        out.append(f"The hosts' traffic changed in {n} of {len(facts.drift['effects'])} measures{what}.")
    return [*out, *changed_model(facts)]


def _step(now: int, before: int) -> str:
    if now == before:
        return f"{now:,}, as in the week before"
    return f"{now:,}, {'up' if now > before else 'down'} from {before:,}"


def _new_kinds(facts: WeekFacts) -> list[str]:
    now, before = ({k["kind"] for k in s.kinds} for s in (facts.alerts, facts.alerts_before))
    out = []
    for words, kinds in (("New among the alerts", now - before), ("No longer among them", before - now)):
        if kinds:
            out.append(f"{words}: {listed(sorted(words_of(k).title for k in kinds), 4)}.")
    return out


def to_do(facts: WeekFacts) -> list[dict[str, str]]:
    """Return what to do, the most urgent first: `what`, and `about` for a case (empty otherwise)."""
    if facts.is_empty:
        return [{"about": "", "what": "Run `mlids doctor`: it says which link between sensor and lake is broken, and what mends it."}]
    still = [c for c in facts.cases.cases if c["state"] != "closed"]
    out = [{"about": c["host"], "what": _sentence(c["next_steps"][0])} for c in still[:STEPS] if c["next_steps"]]
    more = facts.cases.still_open - len(out)
    if more > 0:
        out.append(
            {
                "about": "",
                "what": f"{count(more, 'more case')} {'is' if more == 1 else 'are'} open: look at them in Airflow, or with `mlids cases`.",
            }
        )
    if facts.unread:
        days = listed([d.isoformat() for d in facts.unread], 7)
        out.append({"about": "", "what": f"Find out why {days} could not be read (`mlids doctor`)."})
    if facts.total("missing") and facts.model is not None:
        out.append(
            {
                "about": "",
                "what": f"Have the {count(facts.total('missing'), 'connection')} scored that no model has seen: `mlids reconcile SENSOR DAY`.",
            }
        )
    if facts.model is None:
        out.append({"about": "", "what": "Train a model of this site: `mlids train`, or the DAG `train_weekly`."})
    if facts.alerts.count and not facts.judged_alerts.all and not facts.judged_cases.all:
        out.append(
            {"about": "", "what": "Give verdicts: none was given on this week's alerts and cases, and the next training learns from them."}
        )
    return out or [{"about": "", "what": "Nothing."}]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def why_empty(facts: WeekFacts) -> str:
    """Return why no day of the week was read, as far as the ledger shows it."""
    if facts.ever_read is None:
        if not facts.sensors:
            return "No sensor is configured, and no day was ever read."
        return f"No day was ever read of {listed(list(facts.sensors))}: the nightly DAG `zeek_ingest` has not run, or it failed each time."
    first, last = facts.ever_read
    if facts.window.end.date().isoformat() <= first:
        return f"The first day that was read is {first}, after this week."
    if facts.window.start.date().isoformat() > last:
        return f"The last day that was read is {last}: since then the sensors have sent nothing, or the nightly DAG `zeek_ingest` fails."
    return f"Days before and after it were read ({first} to {last}), these were not: the sensors were down, or their logs were removed."
