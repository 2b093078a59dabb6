"""Finds what ships beside the package: DAGs, plugins and report templates, in a checkout or in the wheel."""

from __future__ import annotations

from pathlib import Path

from mlids.errors import StackError


def asset_folder(name: str) -> Path:
    """Return `dags`, `plugins` or `reports_templates`. Raises StackError when it is not installed."""
    here = Path(__file__).resolve().parent
    for root in (here / "_site", here.parent):
        if (root / name).is_dir():
            return root / name
    raise StackError(f"the folder {name} is not installed; install mlids from its wheel or work in a checkout")
