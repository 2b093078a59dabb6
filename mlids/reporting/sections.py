"""What the sections behind the first page begin with, each in one or two sentences; and what the week's report could not see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlids.reporting.facts import WeekFacts, count, listed
from mlids.reporting.model_words import decided, hard_attacks, in_service, of_hundred

# What is found in each log beside conn.log, and stays unseen where a sensor does not write it.
_SEEN_IN = {
    "dns": "tunnels and generated names in DNS",
    "http": "attacks on web servers and downloads over plain HTTP",
    "ssl": "sessions and clients of attack tools in TLS",
    "ssh": "logins by SSH after password guessing",
    "files": "programs that are transferred",
    "rdp": "remote desktops that are opened from outside",
    "smb_files": "programs and stores of passwords on Windows shares",
    "dce_rpc": "services and tasks that are created on other Windows machines",
    "kerberos": "tickets that are asked for to guess passwords",
    "ntlm": "Windows logins after password guessing",
}
_BYTES = ("bytes_out", "bytes_in")


def anomalies(facts: WeekFacts) -> str:
    """Return how many alerts have no name."""
    n = next((k["alerts"] for k in facts.kinds if k["kind"] == "anomaly"), 0)
    if not n:
        return "No alert of this week was for being unusual alone."
    return (
        f"{count(n, 'alert')} {'is' if n == 1 else 'are'} for connections that are unusual for this site and resemble no attack that is known. "
        "Most such connections are harmless; new attacks begin like this as well."
    )


def drift(facts: WeekFacts) -> str:
    """Return what changed in the hosts' traffic, and what the training after it made of it."""
    if facts.drift is None:
        return "This week was not compared with the one before: the DAG `drift_weekly` does so when both are in the lake."
    measured, changed = facts.drift["effects"], facts.drift["drifted"]
    words = facts.drift["words"]
    if not changed:
        text = f"None of {count(len(measured), 'measure')} of the hosts' traffic changed beyond what is usual."
    else:
        text = f"{len(changed)} of {count(len(measured), 'measure')} of the hosts' traffic changed beyond what is usual: {listed([words[n] for n in changed], 8)}."
    trained = [d for d in facts.decisions if d["action"] != "rollback"]
    if not trained:
        return f"{text} No training followed, so that the model in service has not learned from it."
    last = trained[-1]
    became = "was refused by the gate" if last["action"] == "refuse" else "went into service"
    return f"{text} Version {last['to_version']}, which learned from the latest traffic, {became}."


def changes_of_hosts(facts: WeekFacts) -> list[dict[str, str]]:
    """Return `host` and `how` for each of the hosts that changed most, the most changed first."""
    out = []
    for moved in (facts.drift or {}).get("moved", []):
        grew = "rose" if moved["change"] > 0 else "fell"
        how = f"{moved['words']} {grew}"
        if moved.get("before") is not None and moved.get("now") is not None:
            how += f" from {_amount(moved['measure'], moved['before'])} to {_amount(moved['measure'], moved['now'])}"
        out.append({"host": moved["host"], "how": f"{how} ({abs(moved['change']):.1f} standard deviations)"})
    return out


def _amount(measure: str, value: float) -> str:
    if measure.endswith("_share"):
        return of_hundred(value)
    if measure in _BYTES:
        for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
            if value >= size:
                return f"{value / size:,.1f} {name}"
        return f"{value:,.0f} bytes"
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"


def model(facts: WeekFacts) -> list[str]:
    """Return which model is in service, and what became of each challenger of the week."""
    decisions = [decided(d) for d in facts.decisions]
    return [in_service(facts), *(decisions or ["No model was trained for this week."])]


def verdicts(facts: WeekFacts) -> list[str]:
    """Return what analysts judged, and what it changed."""
    alerts, cases = facts.judged_alerts, facts.judged_cases
    if not alerts.all and not cases.all:
        out = ["No alert and no case of this week has a verdict."]
    else:
        out = [
            f"{count(alerts.all, 'alert')} of this week {'has' if alerts.all == 1 else 'have'} a verdict: {alerts.true:,} true, {alerts.false:,} false; "
            f"and {count(cases.all, 'case')}: {cases.true:,} true, {cases.false:,} false."
        ]
    labels = facts.model.labels if facts.model is not None else {}
    learned = {name: labels.get(name, 0) for name in ("verdict", "case")}
    if labels:
        n = sum(learned.values())
        out.append(
            f"Verdicts of earlier weeks labelled {count(n, 'connection')} that the model in service learned from."
            if n
            else "The model in service has learned from no verdict yet: the next training takes those above."
            if alerts.all or cases.all
            else "The model in service has learned from no verdict yet."
        )
    return out


