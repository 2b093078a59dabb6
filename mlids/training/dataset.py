"""Training examples of a network: its own rows, its labelled rows, and attacks implanted into its traffic.

A network is a sensor of the site, a labelled capture, or one of the synthetic reference networks. Every training
includes the reference networks: without them, a forest trained on a small site scores all of its TCP as an attack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl

from mlids.detectors.forest import BENIGN
from mlids.features.extract import Extractor
from mlids.features.spec import BEHAVIOUR_COLUMNS, BEHAVIOUR_NAMES, NAMES
from mlids.synth.clients.network import ClientNetwork
from mlids.synth.site import Site
from mlids.training.label_sources.base import ConnLabels
from mlids.training.labels import (
    ASSUMED,
    IMPLANTED,
    LOG_LABEL,
    REFERENCE,
    Hosts,
    Implant,
    make_implants,
    normal_label,
    with_implants,
)

IMPLANT_ROUNDS = 4
# The first tenth of an implanted attack, and at least four rows, are context for later rows and no examples: they
# do not differ from ordinary conns yet, and a model trained on them scores the start of any activity as an attack.
ONSET_ROWS, ONSET_SHARE = 4, 0.1
# Unlabelled rows with a behaviour score from this on are not used as benign examples.
SUSPECT = 0.6
ROWS_PER_ATTACK = 3_000
# Seed and number of hosts. With few hosts the same traffic is dense, as at a busy small site.
REFERENCE_SITES = ((11, 20), (12, 60), (13, 180))
REFERENCE_FLOWS = 25_000
# Seed and kind of the client networks, which hold every kind of client: what a workstation's TLS, a home's broadcasts and a domain's LDAP look like.
REFERENCE_CLIENTS = ((26, "laptop"), (32, "laptop"), (22, "home"), (28, "home"), (23, "office"), (24, "laboratory"))
_REFERENCE_DAY = date(2026, 11, 4)
_REFERENCE_BENIGN = 3_000
# A client network has one round of attacks, of which so many rows each: nine networks with four would fit for minutes.
_CLIENT_ROUNDS, _CLIENT_ROWS_PER_ATTACK = 1, 400

Batches = Callable[[], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class ExampleOptions:
    """How examples are taken from a network's conns."""

    max_benign: int  # benign rows, about
    networks: Sequence[str] = ()  # inside, as CIDR; default: private addresses
    assume_benign: bool = True  # take unlabelled rows for benign, where the log has no label column
    labels: ConnLabels | None = None  # for rows without a label of their own
    rounds: int = IMPLANT_ROUNDS  # instances of each implanted attack; 0: none
    seed: int = 0


SCHEMA = pl.Schema(
    {n: pl.Float32() for n in NAMES}
    | {n: pl.String() for n in ("label", "source", "instance")} | {"late": pl.Boolean(), "network": pl.String()}
)  # fmt: skip


def labelled(conns: pl.DataFrame) -> pl.Series:
    """Return `benign`, an attack's name or null for each row, from any form of label column; null without one."""
    columns = set(conns.columns)
    if "label" not in columns:
        return pl.Series("label", [None], dtype=pl.String).new_from_index(0, conns.height)
    detail = next((n for n in ("detailed-label", "detailedlabel", "detailed_label") if n in columns), None)
    return conns.select(label=normal_label(pl.col("label"), pl.col(detail) if detail else pl.lit(None, pl.String))).to_series()


def artefacts(conns: pl.DataFrame) -> pl.Series:
    """Return True for rows that are faults of the capture: no packet in either direction, and a bad checksum (history C)."""
    none = [pl.col(c).cast(pl.Float64, strict=False).fill_null(0) == 0 for c in ("orig_pkts", "resp_pkts") if c in conns.columns]
    if len(none) < 2:
        return pl.Series([False]).new_from_index(0, conns.height)
    return conns.select((none[0] & none[1] & (pl.col("history").fill_null("") == "C")).alias("artefact")).to_series()


