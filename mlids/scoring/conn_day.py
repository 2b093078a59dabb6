"""What conn.log has shown of the present day, batch by batch: its evidence, the site's hosts, and who contacted whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from mlids.alerts.conn_evidence import LEAST_RISK, evidence_of_groups, group_conns, join_groups
from mlids.alerts.grouping import alert_kinds
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import Verdicts
from mlids.evidence.base import Evidence, SiteView
from mlids.evidence.names import Names
from mlids.evidence.site_hosts import SiteHosts, locality
from mlids.features.spec import NAMES

# Pairs of hosts that are remembered for prevalence and for answers that were used; further pairs of the day are not counted.
MAX_PAIRS = 300_000
_PENDING = 32  # batches of ends before hosts and pairs are taken from them
# Conns that wait before they are grouped: a batch of a live scorer has some hundred, and grouping costs the same for thousands.
_WAITING_ROWS = 8_192
_ENDS = ("id.orig_h", "id.resp_h")
_IDENTITY = ("uid", "ts", "id.orig_h", "id.resp_h", "id.resp_p", "proto")


@dataclass(frozen=True)
class DaySoFar:
    """What the conns of a day have shown until a moment. It does not change, so that another thread may read it."""

    day: date | None
    networks: Sequence[str]
    local: frozenset[str]  # addresses that are taken for the site's own
    groups: pl.DataFrame | None  # of conns, as `group_conns` returns them
    x: np.ndarray  # float32[groups, features] of their strongest conns
    pairs: Sequence[pl.DataFrame]  # of hosts

    def evidence(self, model: Model, threshold: float) -> list[Evidence]:
        """Return the evidence of the day so far, the highest risk first."""
        return [] if self.groups is None else evidence_of_groups(self.groups, self.x, model, threshold)

    def site(self, names: Names) -> SiteView:
        """Return what evidence may ask about the site."""
        return SiteView(self.networks, self.local, names, lambda: self.pairs)


class ConnDay:
    """The conns of one day of a sensor. State is bounded. `day_of` gives the day of a time in the sensor's zone."""

    def __init__(self, networks: Sequence[str], day_of: Callable[[datetime], date]) -> None:
        self._networks, self._day_of = tuple(networks), day_of
        self.day: date | None = None
        self._begin()

    def _begin(self) -> None:
        self.hosts = SiteHosts()
        self._groups: pl.DataFrame | None = None
        self._x = np.zeros((0, len(NAMES)), np.float32)  # features of each group's strongest conn
        # Conns that are not grouped yet: each batch's rows, their kinds, risk_scores, numbers and features.
        self._waiting: list[tuple[pl.DataFrame, list[str], np.ndarray, np.ndarray, np.ndarray]] = []
        self._rows = 0
        self._ends: list[tuple[pl.Series, pl.Series, np.ndarray]] = []  # of batches that wait, with their `locality`
        self._pairs = pl.DataFrame(schema=dict.fromkeys(_ENDS, pl.String()))  # the first of the day

    def add(self, conns: pl.DataFrame, x: np.ndarray, verdicts: Verdicts, model: Model, clock: datetime | None) -> bool:
        """Add a judged batch; `clock` is the log's time. Return whether a day began with it: all before it is forgotten."""
        day = self._day_of(clock) if clock is not None else self.day
        began = day is not None and (self.day is None or day > self.day)
        if began:
            if self.day is not None:
                self._begin()
            self.day = day
        self._ends.append((conns[_ENDS[0]], conns[_ENDS[1]], locality(x)))
        if len(self._ends) > _PENDING:
            self._take_ends()
        rows = np.flatnonzero(verdicts.risk_score >= LEAST_RISK)
        if len(rows):
            kinds, risk = alert_kinds(model, verdicts, rows), np.asarray(verdicts.risk_score[rows])
            self._waiting.append((pl.DataFrame([conns[n].gather(rows) for n in _IDENTITY]), kinds, risk, self._rows + rows, x[rows]))
            if sum(len(kinds) for _, kinds, *_ in self._waiting) >= _WAITING_ROWS:
                self._group()
        self._rows += len(x)
        return began

    def _group(self) -> None:
        """Group the conns that wait."""
        if not self._waiting:
            return
        conns, kinds, risk, numbers, x = zip(*self._waiting, strict=True)
        self._waiting = []
        fresh = group_conns(pl.concat(conns), [k for batch in kinds for k in batch], np.concatenate(risk), np.concatenate(numbers))
        held = np.concatenate([np.zeros(0, np.int64) if self._groups is None else self._groups["row"].to_numpy(), *numbers])
        self._groups = join_groups(self._groups, fresh)
        order = np.argsort(held)
        self._x = np.concatenate([self._x, *x])[order[np.searchsorted(held, self._groups["row"].to_numpy(), sorter=order)]]

    def _take_ends(self) -> None:
        """Take hosts and pairs from the batches that wait."""
        if not self._ends:
            return
        ends, self._ends = self._ends, []
        conns = pl.concat([pl.DataFrame([orig, resp]) for orig, resp, _ in ends])
        self.hosts.add_flagged(conns, np.concatenate([flags for *_, flags in ends], axis=1))
        if self._pairs.height < MAX_PAIRS:
            self._pairs = pl.concat([self._pairs, conns.unique(maintain_order=True)]).unique(maintain_order=True).head(MAX_PAIRS)

    def so_far(self) -> DaySoFar:
        """Return what the day has shown so far."""
        self._group()
        self._take_ends()
        return DaySoFar(self.day, self._networks, self.hosts.local, self._groups, self._x, [self._pairs])

    def state(self) -> dict[str, pl.DataFrame]:
        """Return the state as tables, which a checkpoint stores."""
        self._group()
        self._take_ends()
        facts = {"day": [self.day.isoformat() if self.day else None], "rows": [self._rows]}
        out = {"facts": pl.DataFrame(facts, schema={"day": pl.String, "rows": pl.Int64})}
        if self._groups is not None:
            x = [row.tobytes() for row in np.ascontiguousarray(self._x, np.float32)]
            out["groups"] = self._groups.with_columns(x=pl.Series(x, dtype=pl.Binary))
        return out | {"pairs": self._pairs} | {f"hosts/{name}": table for name, table in self.hosts.state().items()}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take over the state that another one returned; an empty one begins anew."""
        self._begin()
        self.day = None
        if "facts" not in state:
            return
        day, self._rows = state["facts"].row(0)
        self.day = date.fromisoformat(day) if day else None
        if "groups" in state:
            self._groups = state["groups"].drop("x")
            packed = state["groups"]["x"].to_list()
            self._x = np.frombuffer(b"".join(packed), np.float32).reshape(len(packed), -1)
        self._pairs = state.get("pairs", self._pairs)
        self.hosts.restore({name.removeprefix("hosts/"): t for name, t in state.items() if name.startswith("hosts/")})
