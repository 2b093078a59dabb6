"""What a sink is: it takes alert documents, and when `write` returns they are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mlids.settings import Settings

Document = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """A document that a sink will never accept, and why."""

    document: Document
    reason: str


class Sink(Protocol):
    """Stores alert documents. A document's `event.id` identifies it: the same alert written twice is stored once.

    A sink is used by one thread. `name` appears in messages and dead letters.
    """

    name: str

    def write(self, documents: Sequence[Document]) -> list[Refused]:
        """Store the documents and return those refused for good, which become dead letters.

        Raises StoreError when a later attempt may succeed; the whole batch is then written again. Raises DeniedError
        when a person must first change credentials or rights: the sink is then stopped, and scoring goes on.
        """

    def close(self) -> None:
        """Release connections and files. A sink may be closed twice."""


@runtime_checkable
class Checked(Protocol):
    """A sink that can be asked whether it would take alerts."""

    def check(self) -> str:
        """Return one line for `mlids doctor`. Raises DeniedError or StoreError when alerts would not be taken."""


@runtime_checkable
class Templated(Protocol):
    """A sink whose server must first have templates, which an admin installs."""

    def templates(self) -> tuple[bool, str]:
        """Return whether they are there, as far as the sink can see, and one line for `mlids doctor`. Raises StoreError without an answer."""


@runtime_checkable
class TakesHealth(Protocol):
    """A sink that also takes documents about the pipeline itself, apart from alerts."""

    def write_health(self, documents: Sequence[Document]) -> list[Refused]:
        """Store the documents, each once by its `event.id`, and return those refused for good. Raises what `write` does."""


# Builds a sink: `open_sink` in the sink's module. Raises SettingsError when a setting is missing, and connects to nothing yet.
SinkFactory = Callable[[Settings], Sink]
