"""`python health.py URL [COMPONENT]`: exit code 0 when URL answers 200 and, if named, Airflow's COMPONENT is healthy."""

import json
import sys
import urllib.request


def healthy(url: str, component: str | None = None) -> bool:
    """Return whether the URL answers 200 within 5 s, and Airflow's answer calls the component healthy."""
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the compose file's own addresses
        return component is None or bool(json.load(answer)[component]["status"] == "healthy")


if __name__ == "__main__":
    sys.exit(not healthy(*sys.argv[1:]))
