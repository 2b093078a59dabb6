"""Who reaches MLflow can exchange a model's file, its tags and the aliases: none of these reaches a scorer."""

from __future__ import annotations

import hashlib
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlids import pipeline
from mlids.alerts.stores.audit import Move
from mlids.cli.__main__ import app
from mlids.detectors.bundle import Bundle
from mlids.detectors.onnx_graph import with_spec
from mlids.detectors.reference import load_reference
from mlids.errors import InputError, ModelError
from mlids.pipeline.registry_watch import watch_command
from mlids.scoring.live_model import ProductionModel
from mlids.settings import load_settings
from tests.hostile.conftest import Field

Say = Callable[[str], None]
ROW_4 = "any local user puts another model into MLflow, or moves an alias"


def attack(held: str) -> pytest.MarkDecorator:
    return pytest.mark.attack(row=4, attack=ROW_4, held=held)


@contextmanager
def scorers_model(field: Field) -> Iterator[ProductionModel]:
    """Give the model that the scorers of the home would use, with its real watch."""
    settings = load_settings()
    with ProductionModel(watch_command(settings.tracking_uri, settings.model_name), settings.state / "model", poll_s=0.2) as model:
        until(
            lambda: isinstance(model.current(), Bundle) or (model.error is not None and "registry has not answered" not in model.error),
            90.0,
        )  # importing MLflow takes long on a busy machine
        yield model


def until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def doctors_finding() -> str:
    """Return what `mlids doctor` says of the model; empty when it is well."""
    (found,) = (f for f in pipeline.doctor() if f.part == "model")
    return "" if found.well else found.text


def with_threshold(graph: bytes, threshold: float) -> bytes:
    return with_spec(graph, Bundle(graph).spec.as_dict() | {"threshold": threshold})


def version_in_use(field: Field) -> str | None:
    with scorers_model(field) as model:
        found = model.current()
        return found.version if found is not None else None


@attack("SHA-256 and HMAC of each version, checked before the graph is read; the last good model stays")
def test_exchanged_graph_is_refused_everywhere(field: Field, production_file: Callable[[], Path], happened: Say) -> None:
    path = production_file()
    held = field.registry.version("production")
    assert held is not None
    with scorers_model(field) as model:
        good = model.current()
        assert good is not None and good.version == held.version and model.error is None
        path.write_bytes(with_threshold(path.read_bytes(), 96.9))  # within the ranges, and passes the self-test
        said = doctors_finding()
        assert f"the graph of version {held.version} was exchanged" in said
    shutil.rmtree(load_settings().state / "model")  # a scorer of another machine, which has no last good model
    with scorers_model(field) as model:
        assert until(lambda: "was exchanged after it was sealed" in str(model.error)) and model.current() is load_reference()
        assert str(model.error).endswith("scores meanwhile")
    with pytest.raises(ModelError, match="was exchanged"):
        field.registry.load("production")
    with pytest.raises(ModelError, match="was exchanged"):
        pipeline.open_model("models:/mlids-conn@production")
    decision = pipeline.evaluate_and_promote(field.register(), field.frozen.info.id)
    assert not decision["promoted"] and "was exchanged" in decision["why"]
    happened("the exchanged model.onnx is refused by scorer, batch scoring, gate and doctor")


@attack("the HMAC covers name, version and SHA-256, with a key that MLflow never sees")
@pytest.mark.parametrize("trick", ["own digest", "tags of another version", "no tags"])
def test_tags_do_not_help_the_attacker(field: Field, production_file: Callable[[], Path], trick: str, happened: Say) -> None:
    path = production_file()
    client = field.registry._server.client
    if trick == "own digest":
        path.write_bytes(with_threshold(path.read_bytes(), 96.9))
        version = field.registry.version("production").version  # type: ignore[union-attr]
        client.set_model_version_tag("mlids-conn", version, "mlids.sha256", hashlib.sha256(path.read_bytes()).hexdigest())
    else:
        held = client.get_model_version_by_alias("mlids-conn", "production")
        tags = held.tags if trick == "tags of another version" else {}
        version = str(client.create_model_version("mlids-conn", path.parent.as_uri(), tags=tags).version)
    with pytest.raises(ModelError, match=f"version {version}"):
        field.registry.load(version)
    happened("forged and copied tags are refused")