def suppressions(facts: WeekFacts) -> str:
    """Return how many alerts rules keep from this report."""
    if not facts.hidden:
        return "No alert of this week is suppressed by a rule."
    verb = "is" if facts.hidden == 1 else "are"
    return f"{count(facts.hidden, 'alert')} of this week {verb} suppressed by rules, and not in the numbers above."


def completeness(facts: WeekFacts) -> str:
    """Return how much of the week was read and scored."""
    archived, live, late, missing, rejected = (facts.total(n) for n in ("archived", "live", "late", "missing", "rejected"))
    if not facts.ledger:
        return "No day of this week was read from the archive, so that nothing can be said about what live scoring missed."
    if facts.unread:
        text = f"{count(len(facts.unread), 'day')} of {len(facts.days)} {'is' if len(facts.unread) == 1 else 'are'} missing: {listed([d.isoformat() for d in facts.unread], 7)}. "
    else:
        text = f"All {len(facts.days)} days were read. "
    open_days = unreconciled(facts)
    if len(open_days) == len(facts.days) - len(facts.unread):
        text += f"What was scored is not known yet of {count(archived, 'connection')}: no day was compared with it. "
    else:
        text += f"Of {count(archived, 'connection')} {live:,} were scored as they came and {late:,} afterwards"
        if open_days:
            text += f"; {count(len(open_days), 'day')} {'is' if len(open_days) == 1 else 'are'} not compared yet with what was scored: {listed(open_days, 7)}. "
        else:
            text += f"; {missing:,} were not scored. " if missing else "; none was left out. "
    return text + (f"{count(rejected, 'line')} could not be read." if rejected else "Every line could be read.")


def unreconciled(facts: WeekFacts) -> list[str]:
    """Return the days that were read and not compared with what was scored."""
    return sorted({r["day"] for r in facts.ledger if r["missing"] is None})


def blind_spots(facts: WeekFacts) -> list[str]:
    """Return what this report cannot know, each as a sentence; what is always so comes last."""
    out = []
    if facts.unread:
        out.append(
            f"Anything on {listed([d.isoformat() for d in facts.unread], 7)}: {'this day was' if len(facts.unread) == 1 else 'these days were'} not read."
        )
    if facts.total("missing"):
        out.append(f"{count(facts.total('missing'), 'connection')} that no model has scored.")
    if days := unreconciled(facts):
        out.append(f"Whether every connection of {listed(days, 7)} was scored.")
    if facts.total("rejected"):
        out.append(f"{count(facts.total('rejected'), 'line')} of logs that could not be read; they are kept in quarantine.")
    if facts.hidden:
        out.append(f"What the rules suppress: {count(facts.hidden, 'alert')}.")
    absent = [log for log in _SEEN_IN if log not in facts.logs]
    if absent and not facts.is_empty:
        out += [f"{_SEEN_IN[log][:1].upper()}{_SEEN_IN[log][1:]}: no {log}.log was read." for log in absent]
    if hard := hard_attacks(facts):
        out.append(
            "Attacks that the model is weak at: of those that were implanted to test it, it found "
            + listed([f"{of_hundred(share)} connections of {name.replace('_', ' ')}" for name, share in hard], 4)
            + "."
        )
    for sensor in facts.learning:
        out.append(
            f"What is usual at sensor {sensor['sensor']}: only {count(sensor['days'], 'day')} of {sensor['of']} are there to learn from."
        )
    return [
        *out,
        "What stays inside connections of ordinary counts, sizes and times, above all when they are encrypted.",
        "Traffic that passes no sensor, and what happens inside a machine.",
    ]


def in_short(facts: WeekFacts) -> list[dict[str, Any]]:
    """Return the sections of a quiet week as `name` and `text`: everything fits on the first page."""
    blind: Mapping[str, Any] = {"name": "What it could not see", "text": " ".join(blind_spots(facts))}
    return [
        {"name": "Unknown anomalies", "text": anomalies(facts)},
        {"name": "Drift", "text": drift(facts)},
        {"name": "Model", "text": " ".join(model(facts))},
        {"name": "Verdicts", "text": " ".join(verdicts(facts))},
        {"name": "Suppressions", "text": suppressions(facts)},
        {"name": "Completeness", "text": completeness(facts)},
        dict(blind),
    ]
