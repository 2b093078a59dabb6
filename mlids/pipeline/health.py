"""How live scoring is monitored: Prometheus metrics, a health check, and systemd's notifications."""

from __future__ import annotations

import itertools
import json
import os
import platform
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric

from mlids import __version__
from mlids.errors import StackError
from mlids.features.spec import FEATURES_VERSION
from mlids.scoring.status import CLOCK_STEP_S, LATENCY_BOUNDS_S, Status

# A scorer whose status is older than this hangs.
STALE_S = 30.0
_COUNTERS = {
    "rows": "conns scored", "rejected": "lines that did not parse", "alerts": "new alerts", "errors": "errors that scoring recovered from",
    "dead_letters": "alerts that a sink rejected for good", "left_to_ledger": "rotated logs left to late scoring",
    "put_aside": "lines put aside because they killed the scorer",
}  # fmt: skip
_BUILD = {"version": __version__, "python": platform.python_version(), "features_version": str(FEATURES_VERSION)}
Statuses = Callable[[], Sequence[Status]]


def is_well(status: Status) -> bool:
    """Return whether a scorer works, or waits for something that may come by itself."""
    return status.fault is None and bool(status.updated_at) and -CLOCK_STEP_S <= status.age_s < STALE_S


class _Collector:
    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        statuses = self._statuses()
        for name, words in _COUNTERS.items():
            counter = CounterMetricFamily(f"mlids_{name}", words, labels=["sensor"])
            for s in statuses:
                counter.add_metric([s.sensor], getattr(s, name))
            yield counter
        lag = GaugeMetricFamily("mlids_lag_seconds", "seconds that scoring is behind the sensor's log", labels=["sensor"])
        rate = GaugeMetricFamily("mlids_rows_per_second", "conns scored per second, over the last seconds", labels=["sensor"])
        last = GaugeMetricFamily("mlids_last_row_timestamp_seconds", "when the newest scored conn ended", labels=["sensor"])
        up = GaugeMetricFamily("mlids_up", "1 while the sensor is followed", labels=["sensor"])
        failures = GaugeMetricFamily(
            "mlids_recent_failures", "how often the scorer failed and started again, in 5 minutes", labels=["sensor"]
        )
        stopped = GaugeMetricFamily("mlids_sink_stopped", "1 for a sink that does not let mlids write", labels=["sensor", "sink"])
        of_log = CounterMetricFamily("mlids_log_rows", "rows read of a log beside conn.log", labels=["sensor", "log"])
        log_error = GaugeMetricFamily("mlids_log_error", "1 while logs beside conn.log are not read as they should be", labels=["sensor"])
        latency = HistogramMetricFamily(
            "mlids_scoring_latency_seconds", "seconds from the end of a conn to its scoring, with its alerts delivered", labels=["sensor"]
        )
        info = InfoMetricFamily("mlids_scorer", "state and model version", labels=["sensor"])
        for s in statuses:
            lag.add_metric([s.sensor], s.lag_s)
            rate.add_metric([s.sensor], s.rows_per_s)
            if s.last_row_ts:
                last.add_metric([s.sensor], datetime.fromisoformat(s.last_row_ts).timestamp())
            up.add_metric([s.sensor], float(s.state.is_following and is_well(s)))
            failures.add_metric([s.sensor], s.recent_failures)
            for sink in s.stopped_sinks:
                stopped.add_metric([s.sensor, sink], 1.0)
            for name, rows in s.log_rows.items():
                of_log.add_metric([s.sensor, name], rows)
            log_error.add_metric([s.sensor], float(s.log_error is not None))
            if len(s.latency_counts) > len(LATENCY_BOUNDS_S):  # none is scored yet, or the status is of another version
                latency.add_metric([s.sensor], _buckets(s.latency_counts), s.latency_sum_s)
            info.add_metric([s.sensor], {"state": str(s.state), "model_version": s.model_version or ""})
        yield from (lag, rate, last, up, failures, stopped, of_log, log_error, latency, info)
        yield InfoMetricFamily("mlids_build", "which mlids this is", value=_BUILD)


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the cumulative buckets of a histogram by their upper bound."""
    bounds = [*(str(b) for b in LATENCY_BOUNDS_S), "+Inf"]
    return list(zip(bounds, itertools.accumulate(map(float, counts)), strict=True))


class MetricsServer:
    """Serves `/metrics` and `/healthz` on one address, while it is entered. Raises StackError when the port is taken."""

    def __init__(self, statuses: Statuses, host: str, port: int) -> None:
        registry = CollectorRegistry()
        registry.register(_Collector(statuses))

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:  # the name is http.server's
                if self.path == "/metrics":
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(registry))
                elif self.path == "/healthz":
                    found = list(statuses())
                    well = all(is_well(s) and not s.stopped_sinks for s in found)
                    self._answer(200 if well else 503, "application/json", json.dumps([s.as_dict() for s in found]).encode())
                else:
                    self._answer(404, "text/plain", b"only /metrics and /healthz exist\n")

            def _answer(self, code: int, kind: str, body: bytes) -> None:
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Do nothing: a probe comes every few seconds."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise StackError(f"metrics cannot listen on {host}:{port}: {error.strerror}; set MLIDS_METRICS_PORT to a free one") from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def __enter__(self) -> MetricsServer:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def notify(message: str) -> None:
    """Send a message to systemd (sd_notify(3)) when it started this process with Type=notify; else do nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            out.send(message.encode())
        except OSError:
            return
