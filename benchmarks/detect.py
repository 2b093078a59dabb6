"""Speed of features and of the bundle, per CPU second: in bulk, in the scorer's micro-batches, and one row."""

from __future__ import annotations

import time
from datetime import date

import numpy as np
import polars as pl

from mlids.detectors.bundle import Bundle
from mlids.detectors.onnx_graph import build_graph
from mlids.features.extract import Extractor, conn_columns
from mlids.features.spec import NAMES
from mlids.synth.site import Site
from mlids.training.dataset import reference, weights
from mlids.training.train import fit_pair

Row = tuple[str, float, str, float, str, str]
MICRO = 512


def speeds(flows: int) -> list[Row]:
    """Return (name, value, unit, goal, note, better) of each measurement, on a synthetic day of `flows` conns."""
    day = conn_columns(Site(7).day(date(2026, 11, 4), flows))
    Extractor().features(day[:20_000])  # compiled once per installation
    began = time.process_time()
    extractor = Extractor()
    for start in range(0, day.height, 262_144):
        extractor.features(day.slice(start, 262_144))
    bulk = day.height / (time.process_time() - began)
    live = Extractor()
    first = min(20_000, day.height // 2)
    live.features(day[:first])
    began, done = time.process_time(), 0
    for start in range(first, min(first + 200 * MICRO, day.height), MICRO):
        done += len(live.features(day.slice(start, MICRO)))
    micro = done / (time.process_time() - began)
    model, x = _model(day[:100_000])
    began = time.process_time()
    model.score(x)
    both = len(x) / (time.process_time() - began)
    one = []
    for row in x[:2_000]:
        began = time.perf_counter()
        model.score(row[None, :])
        one.append(time.perf_counter() - began)
    return [
        ("features-rows-per-cpu-second", bulk, "rows/CPU s", 200_000, f"a limit; {day.height:,} rows, {len(NAMES)} features", "higher"),
        ("features-micro-batches-of-512", micro, "rows/CPU s", 30_000, "a limit; plain Python with deques was seen at 16,000", "higher"),
        ("bundle-rows-per-cpu-second", both, "rows/CPU s", 60_000, f"a limit; both forests, {len(x):,} rows", "higher"),
        ("bundle-one-row", float(np.median(one)) * 1e3, "ms", 0.2, "a limit; median of 2,000", "lower"),
    ]


def _model(day: pl.DataFrame) -> tuple[Bundle, np.ndarray]:
    frame = reference()
    x = np.ascontiguousarray(frame.select(NAMES).to_numpy(), np.float32)
    columns = [frame[c].to_numpy().astype(str) for c in ("label", "network")]
    pair = fit_pair(x, *columns, weights(frame), true_attacks=False)
    return Bundle(build_graph(pair.forest, pair.isolation, pair.spec.as_dict())), Extractor().features(day)