def gather_examples(
    batches: Batches, network: str, options: ExampleOptions, progress: Callable[[int], None] = lambda _: None
) -> tuple[int, pl.DataFrame]:
    """Return the number of rows read, and a sample of feature rows (SCHEMA) with label, source of the label, network and instance.

    `batches` is called twice: once to find the hosts, once for the features, with attacks implanted. The log's own
    labels come first, then those of `options.labels`. `late` marks what is held out: own rows of the last quarter, and
    the last third of the rounds of implanted attacks. `progress` gets the number of own rows read.
    """
    seen = _survey(batches, options)
    implants = _implants(seen, options)
    choose = _Chooser(seen, implants, options)
    extractor = Extractor(options.networks)
    kept: list[pl.DataFrame] = []
    for batch in with_implants((_labelled(b, options) for b in batches()), implants):
        kept.append(choose.examples(batch, extractor.features(batch)).with_columns(network=pl.lit(network)).select(SCHEMA.names()))
        progress(choose.rows)
    frame = pl.concat(kept) if kept else pl.DataFrame(schema=SCHEMA)
    return seen.rows, _limited(frame, options.seed)


@dataclass
class _Survey:
    """What the first pass over a network's conns finds."""

    hosts: Hosts
    rows: int = 0
    benign: int = 0
    first: float = np.inf  # epoch seconds: between the 1st and the 99th percentile of the batches
    last: float = -np.inf


def _survey(batches: Batches, options: ExampleOptions) -> _Survey:
    seen = _Survey(Hosts(options.networks))
    for batch in batches():
        seen.hosts.add(batch)
        seen.rows += batch.height
        seen.benign += int((labelled(batch) == BENIGN).sum()) if "label" in batch.columns else batch.height
        ts = batch["ts"].drop_nulls().dt.epoch("ms").to_numpy() / 1e3
        if len(ts):
            seen.first = min(seen.first, float(np.quantile(ts, 0.01)))
            seen.last = max(seen.last, float(np.quantile(ts, 0.99)))
    return seen


def _implants(seen: _Survey, options: ExampleOptions) -> list[Implant]:
    cast = seen.hosts.cast(options.seed)
    if cast is None or not seen.rows or not options.rounds:
        return []
    return make_implants(cast, seen.first, seen.last, rounds=options.rounds, seed=options.seed)


