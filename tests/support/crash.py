"""A reader of logs that crashes as native code does, in every process of a test: found by Python at its start on PYTHONPATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# A line that holds this ends the process that parses it.
CRASH = "CRASHME"

_SITECUSTOMIZE = f"""
import importlib.abc, importlib.util, os, signal, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "mlids.zeek.tsv":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            parse = module.parse_table

            def parse_table(data, *rest):
                if b"{CRASH}" in data:
                    os.kill(os.getpid(), signal.SIGSEGV)
                return parse(data, *rest)

            module.parse_table = parse_table

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def crashing_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the reader of tables crash at CRASH in every process that is started from now on."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{path}" if path else str(folder))
