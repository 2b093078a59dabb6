"""Which addresses are the site's own, from its conns: networks, Zeek's flags, and public addresses that most conns share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from mlids.features.spec import POSITION

MAX_HOSTS = 500_000
# A public address is taken for the site's own when it is an end of this share of the conns between public addresses: a
# sensor sees the conns of its own hosts. Fewer conns than this show nothing.
LEAST_CONNS, LEAST_SHARE = 50, 0.25
_ENDS = (("id.orig_h", "orig_local"), ("id.resp_h", "resp_local"))


def locality(x: np.ndarray) -> np.ndarray:
    """Return bool[2, n] for float32[n, features]: whether the originator is inside, and the responder."""
    return np.stack([x[:, POSITION[flag]] > 0.5 for _, flag in _ENDS])


class SiteHosts:
    """The hosts of the site, from batches of conns with their features. State is bounded."""

    def __init__(self) -> None:
        self._inside: set[str] = set()
        self._between = 0  # conns between public addresses
        self._shared: pl.DataFrame | None = None  # `address`, `n`: ends of those conns

    def add(self, identity: pl.DataFrame, x: np.ndarray) -> None:
        """Take conns (`id.orig_h`, `id.resp_h`) with their float32[n, features]."""
        self.add_flagged(identity, locality(x))

    def add_flagged(self, identity: pl.DataFrame, local: np.ndarray) -> None:
        """Take conns (`id.orig_h`, `id.resp_h`) with what `locality` returned for them."""
        for (host, _), flags in zip(_ENDS, local, strict=True):
            if len(self._inside) < MAX_HOSTS and flags.any():
                self._inside.update(identity[host].filter(pl.Series(flags)).drop_nulls().unique().to_list())
        outside = ~(local[0] | local[1])
        if not outside.any():
            return
        self._between += int(outside.sum())
        ends = pl.concat([identity[host].filter(pl.Series(outside)).alias("address") for host, _ in _ENDS]).drop_nulls()
        fresh = ends.value_counts(name="n").with_columns(pl.col("n").cast(pl.Int64))
        if self._shared is not None:
            fresh = pl.concat([self._shared, fresh]).group_by("address").agg(pl.col("n").sum())
        self._shared = fresh.sort("n", descending=True).head(MAX_HOSTS // 10)

    @property
    def shared(self) -> list[str]:
        """Public addresses that most conns between public addresses share, the most frequent first."""
        if self._shared is None or self._between < LEAST_CONNS:
            return []
        return self._shared.filter(pl.col("n") >= LEAST_SHARE * self._between).sort("n", descending=True)["address"].to_list()

    @property
    def local(self) -> frozenset[str]:
        """All addresses that are taken for the site's own."""
        return frozenset(self._inside) | frozenset(self.shared)

    def state(self) -> dict[str, pl.DataFrame]:
        """Return the state as tables."""
        inside = pl.DataFrame({"address": sorted(self._inside)}, schema={"address": pl.String})
        shared = self._shared if self._shared is not None else pl.DataFrame(schema={"address": pl.String, "n": pl.Int64})
        return {"inside": inside, "shared": shared, "between": pl.DataFrame({"n": [self._between]})}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take over the state that another one returned."""
        self._inside = set(state["inside"]["address"]) if "inside" in state else set()
        self._shared = state.get("shared")
        self._between = int(state["between"]["n"][0]) if "between" in state else 0
