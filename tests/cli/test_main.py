"""The entry point: version, shell completion, and errors without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlids import __version__
from tests.conftest import ROOT

ENTRY = "import sys; sys.argv[0] = 'mlids'; from mlids.cli.__main__ import main; main()"


def mlids(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_version_is_the_one_of_the_package() -> None:
    assert mlids("--version").stdout == f"mlids {__version__}\n"


@pytest.mark.parametrize(("words", "expected"), [("mlids re", {"report", "reconcile"}), ("mlids alerts un", {"unsuppress"})])
def test_shell_completion_offers_commands(words: str, expected: set[str]) -> None:
    done = mlids(_MLIDS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")))
    assert set(done.stdout.split()) == expected, done.stderr


def test_shell_completion_script_is_printed() -> None:
    done = mlids("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0 and "complete -o default -F _mlids_completion mlids" in done.stdout, done.stderr


def test_error_for_a_person_has_no_traceback() -> None:
    done = mlids("score", "/no/such/conn.log")
    assert done.returncode == 2 and done.stderr.startswith("mlids: ") and "Traceback" not in done.stderr


def test_unknown_command_is_a_usage_error() -> None:
    done = mlids("scroe")
    assert done.returncode == 2 and "score" in done.stderr
