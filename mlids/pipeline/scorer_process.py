"""`python -m mlids.pipeline.scorer_process NAME SECONDS`: live scoring of one sensor, as `mlids serve` starts it for each.

It ends with the process that started it. Its last line of output is a JSON object: the last status, and the name and
the message of the error when the sensor could not be followed. SECONDS is `-` for no limit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from mlids.pipeline.live import run_scorer
from mlids.scoring.live_model import ProductionModel
from mlids.settings import load_settings
from mlids.text import log_to_stderr


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _main(sensor: str, seconds: float | None) -> None:
    log_to_stderr()
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    settings = load_settings()
    status, error = run_scorer(settings, sensor, ProductionModel(None, settings.state / "model"), seconds)
    print(json.dumps({"status": status, "error": [type(error).__name__, str(error)] if error is not None else None}))  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1], None if sys.argv[2] == "-" else float(sys.argv[2]))
