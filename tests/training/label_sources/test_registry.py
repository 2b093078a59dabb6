"""A label source from outside the package: the example in docs/extending.md gives labels of a snapshot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

from mlids.errors import SettingsError
from mlids.ingest.lake import Lake
from mlids.training.label_sources.base import LabelSource
from mlids.training.label_sources.registry import label_source_types, register_label_source, unregister_label_source
from mlids.training.snapshot import take_snapshot
from tests.conftest import ROOT

DAY = date(2026, 11, 4)


@pytest.fixture
def documented() -> Iterator[type[LabelSource]]:
    """The class that the section "A label source" of docs/extending.md shows, registered."""
    section = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("\n## A label source\n")[1].split("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "acme.inventory"}
    exec(code[1], names)
    source: type[LabelSource] = names["LABEL_SOURCE"]
    register_label_source(source)
    yield source
    unregister_label_source(source)


def test_sources_are_ordered_by_priority() -> None:
    assert [s.name for s in label_source_types()] == ["verdict", "case", "notice", "ssh_guessing", "intel"]


def test_a_source_from_outside_labels_a_snapshot(documented: type[LabelSource], synthetic_site: Path, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    lake.ingest("hq", DAY, sorted((synthetic_site / DAY.isoformat()).glob("conn.*")))
    conns = pl.concat(list(lake.batches("conn", "hq", [DAY])))
    software = tmp_path / "software.log"
    hosts = conns.filter(pl.col("id.orig_h").str.starts_with("10."))["id.orig_h"].value_counts(sort=True)["id.orig_h"].to_list()
    fields = "#fields\tts\thost\tsoftware_type\tname\n#types\ttime\taddr\tenum\tstring\n"
    software.write_text("#separator \\x09\n#path\tsoftware\n" + fields + f"1793750400.0\t{hosts[0]}\tHTTP::BROWSER\tNessus\n")
    lake.ingest("hq", DAY, [software])
    info = take_snapshot(lake, tmp_path / "snapshots", ["hq"], [DAY])
    assert info.label_sources[documented.name] > 20
    rows = pl.read_parquet(tmp_path / "snapshots" / info.id / "rows.parquet")
    assert set(rows.filter(pl.col("source") == documented.name)["label"]) == {"benign"}


@pytest.mark.parametrize(("name", "why"), [("notice", "declared twice"), ("implanted", "reserved")])
def test_a_name_that_is_taken_is_an_error(name: str, why: str) -> None:
    class Taken:
        name: ClassVar[str]
        priority: ClassVar[int] = 1
        log: ClassVar[str | None] = None
        fields: ClassVar[tuple[str, ...]] = ()

        def add(self, rows: pl.DataFrame) -> None:
            """Read nothing."""

        def labels(self, conns: pl.DataFrame) -> pl.Series:
            return pl.Series([None], dtype=pl.String).new_from_index(0, conns.height)

    Taken.name = name
    register_label_source(Taken)
    try:
        with pytest.raises(SettingsError, match=why):
            label_source_types()
    finally:
        unregister_label_source(Taken)
