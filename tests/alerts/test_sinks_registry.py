"""The registry of sinks: by name, from this package and from outside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.alerts.sinks import registry
from mlids.alerts.sinks.base import Document, Refused
from mlids.errors import SettingsError
from mlids.settings import Settings, load_settings
from tests.support.alerts import alert

# A sink of another package, as docs/extending.md describes it.
MODULE = """
from mlids.alerts.sinks.base import Refused

class TextSink:
    name = "text"

    def __init__(self, path):
        self._path = path

    def write(self, documents):
        with self._path.open("a") as out:
            out.writelines(f"{d['src']} {d['event']['id']}\\n" for d in documents)
        return []

    def close(self):
        pass

def open_sink(settings):
    return TextSink(settings.home / "alerts.txt")
"""
METADATA = "Metadata-Version: 2.1\nName: mlids-text\nVersion: 1.0\n"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with an installed package; entry points are written by the test."""
    folder = tmp_path / "site"
    info = folder / "mlids_text-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "mlids_text.py").write_text(MODULE)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[mlids.sinks]\ntext = mlids_text:open_sink\n")
    monkeypatch.syspath_prepend(str(folder))
    yield info
    sys.modules.pop("mlids_text", None)


def test_sink_of_another_package_receives_alerts(home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "text,jsonl")
    assert registry.sink_names() == ["csv", "elasticsearch", "jsonl", "sqlite", "text"]
    delivery = pipeline.stores.open_delivery(load_settings(), "live")
    delivery.send([alert(1), alert(2)], lambda *_: False)
    delivery.close()
    assert (home / "alerts.txt").read_text() == f"10.0.0.1 {alert(1).id}\n10.0.0.2 {alert(2).id}\n"
    assert (home / "alerts" / "alerts-2026-11-20.jsonl").exists()


def test_sink_that_cannot_be_imported_is_named_with_its_package(home: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (outside / "entry_points.txt").write_text("[mlids.sinks]\ntext = mlids_text:nothing\n")
    monkeypatch.setenv("MLIDS_SINKS", "text")
    with pytest.raises(SettingsError, match=r"text of mlids-text \(mlids_text:nothing\) cannot be loaded: .*; fix or uninstall mlids-text"):
        pipeline.open_sinks(load_settings())
    monkeypatch.setenv("MLIDS_SINKS", "jsonl")
    assert [s.name for s in pipeline.open_sinks(load_settings())] == ["jsonl"], "a sink that is not used is not imported"


class ListSink:
    """Keeps the alerts of a test."""

    name = "list"

    def __init__(self, settings: Settings) -> None:
        self.documents: list[Document] = []

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        self.documents += documents
        return []

    def close(self) -> None:
        pass


@pytest.fixture
def list_sink() -> Iterator[None]:
    registry.register_sink("list", ListSink)
    yield
    registry.unregister_sink("list")


def test_registered_sink_is_opened_by_its_name(home: Path, list_sink: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "sqlite, list")
    (sink,) = pipeline.open_sinks(load_settings())
    assert isinstance(sink, ListSink)


def test_unknown_sink_and_missing_setting_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_SINKS", "jsonl,kafka")
    with pytest.raises(SettingsError, match=r"sinks: \['kafka'\] are unknown; use csv, elasticsearch, jsonl, sqlite in MLIDS_SINKS"):
        pipeline.open_sinks(load_settings())
    monkeypatch.setenv("MLIDS_SINKS", "elasticsearch")
    with pytest.raises(SettingsError, match="alerts go to Elasticsearch, so MLIDS_ELASTIC_URL must be set"):
        pipeline.open_sinks(load_settings())
    found = {f.part: f for f in pipeline.doctor()}
    assert not found["sinks"].well and "MLIDS_ELASTIC_URL" in found["sinks"].text


def test_names_are_known_without_importing_a_sink() -> None:
    script = (
        "import sys; from mlids.alerts.sinks.registry import sink_names; names = sink_names(); "
        "print(names, [m for m in sys.modules if m in {'elasticsearch', 'mlids.alerts.sinks.jsonl', 'mlids.alerts.sinks.elasticsearch'}])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "['csv', 'elasticsearch', 'jsonl', 'sqlite'] []\n"
