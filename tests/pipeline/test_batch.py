"""Commands without a home: synthetic logs, evaluation without captures, networks that are not valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlids import pipeline
from mlids.errors import InputError
from mlids.synth.archive import load_labels


def test_synthetic_logs_have_labels_beside_them(tmp_path: Path) -> None:
    out = tmp_path / "logs"
    days = list(pipeline.write_synthetic_logs(out, first="2026-11-02", days=2, flows=500, attacks_per_day=1.5, form="json"))
    assert [d["day"] for d in days] == ["2026-11-02", "2026-11-03"] and all(d["conns"] > 300 for d in days)
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["2026-11-02", "2026-11-03"]
    labels = load_labels(tmp_path / "logs-labels.jsonl")
    assert [p.attack for p in labels] == [a for d in days for a in d["attacks"]]
    assert json.loads((tmp_path / "logs-labels.jsonl").read_text().splitlines()[0])["attack"] == labels[0].attack


def test_arguments_that_are_not_valid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tsv or json"):
        next(pipeline.write_synthetic_logs(tmp_path, first="2026-11-02", days=1, flows=500, attacks_per_day=0, form="xml"))
    with pytest.raises(InputError, match="--leave-one-out"):
        pipeline.evaluate([Path("a.log")], [], [])
    with pytest.raises(InputError, match="is not a network"):
        pipeline.score_logs([tmp_path], networks=["10.0.0.0/99"])


def test_only_the_chosen_logs_are_written_and_conn_log_always(tmp_path: Path) -> None:
    kind = {"first": "2026-11-02", "days": 1, "flows": 500, "attacks_per_day": 0.0}
    assert list(pipeline.write_synthetic_logs(tmp_path / "few", logs="dns, ssl", **kind))  # type: ignore[arg-type]
    assert {p.name.split(".")[0] for p in (tmp_path / "few").glob("*/*")} == {"conn", "dns", "ssl"}
    (day,) = pipeline.write_synthetic_logs(tmp_path / "conn", logs="conn", intrusions_per_day=5, **kind)  # type: ignore[arg-type]
    assert len(day["attacks"]) == 5
    assert {p.name.split(".")[0] for p in (tmp_path / "conn").glob("*/*")} == {"conn"}
    with pytest.raises(InputError, match=r"--logs ftp: a synthetic site has conn, dns, http"):
        next(pipeline.write_synthetic_logs(tmp_path, logs="dns,ftp", **kind))  # type: ignore[arg-type]