@attack("the audit says what is in production, the alias does not; doctor, live_watch, page name the alias and the command")
def test_alias_that_moved_without_an_audit_row_is_not_followed(field: Field, happened: Say) -> None:
    weaker = field.register(threshold=95.0)  # sealed, and refused by the gate
    with scorers_model(field) as model:
        assert model.current() is not None and model.error is None
        field.registry.set_alias("production", weaker)
        assert until(lambda: f"points at version {weaker} without an audit row" in str(model.error))
        found = model.current()
        assert found is not None and found.version == "1"
        assert f"version {weaker} without an audit row" in doctors_finding() and "mlids rollback --to 1" in doctors_finding()
        page = pipeline.overview()["model"]
        assert page["version"] == "1" and "without an audit row" in page["error"]
        decision = pipeline.evaluate_and_promote(field.register(), field.frozen.info.id)
        assert not decision["promoted"] and "without an audit row" in decision["why"]
        assert pipeline.open_model("models:/mlids-conn@production").version == "1"
        done = CliRunner().invoke(app, ["rollback", "--to", "1", "--why", "somebody moved the alias"])
        assert done.exit_code == 0, done.output
        assert until(lambda: model.error is None) and doctors_finding() == ""
    last = pipeline.open_stores(load_settings()).audit.rows()[0]
    assert (last["action"], last["to_version"]) == ("rollback", "1") and f"at version {weaker}" in last["why"]
    happened("the scorer stays with the audited version and says so; `mlids rollback --to` mends it")


def test_alias_that_is_gone_is_an_fault_and_the_model_stays(field: Field) -> None:
    field.registry._server.client.delete_registered_model_alias("mlids-conn", "production")
    with scorers_model(field) as model:
        assert model.current() is not None and until(lambda: "the alias production is gone" in str(model.error))
    assert "mlids rollback --to 1" in doctors_finding()


def test_previous_that_was_never_in_production_is_not_gone_back_to(field: Field) -> None:
    field.registry.set_alias("previous", field.register(threshold=95.0))
    with pytest.raises(ModelError, match="was never in production"):
        pipeline.rollback(why="worse")


WRONG: dict[str, object] = {
    "threshold": 1000.0, "threshold of text": "95", "threshold that is no number": float("nan"), "medians": [0.0], "surprise": [[0.5, 0.6], [0.0, 0.0]],
    "classes": ["scan"], "forest_columns": [0, 9999], "conns_a_day": -1.0, "rows": -5, "example_scores": [float("inf")], "example": [1.0], "format": 1,
    "budget_per_day": float("inf"),
}  # fmt: skip


@attack("ranges of every value of a spec (mlids/detectors/model_spec.py)")
@pytest.mark.parametrize("name", WRONG)
def test_spec_out_of_its_ranges_is_refused_by_name_and_value(field: Field, name: str, happened: Say) -> None:
    value, part = WRONG[name], name.split()[0]
    spec = field.trained.spec.as_dict() | {part: value}
    with pytest.raises(ModelError, match=f"{part} is ") as refused:
        Bundle(with_spec(field.trained.graph, spec))
    shown = repr(value)
    assert shown in str(refused.value) or "list of" in str(refused.value)
    happened("refused, naming field and value")


def blinded(field: Field) -> bytes:
    """Return a graph whose trees find every row ordinary, with the highest threshold and a self-test that fits."""
    import onnx

    model = onnx.load_from_string(field.trained.graph)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "target_weights" and node.output[0] == "class_probabilities":
                ids = next(a for a in node.attribute if a.name == "target_ids").ints
                benign = field.trained.spec.classes.index("benign")
                for at in range(len(attribute.floats)):
                    attribute.floats[at] = 0.01 if ids[at] == benign else 0.0
            elif attribute.name == "target_weights":
                for at in range(len(attribute.floats)):
                    attribute.floats[at] = 100.0
    graph = model.SerializeToString()
    spec = field.trained.spec.as_dict() | {"threshold": 95.0}
    scores = Bundle(with_spec(graph, spec | {"example": [], "example_scores": []})).score(np.array([spec["example"]], np.float32))
    assert scores.attack_probability is not None
    return with_spec(graph, spec | {"example_scores": [float(scores.anomaly_score[0]), float(scores.attack_probability[0])]})


