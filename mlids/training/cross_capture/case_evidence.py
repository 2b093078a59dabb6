"""The cases of a capture under a model: its conns' verdicts and the evidence of its other logs, gathered as `mlids score` does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlids.alerts.conn_evidence import evidence_of_conns
from mlids.cases.gathering import Gathered, gather
from mlids.detectors.bundle import Model
from mlids.detectors.day_view import raised
from mlids.detectors.verdict import Verdicts
from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.collecting import Collectors
from mlids.evidence.site_hosts import SiteHosts
from mlids.training.cross_capture.captures import Capture
from mlids.zeek.log_types import log_type_of
from mlids.zeek.reader import LogReader

# What may be taken away besides a log type: no log, and all logs but conn.log.
NOTHING, OTHERS = "nothing", "every log but conn.log"


@dataclass(frozen=True)
class SiteEvidence:
    """The evidence of other logs than conn.log, and the site with the names of addresses that these logs gave."""

    found: tuple[Evidence, ...]
    site: SiteView


def read_evidence(capture: Capture) -> dict[str, SiteEvidence]:
    """Return the evidence of the other logs of a capture, by what was taken away: NOTHING, each log type in turn, OTHERS.

    Each log is read once. Raises MlidsError when one cannot be read.
    """
    wanted = Collectors.fields()
    logs = [(path, log) for path in capture.logs if (log := log_type_of(path.name)) in wanted]
    without = {name: Collectors(capture.networks) for name in (NOTHING, *sorted({log for _, log in logs}), OTHERS)}
    for path, log in logs:
        for batch in LogReader(path, log=log):
            for left_out, collectors in without.items():
                if left_out not in (log, OTHERS):
                    collectors.add(log, batch.frame)
    site = _site(capture)
    return {name: SiteEvidence(tuple(c.evidence(site)), replace(site, names=c.names)) for name, c in without.items()}


def _site(capture: Capture) -> SiteView:
    hosts = SiteHosts()
    hosts.add(capture.conns, capture.x)
    ends = capture.conns.select("id.orig_h", "id.resp_h")
    return SiteView(capture.networks, hosts.local, conns=lambda: (ends,))


def conn_evidence(model: Model, capture: Capture, verdicts: Verdicts, threshold: float) -> list[Evidence]:
    """Return what the conns of a capture say, with the day's view of their services; texts are not explained by the model."""
    risk, behaviour = verdicts.risk_score.copy(), verdicts.behaviour.copy()
    rows, strongest = raised(capture.day_keys, risk)
    behaviour[rows] = behaviour[strongest]
    seen = replace(verdicts, risk_score=risk, behaviour=behaviour)
    return evidence_of_conns(capture.conns, capture.x, seen, model, threshold, explained=0)


def gather_capture(conns: list[Evidence], logs: SiteEvidence) -> Gathered:
    """Return the cases that the evidence of conns and of other logs makes."""
    return gather([*conns, *logs.found], logs.site, "zeek")
