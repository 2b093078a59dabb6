"""Names of vendors whose services ordinary hosts call by themselves: updates, push, telemetry, time, certificates.

`vendors.txt` is a short list of registered domains from the vendors' own documents on which names a firewall must allow. Domains
where anyone can rent a host or a page (clouds, content delivery, code hosting) are not in it. It is no list of good names: what a
name here hides is found by its other evidence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def vendors() -> frozenset[str]:
    """Return the registered domains."""
    return frozenset(Path(__file__).with_name("vendors.txt").read_text("utf-8").split())


def is_upkeep(name: str) -> bool:
    """Return whether a host name belongs to one of the vendors."""
    return ".".join(name.lower().rstrip(".").split(".")[-2:]) in vendors()
