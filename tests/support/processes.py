"""Processes of a test and their sockets; processes may end while they are looked at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import psutil


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; empty when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        head = psutil.Process(pid)
        return [head, *head.children(recursive=True)]
    return []


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Return address and port of every listening TCP socket; processes that have ended have none."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found |= {(c.laddr.ip, c.laddr.port) for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    return found


def arguments(process: psutil.Process) -> list[str]:
    """Return the command line of a process; empty when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()
    return []


def running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run; zombies do not."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def with_argument(text: str) -> list[psutil.Process]:
    """Return the processes of this machine with a text in their command line."""
    return [p for p in psutil.process_iter(["cmdline"]) if text in " ".join(p.info["cmdline"] or [])]


def sessions() -> set[int]:
    """Return the session ids of all processes of this machine."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            found.add(os.getsid(process.pid))
    return found
