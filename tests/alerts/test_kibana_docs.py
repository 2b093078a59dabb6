"""The five steps of docs/kibana.md, as they are written there: on a real node, and on the double of Kibana that asks it who signs in."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.support.es_node import ElasticsearchNode
from tests.support.kibana import KibanaDouble

STEPS = re.split(r"^(?=\d\. )", (ROOT / "docs" / "kibana.md").read_text().partition("\n## What there is")[0], flags=re.MULTILINE)[1:]


def block(step: str, language: str) -> str:
    """Return the block of a step in a language."""
    found = re.search(rf"^   ```{language}\n(.*?)^   ```", step, re.DOTALL | re.MULTILINE)
    assert found is not None, step
    return found[1]


def first_step(node: ElasticsearchNode) -> Any:
    """Return the answer to the request of the first step."""
    request, _, body = block(STEPS[0], "http").strip().partition("\n")
    method, path = request.split()
    return node.ask(method, path, json.loads(body))


def test_the_five_steps_lead_from_a_key_to_the_dashboard(clean: ElasticsearchNode, tmp_path: Path) -> None:
    from elasticsearch import Elasticsearch

    assert len(STEPS) == 5
    made = first_step(clean)

    def signs_in(authorization: str) -> bool:
        client = Elasticsearch(f"https://127.0.0.1:{clean.port}", ca_certs=str(clean.ca_file))
        try:
            client.perform_request(
                "GET", "/_security/_authenticate", headers={"accept": "application/json", "authorization": authorization}
            )
            return True
        except Exception:
            return False
        finally:
            client.close()

    with KibanaDouble(accepts=signs_in) as kibana:
        # The blocks run one after another in one shell, as a person would type them.
        script = (
            "".join(block(s, "sh") for s in STEPS[1:4])
            .replace("https://kibana.example:5601", kibana.url)
            .replace("ENCODED", made["encoded"])
        )
        assert script.count("mlids kibana") == 2
        env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MLIDS_HOME": str(tmp_path)}
        done = subprocess.run(["bash", "-eu"], input=script, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(": imported") == 9 and done.stdout.count(": there\n") == 10
        opened = re.search(r"app/dashboards#/view/([\w-]+)`", STEPS[4])
        assert opened is not None and ("dashboard", opened[1]) in kibana.objects
        rule = re.search(r"rule \*([^*]+)\*", STEPS[4])
        assert rule is not None and [r["name"] for r in kibana.rules.values()] == [rule[1]]
        assert made["encoded"] not in done.stdout + done.stderr


def test_the_key_of_the_first_step_reads_alerts_and_writes_none(clean: ElasticsearchNode) -> None:
    key = first_step(clean)["encoded"]
    asked = {"index": [{"names": ["mlids-2026.11.20", "mlids.health-2026.11.20"], "privileges": ["read", "index", "delete_index"]}]}
    call = urllib.request.Request(
        f"https://127.0.0.1:{clean.port}/_security/user/_has_privileges", json.dumps(asked).encode(),
        {"Authorization": f"ApiKey {key}", "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(call, timeout=20, context=ssl.create_default_context(cafile=clean.ca_file)) as answer:
        found = json.load(answer)["index"]
    assert all(may == {"read": True, "index": False, "delete_index": False} for may in found.values())
