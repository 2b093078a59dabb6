"""Training weeks as an attacker would shape them: functions that change a synthetic day before it is ingested."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from mlids import pipeline
from mlids.detectors.bundle import Model
from mlids.detectors.verdict import judge
from mlids.features.extract import Extractor
from mlids.synth.archive import attack_hosts, day_with_attacks
from mlids.synth.attacks import SCENARIOS
from mlids.synth.draft import written_order
from mlids.synth.site import Site
from mlids.zeek.types import CONN, Column
from mlids.zeek.writer import header_lines, tsv_rows

SITE, FLOWS, PER_DAY = Site(3), 4_000, 3  # the site of tests/conftest.py
Poison = Callable[[pl.DataFrame, date], pl.DataFrame]


def honest(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the day as it is."""
    return rows


def labelled(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the label column that a labelled log has."""
    return rows.with_columns(label=pl.col("label").fill_null("benign"))


def swapped_labels(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Attacks are labelled benign, and as many benign rows as attacks."""
    attack = rows["label"].is_not_null()
    rng = np.random.default_rng(day.toordinal())
    chosen = pl.Series(rng.random(rows.height) < int(attack.sum()) / max(rows.height - int(attack.sum()), 1)) & ~attack
    names = rows["label"].drop_nulls()
    drawn = names.gather(rng.integers(0, len(names), rows.height))
    return rows.with_columns(label=pl.when(attack).then(pl.lit("benign")).when(chosen).then(drawn).otherwise(pl.lit("benign")))


def true_labels(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """The day with its true labels: what swapped labels are compared with."""
    return labelled(rows)


def half(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Only the half of each day before noon."""
    return rows.filter(pl.col("ts").dt.hour() < 12)


def twentieth(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Only 20 minutes of each day."""
    noon = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    return rows.filter(pl.col("ts").is_between(noon, noon + timedelta(minutes=20)))


def _attacks(day: date, names: Sequence[str], times: int) -> pl.DataFrame:
    rng = np.random.default_rng([day.toordinal(), 77])
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    hosts = attack_hosts(SITE)
    frames = [SCENARIOS[n](midnight + rng.uniform(600, 80_000), hosts, rng).frame(rng) for n in names for _ in range(times)]
    return pl.concat(frames)


def noisy(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Forty loud attacks of inside hosts each day, so that the alert budget is spent."""
    return written_order(pl.concat([rows, _attacks(day, ["horizontal_scan", "brute_force", "lateral_movement", "vertical_scan"], 10)]))


def probed(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Forged probes from outside, 150 scans each day."""
    return written_order(pl.concat([rows, _attacks(day, ["inbound_probes"], 150)]))


def ordinary(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Quiet attacks all day long, so that they are ordinary."""
    return written_order(pl.concat([rows, _attacks(day, QUIET, 12)]))


def ordinary_and_swapped(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """The same, with labels that call them benign."""
    return swapped_labels(ordinary(rows, day), day)


def drifting(week: int) -> Poison:
    """Return a poison that is one quiet attack of each kind a day in the first week, and one more each week."""

    def poison(rows: pl.DataFrame, day: date) -> pl.DataFrame:
        return written_order(pl.concat([rows, _attacks(day, QUIET, week)]))

    return poison


QUIET = ("beacon", "exfiltration", "dns_tunnel", "calling")
POISONS: dict[str, Poison] = {
    "honest": honest, "true labels": true_labels, "swapped labels": swapped_labels, "half days": half, "20 minutes a day": twentieth,
    "noisy inside": noisy, "forged probes": probed, "quiet attacks all day": ordinary,
    "the same, labelled benign": ordinary_and_swapped,
}  # fmt: skip


def ingest(folder: Path, days: Sequence[date], poison: Poison, rows_of: Callable[[date], pl.DataFrame] | None = None) -> None:
    """Write the days as a sensor would and ingest them into the home of the settings."""
    names = [n for n in SCENARIOS if n != "inbound_probes"]
    for number, day in enumerate(days):
        today = [names[(number * PER_DAY + i) % len(names)] for i in range(PER_DAY)]
        rows = poison(day_with_attacks(SITE, day, FLOWS, today)[0], day)
        columns = (*CONN, *([Column("label", "string")] if rows["label"].is_not_null().all() else []))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"conn.{day}.log"
        opened = datetime(day.year, day.month, day.day, tzinfo=UTC)
        path.write_bytes(header_lines("conn", columns, opened) + tsv_rows(rows, columns))
        pipeline.ingest_paths("hq", day.isoformat(), [path])


FRIEND = SITE.office[7]
FRIENDLY_ADDRESS = "203.0.113.77"


def befriending(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the day with an inside host that does nothing but contact the attacker's address as any web server."""
    rng = np.random.default_rng([day.toordinal(), 5])
    web = rows.filter((pl.col("service") == "ssl") & pl.col("label").is_null() & (pl.col("id.orig_h") == rows["id.orig_h"].mode()[0]))
    web = rows.filter(pl.col("service") == "ssl") if web.is_empty() else web
    at = web[rng.integers(0, web.height, 150).tolist()].sort("ts")
    own = at.with_columns(
        pl.lit(FRIEND).alias("id.orig_h"), pl.lit(FRIENDLY_ADDRESS).alias("id.resp_h"),
        pl.Series("uid", [f"CF{day.toordinal()}x{n:08d}" for n in range(at.height)]),
    )  # fmt: skip
    return written_order(pl.concat([rows, own.select(rows.columns)]))


def attacks_that_alert(model: Model, day: date, names: Sequence[str]) -> list[str]:
    """Return which attacks of the befriended host with its address alert, on an honest day with all of its contacts."""
    rng = np.random.default_rng([day.toordinal(), 99])
    hosts = replace(attack_hosts(SITE), inside=[FRIEND], outside=[FRIENDLY_ADDRESS] * 60)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
    found = []
    for name in names:
        frame = SCENARIOS[name](noon, hosts, rng).frame(rng)
        rows = written_order(pl.concat([befriending(day_with_attacks(SITE, day, FLOWS, [])[0], day), frame]))
        alert = judge(model, Extractor().features(rows)).alert
        if (pl.Series(alert) & rows["uid"].is_in(frame["uid"].to_list())).any():
            found.append(name)
    return found
