"""Training examples of a network: its own rows, its labelled rows, and attacks implanted into its traffic.

A network is what is judged as one: a sensor of the site, a labelled capture, or the made-up reference
networks that every training adds, so that a small site does not take all TCP for an attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from mlids.features.extract import Extractor
from mlids.features.spec import BEHAVIOUR_COLUMNS, BEHAVIOUR_NAMES, NAMES
from mlids.synth.site import Site
from mlids.training.label_sources import LabelSources
from mlids.training.labels import BENIGN, Hosts, Implant, make_implants, normal_label, with_implants

IMPLANT_ROUNDS = 4
# Of an implanted attack the first tenth, and never less than these rows, is past only: nobody can tell an
# attack by its first packet, and a model that is told to must call the beginning of everything an attack.
UNTOLD_ROWS, UNTOLD_SHARE = 4, 0.1
# Own rows that a behaviour names this clearly are no examples of benign traffic, unless a label says so.
SUSPECT = 0.6
ROWS_PER_ATTACK = 3_000
# Seed and number of hosts: the same traffic among few hosts is dense, as at a busy small site.
REFERENCE_SITES = ((11, 20), (12, 60), (13, 180))
REFERENCE_FLOWS = 25_000
_REFERENCE_BENIGN = 3_000

Batches = Callable[[], Iterator[pl.DataFrame]]
SCHEMA = pl.Schema(
    {n: pl.Float32() for n in NAMES}
    | {n: pl.String() for n in ("label", "source", "instance")} | {"late": pl.Boolean(), "network": pl.String()}
)  # fmt: skip


def labelled(conns: pl.DataFrame) -> pl.Series:
    """Return `benign`, an attack's name or null for each row, whatever form the log's labels have; null without labels."""
    columns = set(conns.columns)
    if "label" not in columns:
        return pl.Series("label", [None], dtype=pl.String).new_from_index(0, conns.height)
    detail = next((n for n in ("detailed-label", "detailedlabel", "detailed_label") if n in columns), None)
    return conns.select(label=normal_label(pl.col("label"), pl.col(detail) if detail else pl.lit(None, pl.String))).to_series()


def artefacts(conns: pl.DataFrame) -> pl.Series:
    """Say which rows are faults of the capture and tell nothing of an attack: not one packet either way (bad checksums)."""
    none = [pl.col(c).cast(pl.Float64, strict=False).fill_null(0) == 0 for c in ("orig_pkts", "resp_pkts") if c in conns.columns]
    if len(none) < 2:
        return pl.Series([False]).new_from_index(0, conns.height)
    return conns.select((none[0] & none[1] & (pl.col("history").fill_null("") == "C")).alias("artefact")).to_series()


def gather(
    batches: Batches, network: str, *, networks: Sequence[str] = (), max_benign: int, assume_benign: bool = True,
    label_sources: LabelSources | None = None, rounds: int = IMPLANT_ROUNDS, seed: int = 0, progress: Callable[[int], None] = lambda _: None,
) -> tuple[int, pl.DataFrame]:  # fmt: skip
    """Return the rows seen, and a sample of feature rows with label, source of the label, network and instance.

    `batches` is called twice: once to meet the hosts, once for the features, with attacks implanted. Rows
    with a label of their own keep it, or get that of `label_sources`; the others are benign when `assume_benign`, save suspects. `late` marks
    own rows past three quarters of the stream and the last two rounds of implants: what is held out.
    """
    hosts = Hosts(networks)
    total, benign, first, last = 0, 0, np.inf, -np.inf
    for batch in batches():
        hosts.add(batch)
        total += batch.height
        benign += int((labelled(batch) == BENIGN).sum()) if "label" in batch.columns else batch.height
        ts = batch["ts"].drop_nulls().dt.epoch("ms").to_numpy() / 1e3
        if len(ts):
            first, last = min(first, float(np.quantile(ts, 0.01))), max(last, float(np.quantile(ts, 0.99)))
    cast = hosts.cast(seed)
    implants = make_implants(cast, first, last, rounds=rounds, seed=seed) if cast is not None and total and rounds else []
    rng = np.random.default_rng([seed, 5])
    share = min(1.0, max_benign / max(benign, 1))
    extractor = Extractor(networks)
    kept: list[pl.DataFrame] = []
    done = 0
    untold = _Untold(implants)
    for batch in with_implants((_prepared(b, assume_benign, label_sources) for b in batches()), implants):
        x = extractor.features(batch)
        own = batch["instance"].is_null().to_numpy()
        late = done + np.cumsum(own) > 0.75 * total
        done += int(own.sum())
        told = batch["label"].to_numpy()
        suspect = (batch["source"] == "assumed").to_numpy() & (_suspicion(x) >= SUSPECT)
        wanted = batch["label"].is_not_null().to_numpy() & ~suspect
        wanted &= (told != BENIGN) | (rng.random(batch.height) < share)
        wanted &= own | ~untold.of(batch)
        frame = pl.DataFrame(x[wanted], schema=list(NAMES)).with_columns(
            *batch.filter(pl.Series(wanted)).select("label", "source", "instance").get_columns(),
            pl.Series("late", late[wanted]), pl.lit(network).alias("network"),
        )  # fmt: skip
        held = pl.col("instance").str.extract(r"-(\d+)$").cast(pl.Int32) >= rounds - max(rounds // 3, 1)
        kept.append(frame.with_columns(late=held.fill_null(pl.col("late"))))
        progress(done)
    frame = pl.concat(kept) if kept else pl.DataFrame(schema=SCHEMA)
    return total, _few_each(frame, seed)


def _suspicion(x: np.ndarray) -> np.ndarray:
    told = x[:, BEHAVIOUR_COLUMNS].copy()
    # Probes from outside are told weakly but surely: they are neither examples of benign traffic.
    told[:, BEHAVIOUR_NAMES.index("inbound_probes")] *= 2.0
    return told.max(axis=1)


def _prepared(batch: pl.DataFrame, assume_benign: bool, label_sources: LabelSources | None) -> pl.DataFrame:
    """Return the batch with `label` and `source`: the log's own label, else a verdict, else a notice, else benign."""
    own = labelled(batch)
    told = label_sources.tell(batch) if label_sources is not None else pl.DataFrame({"label": own, "source": own}).clear(batch.height)
    assumed = BENIGN if assume_benign and "label" not in batch.columns else None
    columns = {"own": own, "told": told["label"], "who": told["source"], "fault": artefacts(batch)}
    sides = pl.DataFrame(columns).select(
        label=pl.when(~pl.col("fault")).then(pl.coalesce("own", "told", pl.lit(assumed, pl.String))),
        source=pl.when(pl.col("own").is_not_null()).then(pl.lit("label")).otherwise(pl.coalesce("who", pl.lit("assumed"))),
    )  # fmt: skip
    return batch.with_columns(sides["label"], sides["source"])


