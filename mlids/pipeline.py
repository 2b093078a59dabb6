"""The composition root: reads settings, builds stores, chains stages. What the DAGs and the command line call."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from mlids.detectors.bundle import Bundle, Model
from mlids.errors import InputError, ModelError


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return the networks, checked. Raises InputError naming the one that is no CIDR."""
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise InputError(f"{network!r} is not a network: {error} (write it as 192.0.2.0/24)") from None
    return tuple(networks)


def open_model(reference: str) -> Model:
    """Return the model that a file, a folder or a `models:/…` URI names."""
    if reference.startswith(("models:/", "runs:/")):
        raise ModelError("later")
    path = Path(reference)
    if path.is_dir():
        found = sorted(path.rglob("*.onnx"))
        if not found:
            raise ModelError(f"{path}: no .onnx file in it")
        path = found[0]
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    return Bundle(path.read_bytes())