def put_by_hand(field: Field, graph: bytes, folder: Path) -> str:
    """Register a graph as somebody would who has MLflow's client; return its version."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(graph)
    return str(field.registry._server.client.create_model_version("mlids-conn", folder.as_uri()).version)


@attack("11 reference attacks of mlids, of which a third must alert at the model's threshold, before a model is used")
def test_blind_model_is_refused_even_when_a_person_accepts_it(field: Field, tmp_path: Path, happened: Say) -> None:
    graph = blinded(field)
    version = put_by_hand(field, graph, tmp_path / "blind")
    with pytest.raises(ModelError, match=r"the model is blind: with its threshold of 95 it finds \d of 15 reference attacks"):
        pipeline.accept(version, sha256=hashlib.sha256(graph).hexdigest(), why="it looks fine")
    field.registry.seal(version, graph)  # as if the key were lost too
    with pytest.raises(ModelError, match="blind"):
        field.registry.load(version)
    happened("a graph that finds nothing is refused by name: 0 of 11 reference attacks")


def test_a_person_accepts_a_model_from_elsewhere_by_its_digest(field: Field, tmp_path: Path) -> None:
    graph = with_threshold(field.trained.graph, 85.0)
    version = put_by_hand(field, graph, tmp_path / "foreign")
    with pytest.raises(ModelError, match=f"version {version} has no seal.*mlids accept {version}"):
        pipeline.rollback(to=version, why="a try")
    with pytest.raises(InputError, match="nothing was accepted"):
        pipeline.accept(version, sha256="0" * 64, why="a guess")
    digest = hashlib.sha256(graph).hexdigest()
    done = CliRunner().invoke(app, ["accept", version, "--sha256", digest, "--why", "trained at the other site"])
    assert done.exit_code == 0, done.output
    assert pipeline.rollback(to=version, why="the other site's model", who="ana")["to"] == version
    rows = pipeline.open_stores(load_settings()).audit.rows()[:2]
    assert [(r["action"], r["to_version"], r["sha256"]) for r in rows] == [("rollback", version, digest), ("accept", version, digest)]
    assert version_in_use(field) == version


def test_audited_digest_binds_also_a_version_that_was_sealed_again(field: Field) -> None:
    version = field.register(threshold=57.0)
    audit = pipeline.open_stores(load_settings()).audit
    audit.record(Move("ana", "promote", "1", version, "a test", sha256="f" * 64))
    field.registry.set_alias("production", version)
    assert "and the audit's is ffff" in doctors_finding()


def test_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    line = f"from mlids.training.seal import key_from_file; from pathlib import Path; print(key_from_file(Path({str(tmp_path / 'h' / 'bundle.key')!r}), make=True).secret.decode())"
    children = [subprocess.Popen([sys.executable, "-c", line], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    keys = {child.communicate(timeout=60)[0].strip() for child in children}
    path = tmp_path / "h" / "bundle.key"
    assert keys == {path.read_text().strip()} and len(keys.pop()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and [p.name for p in path.parent.iterdir()] == ["bundle.key"]


def test_key_of_the_environment_or_a_file_and_its_absence(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_BUNDLE_KEY_FILE", str(tmp_path / "absent"))
    with pytest.raises(Exception, match=r"the key of the models' seals cannot be read: .*absent: "):
        pipeline.open_registry(load_settings())
    (tmp_path / "absent").write_text("short\n")
    with pytest.raises(Exception, match="at least 32 characters"):
        pipeline.open_registry(load_settings())
    monkeypatch.setenv("MLIDS_BUNDLE_KEY", "k" * 40)
    settings = load_settings()
    pipeline.open_registry(settings)
    assert "kkkk" not in repr(settings) and not (home / "bundle.key").exists()