class _Untold:
    """Says which implanted rows are among the first of their instance, counting on from batch to batch."""

    def __init__(self, implants: Sequence[Implant]) -> None:
        self._left = {i.rows["instance"][0]: max(UNTOLD_ROWS, UNTOLD_SHARE * i.rows.height) for i in implants if i.rows.height}

    def of(self, batch: pl.DataFrame) -> np.ndarray:
        out = np.zeros(batch.height, bool)
        for at, instance in enumerate(batch["instance"].to_list()):
            if instance is not None:
                out[at] = self._left[instance] > 0
                self._left[instance] -= 1
        return out


def true_attack() -> pl.Expr:
    """Which examples are attacks that someone saw, and nobody implanted."""
    return pl.col("source").is_in(["label", "verdict", "notice"]) & (pl.col("label") != BENIGN)


def _few_each(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Drop exact duplicates, and of each attack keep so many rows as say all it has to say."""
    frame = frame.unique(subset=[*NAMES, "label"], keep="first", maintain_order=True)
    parts = [frame.filter(pl.col("label") == BENIGN)]
    for part in frame.filter(pl.col("label") != BENIGN).partition_by("label", "source", maintain_order=True):
        parts.append(part.sample(ROWS_PER_ATTACK, seed=seed) if part.height > ROWS_PER_ATTACK else part)
    return pl.concat(parts)


@lru_cache(maxsize=1)
def reference() -> pl.DataFrame:
    """Return examples of the made-up reference networks: ordinary office traffic and every attack."""
    parts = []
    for seed, hosts in REFERENCE_SITES:
        day = Site(seed, hosts=hosts).day(date(2026, 11, 4), REFERENCE_FLOWS).drop("label")
        _, frame = gather(lambda day=day: iter([day]), f"reference-{seed}", max_benign=_REFERENCE_BENIGN, seed=seed)  # type: ignore[misc]
        parts.append(frame.with_columns(source=pl.lit("reference"), late=pl.lit(False)))
    return pl.concat(parts)


def weights(frame: pl.DataFrame) -> np.ndarray:
    """Return a weight for each example: a label of a network counts by the root of its rows, so that no mass drowns the rest."""
    size = frame.select(n=pl.len().over("network", "label", "source")).to_series().to_numpy()
    return size.astype(np.float64) ** -0.5
