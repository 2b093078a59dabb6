"""`mlids demo`: the whole pipeline on a synthetic site."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from mlids.cli.output import safe


def demo(
    home: Annotated[Path, typer.Option(help="Folder for all files of this demo.")] = Path("demo-home"),
    once: Annotated[bool, typer.Option("--once", help="Stop everything after the summary is printed.")] = False,
    flows: Annotated[int, typer.Option(min=2_000, max=2_000_000, help="Flows a day of the synthetic site.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthetic site.")] = 7,
) -> None:
    """Run the whole pipeline: sensor, pull, lake, train, drift, live scoring, report."""
    from mlids.demo.run import Demo, show_summary
    from mlids.demo.stack import check_installed

    check_installed()

    def say(message: str) -> None:
        print(safe(message), flush=True)

    ended = threading.Event()

    def interrupt(*_: object) -> None:
        if ended.is_set():
            return  # a second signal: already stopping
        ended.set()
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGTERM, signal.SIGINT)}
    run = Demo(home, flows=flows, seed=seed, say=say)
    try:
        summary = run.run()
        assert run.stack is not None
        show_summary(summary, run.stack.password)
        if not once:
            say("everything keeps running; press Ctrl-C to stop")
            while True:
                run.stack.check()
                time.sleep(2.0)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        ended.set()
        run.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    if not once:
        sys.exit(0)