class _Chooser:
    """Chooses the rows of a network that become examples, batch by batch."""

    def __init__(self, seen: _Survey, implants: Sequence[Implant], options: ExampleOptions) -> None:
        self.rows = 0  # own rows so far
        self._all = seen.rows
        self._share = min(1.0, options.max_benign / max(seen.benign, 1))
        self._rng = np.random.default_rng([options.seed, 5])
        self._onset = _Onset(implants)
        self._late_from = options.rounds - max(options.rounds // 3, 1)

    def examples(self, batch: pl.DataFrame, x: np.ndarray) -> pl.DataFrame:
        """Return the examples among labelled rows with the features float32[n, features]: NAMES, label, source, instance, late."""
        own = batch["instance"].is_null().to_numpy()
        late = self.rows + np.cumsum(own) > 0.75 * self._all
        self.rows += int(own.sum())
        suspect = (batch["source"] == ASSUMED).to_numpy() & (_suspicion(x) >= SUSPECT)
        wanted = batch["label"].is_not_null().to_numpy() & ~suspect
        wanted &= (batch["label"].to_numpy() != BENIGN) | (self._rng.random(batch.height) < self._share)
        wanted &= own | ~self._onset.of(batch)
        frame = pl.DataFrame(x[wanted], schema=list(NAMES)).with_columns(
            *batch.filter(pl.Series(wanted)).select("label", "source", "instance").get_columns(), pl.Series("late", late[wanted])
        )
        late_round = pl.col("instance").str.extract(r"-(\d+)$").cast(pl.Int32) >= self._late_from
        return frame.with_columns(late=late_round.fill_null(pl.col("late")))


def _suspicion(x: np.ndarray) -> np.ndarray:
    levels = x[:, BEHAVIOUR_COLUMNS].copy()
    # Probes from outside score low but are reliable: they are no examples of benign traffic either.
    levels[:, BEHAVIOUR_NAMES.index("inbound_probes")] *= 2.0
    return levels.max(axis=1)


def _labelled(batch: pl.DataFrame, options: ExampleOptions) -> pl.DataFrame:
    """Return the batch with `label` and `source`: the log's own label, else that of a label source, else benign."""
    own = labelled(batch)
    other = (options.labels or ConnLabels()).labels(batch)
    assumed = BENIGN if options.assume_benign and "label" not in batch.columns else None
    columns = {"own": own, "other": other["label"], "other_source": other["source"], "fault": artefacts(batch)}
    both = pl.DataFrame(columns).select(
        label=pl.when(~pl.col("fault")).then(pl.coalesce("own", "other", pl.lit(assumed, pl.String))),
        source=pl.when(pl.col("own").is_not_null()).then(pl.lit(LOG_LABEL)).otherwise(pl.coalesce("other_source", pl.lit(ASSUMED))),
    )  # fmt: skip
    return batch.with_columns(both["label"], both["source"])


class _Onset:
    """Finds the first rows of each implanted attack; counts on from batch to batch."""

    def __init__(self, implants: Sequence[Implant]) -> None:
        self._left = {i.rows["instance"][0]: max(ONSET_ROWS, ONSET_SHARE * i.rows.height) for i in implants if i.rows.height}

    def of(self, batch: pl.DataFrame) -> np.ndarray:
        """Return bool[n]: which rows are among the first of their instance."""
        out = np.zeros(batch.height, bool)
        for at, instance in enumerate(batch["instance"].to_list()):
            if instance is not None:
                out[at] = self._left[instance] > 0
                self._left[instance] -= 1
        return out


def true_attack() -> pl.Expr:
    """Return which examples are attacks that were observed, not implanted: labelled by the log or by a label source."""
    return ~pl.col("source").is_in([IMPLANTED, REFERENCE, ASSUMED]) & (pl.col("label") != BENIGN)


def _limited(frame: pl.DataFrame, seed: int, most: int = ROWS_PER_ATTACK) -> pl.DataFrame:
    """Drop exact duplicates, and keep at most `most` rows of each attack and source."""
    frame = frame.unique(subset=[*NAMES, "label"], keep="first", maintain_order=True)
    parts = [frame.filter(pl.col("label") == BENIGN)]
    for part in frame.filter(pl.col("label") != BENIGN).partition_by("label", "source", maintain_order=True):
        parts.append(part.sample(most, seed=seed) if part.height > most else part)
    return pl.concat(parts)


@lru_cache(maxsize=1)
def reference() -> pl.DataFrame:
    """Return examples of the synthetic reference networks: office traffic, clients of several kinds of networks, and every attack.

    Benign rows of client networks are examples whatever their behaviours, as their kind is known: a member of a domain,
    a backup agent and a push service are what a forest must not take for an attack.
    """
    parts = []
    for seed, hosts in REFERENCE_SITES:
        day = Site(seed, hosts=hosts).day(_REFERENCE_DAY, REFERENCE_FLOWS).drop("label")
        parts.append(_reference_examples(day, f"reference-{seed}", ExampleOptions(_REFERENCE_BENIGN, seed=seed)))
    for seed, kind in REFERENCE_CLIENTS:
        day = ClientNetwork(seed, kind).day(_REFERENCE_DAY).with_columns(label=pl.lit(BENIGN))
        options = ExampleOptions(_REFERENCE_BENIGN, rounds=_CLIENT_ROUNDS, seed=seed)
        frame = _reference_examples(day, f"reference-{kind}-{seed}", options)
        parts.append(_limited(frame, seed, _CLIENT_ROWS_PER_ATTACK))
    return pl.concat(parts)


def _reference_examples(day: pl.DataFrame, network: str, options: ExampleOptions) -> pl.DataFrame:
    _, frame = gather_examples(lambda: iter([day]), network, options)
    return frame.with_columns(source=pl.lit(REFERENCE), late=pl.lit(False))


def weights(frame: pl.DataFrame) -> np.ndarray:
    """Return float64[n]: each row weighs 1/√n for the n rows of its network, label and source, so that none of these dominates."""
    size = frame.select(n=pl.len().over("network", "label", "source")).to_series().to_numpy()
    return size.astype(np.float64) ** -0.5


# Rows of each attack of a network that are kept where many networks train together: of implanted and of observed ones.
THINNED_IMPLANTS, THINNED_ATTACKS = 60, 1_000


def thinned(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return examples with their `weight`; of each attack of a network a sample, which weighs as much as all of its rows.

    Thirty networks have half a million implanted rows, most of them of the same few attacks; a forest fitted on all of
    them takes minutes.
    """
    frame = frame.with_columns(weight=pl.Series(weights(frame), dtype=pl.Float64))
    parts = [frame.filter(pl.col("label") == BENIGN)]
    for part in frame.filter(pl.col("label") != BENIGN).partition_by("network", "label", "source", maintain_order=True):
        most = THINNED_IMPLANTS if part["source"][0] in {IMPLANTED, REFERENCE} else THINNED_ATTACKS
        n = min(part.height, most)
        parts.append(part.sample(n, seed=seed).with_columns(pl.col("weight") * (part.height / n)))
    return pl.concat(parts)
