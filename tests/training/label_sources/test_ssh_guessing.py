"""Labels from ssh.log and intel.log: sessions of guessers, and conns to what a list names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from mlids.training.label_sources.intel import IntelLabels
from mlids.training.label_sources.ssh_guessing import SshGuessingLabels


def sessions(at: datetime, results: Sequence[bool | None], attempts: int = 3, first: int = 0) -> pl.DataFrame:
    """Return a session a minute of 10.0.0.9 with 10.0.1.1, with the uids of the conns from `first` on."""
    n = len(results)
    return pl.DataFrame(
        {
            "ts": [at + timedelta(minutes=first + i) for i in range(n)], "uid": [f"C{first + i}" for i in range(n)], "id.orig_h": ["10.0.0.9"] * n,
            "id.resp_h": ["10.0.1.1"] * n, "auth_success": list(results), "auth_attempts": [attempts] * n,
        },
        schema_overrides={"auth_success": pl.Boolean, "ts": pl.Datetime("us", "UTC")},
    )  # fmt: skip


def labelled(source: SshGuessingLabels | IntelLabels, conns: pl.DataFrame) -> dict[str, str]:
    """Return the labels by uid."""
    return dict(conns.with_columns(label=source.labels(conns)).drop_nulls("label").select("uid", "label").iter_rows())


def test_guesses_and_the_login_after_them_are_labelled(conns: pl.DataFrame, noon: datetime) -> None:
    source = SshGuessingLabels()
    log = sessions(noon, [False] * 35 + [None, True])
    for batch in (log.head(10), log.slice(10)):
        source.add(batch)
    assert labelled(source, conns) == {f"C{i}": "brute_force" for i in (*range(35), 36)}


def test_few_failures_jobs_and_hosts_that_log_in_before_get_no_label(conns: pl.DataFrame, noon: datetime) -> None:
    for log in (
        sessions(noon, [False] * 29 + [True]), sessions(noon, [False] * 60, attempts=1), sessions(noon, [True] + [False] * 40), sessions(noon, [None] * 60),
        pl.DataFrame({"uid": ["C1"], "auth_success": [False]}),
    ):  # fmt: skip
        source = SshGuessingLabels()
        source.add(log)
        assert labelled(source, conns) == {}


def test_hits_of_a_list_are_labelled_unless_it_names_the_originator(conns: pl.DataFrame) -> None:
    source = IntelLabels()
    source.add(pl.DataFrame({"uid": ["C3", "C4", None, "C5"], "seen.where": ["DNS::IN_REQUEST", "Conn::IN_ORIG", "Conn::IN_RESP", None]}))
    source.add(pl.DataFrame({"uid": ["C6"]}))
    assert labelled(source, conns) == {"C3": "command_and_control"}
    assert labelled(IntelLabels(), conns) == {}
