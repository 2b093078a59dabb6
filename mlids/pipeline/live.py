"""The live scorer of one sensor, composed."""

from __future__ import annotations

import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlids.errors import StoreError
from mlids.files import write_aside
from mlids.pipeline.stores import open_registry, open_sinks
from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.detectors.bundle import Bundle
    from mlids.registry import Registry


def score_live(sensor_name: str, seconds: float | None = None) -> dict[str, Any]:
    """Follow a sensor's growing log and score it, for `seconds` or until told to stop (SIGTERM, Ctrl-C)."""
    from mlids.scorer import Scorer
    from mlids.sources.place import open_place

    settings = load_settings()
    sensor = settings.sensor(sensor_name)
    registry = open_registry(settings)

    def version() -> str | None:
        found = registry.version("production")
        return found.version if found else None

    scorer = Scorer(
        sensor, open_place=lambda: open_place(sensor, settings.known_hosts), load_model=lambda: _good_model(settings, registry),
        model_version=version, sinks=open_sinks(settings), state=settings.state, networks=settings.networks,
        threshold=settings.threshold, poll_s=settings.poll_interval_s,
    )  # fmt: skip
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            before[number] = signal.signal(number, lambda *_: scorer.stop())
        except ValueError:  # not the main thread: the caller stops it otherwise
            break
    try:
        return asdict(scorer.run(seconds))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _good_model(settings: Settings, registry: Registry) -> Bundle:
    """Return the production model, or the last good one kept on disk while MLflow is down."""
    from mlids.detectors.bundle import Bundle

    kept = settings.state / "production.onnx"
    try:
        model = registry.load("production")
    except StoreError:
        if not kept.exists():
            raise
        return Bundle(kept.read_bytes(), (settings.state / "production.version").read_text(encoding="utf-8"))
    write_aside(settings.state / "production.version", model.version or "")
    write_aside(kept, model.graph)
    return model
