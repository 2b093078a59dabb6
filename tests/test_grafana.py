"""deploy/grafana: what it reads exists at /metrics and in the JSON lines, a real Prometheus takes its queries, and the files have the form of their programs."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlids.alerts.sinks.csv import CsvSink
from mlids.alerts.sinks.jsonl import JsonLinesSink
from mlids.pipeline.health import MetricsServer
from mlids.scoring.status import LATENCY_BOUNDS_S, ScorerState, Status
from tests.conftest import ROOT, free_port, need_program
from tests.support.alerts import alert

FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS = {p.stem: json.loads(p.read_text()) for p in sorted((FOLDER / "dashboards").glob("*.json"))}
PANELS = [(name, p) for name, d in DASHBOARDS.items() for p in d["panels"]]
# Grafana's own variables, and what it puts in their place.
VARIABLES = {"$__range": "1h", "$__auto": "5m", "$sensor": ".*"}
PROMQL = [t["expr"] for _, p in PANELS for t in p["targets"] if t["datasource"]["type"] == "prometheus"]
LOGQL = [t["expr"] for _, p in PANELS for t in p["targets"] if t["datasource"]["type"] == "loki"]
RULES = [r["expr"] for r in yaml.safe_load((FOLDER / "prometheus-rules.yml").read_text())["groups"][0]["rules"]]


def filled(expression: str) -> str:
    """Return a query with values for Grafana's variables."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


@pytest.fixture(scope="module")
def metrics() -> Iterator[int]:
    """The port of /metrics with a scorer that uses every metric."""
    status = Status(
        "hq", ScorerState.FOLLOWING, model_version="3", rows=500, rejected=2, alerts=7, errors=1, dead_letters=3, lag_s=0.4, rows_per_s=90.0,
        last_row_ts="2026-11-20T12:00:00+00:00", latency_counts=[1] * (len(LATENCY_BOUNDS_S) + 1), latency_sum_s=99.0,
        stopped_sinks={"elasticsearch": "no"}, other_logs={"logs": {"dns": {"rows": 9}}, "error": "no permission"},
    )  # fmt: skip
    with MetricsServer(lambda: [status], "127.0.0.1", 0) as server:
        yield server.port


@pytest.fixture(scope="module")
def samples(metrics: int) -> dict[str, set[str]]:
    """The labels of each sample at /metrics, by its name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_metric_of_dashboards_and_rules_exists_with_its_labels(samples: dict[str, set[str]]) -> None:
    used = set()
    for expression in [*PROMQL, *RULES]:
        for name, matchers in re.findall(r"\b(mlids_\w+)(\{[^}]*\})?", expression):
            used.add(name)
            assert name in samples, f"{name} of {expression}"
            assert set(re.findall(r"(\w+)[=!]~?", matchers)) <= samples[name], expression
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            names = re.findall(r"mlids_\w+", expression)
            assert set(labels.replace(" ", "").split(",")) <= samples[names[0]], expression
    unused = {n for n in samples if n.startswith("mlids_") and not n.endswith("_created")} - used
    assert unused == {"mlids_rows_per_second", "mlids_last_row_timestamp_seconds"}, "the rate of the rows, and the lag, are shown instead"


def test_every_field_of_the_alerts_that_is_read_exists(tmp_path: Path) -> None:
    JsonLinesSink(tmp_path).write([alert(1).document()])
    document = json.loads(next(tmp_path.glob("*.jsonl")).read_text())

    def there(path: str) -> bool:
        at: Any = document
        for name in path.split("."):
            if not isinstance(at, dict) or name not in at:
                return False
            at = at[name]
        return True

    fields = {f for e in LOGQL for f in re.findall(r'\w+="([\w.]+)"', "".join(re.findall(r"\| json ([^|\[]*)", e)))}
    fields |= set(re.findall(r'= "([\w.]+)",\n', (FOLDER / "config.alloy").read_text().partition("expressions")[2].partition("}")[0]))
    (stage,) = [s["json"] for s in promtail()["scrape_configs"][0]["pipeline_stages"] if "json" in s]
    fields |= set(stage["expressions"].values())
    assert len(fields) >= 9 and not [f for f in fields if not there(f)]
    assert there("threat.technique.id") and not there("threat.technique.ids")


def promtail() -> Any:
    """Return Promtail's configuration."""
    return yaml.safe_load((FOLDER / "promtail.yaml").read_text())


