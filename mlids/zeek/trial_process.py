"""`python -m mlids.zeek.trial_process`: reads pieces of logs, each in a forked process, and says which of them ended it.

`mlids.zeek.trial` starts it; it ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from mlids.errors import MlidsError
from mlids.zeek.reader import LogReader
from mlids.zeek.trial import signal_name

# A piece takes some 20 ms; one that takes this long is put aside like one that ends the reader.
TRIAL_S = 20
_FAILED = 1


def _main(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until their end. A forked process reads each piece; polars has no threads before its first use."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that asks, and then this one
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            os.close(receive)
            _read(request, data, send)
        os.close(send)
        with os.fdopen(receive, "rb") as pipe:
            form = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answers.write(json.dumps({"form": json.loads(form) if code == 0 else {}, "reason": _reason(code)}).encode() + b"\n")
        answers.flush()


def _read(request: dict[str, Any], data: bytes, send: int) -> None:
    """Read a piece, write the format after it, and end this process."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(TRIAL_S)
    code = _FAILED
    try:
        reader = LogReader(Path(request["name"]), log=request["log"])
        if request["form"]:
            reader.restore_form(request["form"])
        with suppress(MlidsError):  # a line that is no log, which the caller reports
            for _ in reader.feed(data):
                pass
        os.write(send, json.dumps(reader.form()).encode())
        code = 0
    finally:
        os._exit(code)


def _reason(code: int) -> str | None:
    if code == 0:
        return None
    if code == -signal.SIGALRM:
        return f"reading it took longer than {TRIAL_S} s"
    return f"reading it ended the reader ({signal_name(code)})" if code < 0 else "reading it made the reader fail"


if __name__ == "__main__":
    _main(sys.stdin.buffer, sys.stdout.buffer)
