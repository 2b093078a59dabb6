"""The seal of a registered model: the SHA-256 of its graph and an HMAC, made with a key that only trainer and scorer read.

Whoever reaches MLflow can exchange a version's files and its tags, but cannot make an HMAC for them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlids.errors import ModelError, SettingsError, os_fault
from mlids.files import write_atomic
from mlids.locks import locked

DIGEST_TAG, HMAC_TAG = "mlids.sha256", "mlids.hmac"
LEAST_KEY_LENGTH = 32  # characters: 128 bits in hexadecimal


def digest_of(graph: bytes) -> str:
    """Return the SHA-256 of a graph, hexadecimal."""
    return hashlib.sha256(graph).hexdigest()


@dataclass(frozen=True)
class SealKey:
    """The key of a site's seals; `shown` says where it is from."""

    secret: bytes
    shown: str

    def __repr__(self) -> str:
        return f"SealKey({self.shown})"

    def tags(self, name: str, version: str, graph: bytes) -> dict[str, str]:
        """Return the tags that seal a graph as one version of one registered model."""
        digest = digest_of(graph)
        return {DIGEST_TAG: digest, HMAC_TAG: self._hmac(name, version, digest)}

    def check(self, name: str, version: str, graph: bytes, tags: Mapping[str, str]) -> None:
        """Return when the tags seal this graph as this version. Raises ModelError with what to do when they do not."""
        found = digest_of(graph)
        remedy = f"compare it with the file that you trust, then `mlids accept {version} --sha256 DIGEST --why TEXT`"
        if HMAC_TAG not in tags or DIGEST_TAG not in tags:
            raise ModelError(f"version {version} has no seal: it was not registered by `mlids train` here (SHA-256 {found}); {remedy}")
        if tags[DIGEST_TAG] != found:
            raise ModelError(
                f"the graph of version {version} was exchanged after it was sealed: its SHA-256 is {found}, sealed was {tags[DIGEST_TAG][:64]}"
            )
        if not hmac.compare_digest(tags[HMAC_TAG].encode(), self._hmac(name, version, found).encode()):
            raise ModelError(f"the seal of version {version} was not made with {self.shown} (SHA-256 {found}); {remedy}")

    def _hmac(self, name: str, version: str, digest: str) -> str:
        return hmac.new(self.secret, f"{name}\n{version}\n{digest}".encode(), hashlib.sha256).hexdigest()


def key_from_text(text: str, shown: str) -> SealKey:
    """Return the key of a text. Raises SettingsError when it is too short to be one."""
    secret = text.strip()
    if len(secret) < LEAST_KEY_LENGTH:
        raise SettingsError(f"{shown}: a key has at least {LEAST_KEY_LENGTH} characters; make one with `openssl rand -hex 32`")
    return SealKey(secret.encode(), shown)


def key_from_file(path: Path, *, make: bool) -> SealKey:
    """Return the key in a file; with `make`, a file that is absent is made, for its owner alone.

    Raises SettingsError when it cannot be read or made, or holds no key.
    """
    try:
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent):  # of several processes that make it, the first one wins
                if not path.exists():
                    write_atomic(path, secrets.token_hex(32) + "\n")
        return key_from_text(path.read_text(encoding="utf-8"), f"the key in {path}")
    except OSError as error:
        raise SettingsError(f"the key of the models' seals cannot be read: {os_fault(error, path)}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: the key of the models' seals cannot be read: {error}") from error