def test_both_shippers_read_the_same_files_and_make_the_labels_that_are_queried(tmp_path: Path) -> None:
    alloy = (FOLDER / "config.alloy").read_text()
    (scrape,) = promtail()["scrape_configs"]
    labels = scrape["static_configs"][0]["labels"]
    assert f'"__path__" = "{labels["__path__"]}"' in alloy and labels["__path__"].endswith("/alerts/alerts-*.jsonl")
    made = {"job", *next(s["labels"] for s in scrape["pipeline_stages"] if "labels" in s)}
    assert made == {"job", "sensor", "kind"} and all(f"{n} = " in alloy or f'"{n}" = ' in alloy or f"{n}   = " in alloy for n in made)
    matched = {n for e in LOGQL for n in re.findall(r"(\w+)[=!]~?\"", re.findall(r"\{([^}]*)\}", e)[0])}
    assert matched <= made
    assert alloy.count("{") == alloy.count("}") and alloy.count("(") == alloy.count(")")
    blocks = {name.rpartition(" ")[0] for name in re.findall(r"^([\w.]+ \"mlids\") \{", alloy, re.MULTILINE)}
    assert blocks == {"local.file_match", "loki.source.file", "loki.process", "loki.write"}
    referred = {m.rpartition(".mlids")[0] for m in re.findall(r"([\w.]+\.mlids)\.(?:targets|receiver)", alloy)}
    assert referred <= blocks, "each component that is referred to is declared"


def test_dashboards_have_the_form_that_grafana_provisions() -> None:
    sources = {d["uid"]: d["type"] for d in provisioned("datasources")["datasources"]}
    assert sources == {"mlids-loki": "loki", "mlids-prometheus": "prometheus"}
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["type"] == "file" and provider["options"]["path"]
    assert len({d["uid"] for d in DASHBOARDS.values()}) == len(DASHBOARDS) == 2
    for name, d in DASHBOARDS.items():
        assert d["uid"] == name and d["title"] and d["schemaVersion"] >= 36 and "id" not in d, "an id belongs to one Grafana only"
        assert len({p["id"] for p in d["panels"]}) == len(d["panels"])
        taken: set[tuple[int, int]] = set()
        for p in d["panels"]:
            at = p["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24 and not cells & taken, f"{name}: {p['title']} lies over another"
            taken |= cells
            for t in p["targets"]:
                assert sources[t["datasource"]["uid"]] == t["datasource"]["type"] and t["expr"], f"{name}: {p['title']}"
            assert len({t["refId"] for t in p["targets"]}) == len(p["targets"])


def provisioned(kind: str) -> Any:
    """Return a file of Grafana's provisioning."""
    found = yaml.safe_load((FOLDER / "provisioning" / kind / "mlids.yaml").read_text())
    assert found["apiVersion"] == 1
    return found


def test_the_query_for_csv_names_the_columns_of_the_file(tmp_path: Path) -> None:
    CsvSink(tmp_path).write([alert(1).document()])
    header = next(tmp_path.glob("*.csv")).read_text().splitlines()[0]
    documented = re.search(r"\| pattern `([^`]+)`", (ROOT / "docs" / "grafana.md").read_text())
    assert documented is not None and documented[1] == ",".join(f"<{c}>" for c in header.split(","))


@pytest.fixture(scope="module")
def prometheus(metrics: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real Prometheus that scrapes the metrics, with our configuration and rules; only target and interval differ."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{metrics}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "prometheus-rules.yml").write_text((FOLDER / "prometheus-rules.yml").read_text())
    program = need_program("prometheus", "prometheus")
    command = [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        url, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
        try:
            while not _ready(url):
                assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.2)
            yield url
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        return len(ask(url, "/api/v1/query", query="mlids_build_info")["result"]) == 1
    except OSError:
        return False


def ask(url: str, path: str, **query: str) -> Any:
    """Return the data of an answer of Prometheus. Raises OSError when it refuses."""
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]


def test_a_real_prometheus_answers_every_query_of_the_dashboard(prometheus: str) -> None:
    end = time.monotonic() + 30
    while not ask(prometheus, "/api/v1/query", query="rate(mlids_rows_total[5m])")["result"]:  # needs two scrapes
        assert time.monotonic() < end
        time.sleep(0.3)
    empty = [e for e in PROMQL if not ask(prometheus, "/api/v1/query", query=filled(e))["result"]]
    assert len(PROMQL) > 15 and not empty, "\n".join(empty)
    assert (
        float(
            ask(prometheus, "/api/v1/query", query="histogram_quantile(0.5, mlids_scoring_latency_seconds_bucket)")["result"][0]["value"][1]
        )
        > 0
    )


def test_a_real_prometheus_takes_the_rules(prometheus: str) -> None:
    (group,) = ask(prometheus, "/api/v1/rules")["groups"]
    assert len(group["rules"]) == len(RULES) == 5 and {r["health"] for r in group["rules"]} <= {"ok", "unknown"}
    assert ask(prometheus, "/api/v1/query", query="mlids_sink_stopped == 1")["result"][0]["metric"]["sink"] == "elasticsearch"
    program = need_program("promtool", "prometheus")
    done = subprocess.run([program, "check", "config", FOLDER / "prometheus.yml"], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "5 rules found" in done.stdout, done.stdout + done.stderr
