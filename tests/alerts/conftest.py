"""A secured Elasticsearch node that speaks HTTPS, and the settings of a writer and an admin for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.es_node import ElasticsearchNode


@pytest.fixture(scope="package")
def secured() -> Iterator[ElasticsearchNode]:
    """One node for the tests of installation and of backfill; `weak` may manage index templates but nothing else."""
    running = ElasticsearchNode({"weak": (["manage_index_templates"], ["read"]), "reader": ([], ["read"])}, tls=True).start()
    end = time.monotonic() + 60
    while True:  # after its start the node makes the index of its roles
        try:
            running.ask("PUT", "/_security/role/none-of-mlids", {"cluster": ["monitor"]})
            running.ask("GET", "/_security/role")
            break
        except OSError:
            assert time.monotonic() < end, "the node has no roles"
            time.sleep(0.2)
    yield running
    running.stop()


def wipe(node: ElasticsearchNode) -> None:
    """Remove all of mlids from a node."""
    for index in node.ask("GET", "/mlids*,site-*?expand_wildcards=all"):
        node.ask("DELETE", f"/{index}")
    for kind in ("index_template", "component_template"):
        for template in node.ask("GET", f"/_{kind}")[f"{kind}s"]:
            if template["name"].startswith("mlids"):
                node.ask("DELETE", f"/_{kind}/{template['name']}")
    for policy in node.ask("GET", "/_ilm/policy"):
        node.ask("DELETE", f"/_ilm/policy/{policy}")
    for name in ("mlids-writer", "mlids-reader"):
        if name in node.ask("GET", "/_security/role"):
            node.ask("DELETE", f"/_security/role/{name}")
    node.ask("DELETE", "/_security/api_key", {"username": "admin"})


@pytest.fixture
def clean(secured: ElasticsearchNode, home: Path, monkeypatch: pytest.MonkeyPatch) -> ElasticsearchNode:
    """The node without anything of mlids in it, and settings of its admin in the environment."""
    wipe(secured)
    monkeypatch.setenv("MLIDS_ELASTIC_URL", f"https://127.0.0.1:{secured.port}")
    monkeypatch.setenv("MLIDS_ELASTIC_CA_FILE", str(secured.ca_file))
    monkeypatch.setenv("MLIDS_ELASTIC_ADMIN_USER", "admin")
    monkeypatch.setenv("MLIDS_ELASTIC_ADMIN_PASSWORD", "admin")
    monkeypatch.setenv("MLIDS_SINKS", "elasticsearch")
    return secured
