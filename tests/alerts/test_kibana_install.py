"""`mlids kibana install` and `check` against a double that enforces Kibana's contract: conflicts, missing references, refusals."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlids.alerts.kibana.install import VERSION_WORDS, install, read_objects
from mlids.cli.__main__ import app
from mlids.errors import DeniedError, MlidsError, SettingsError, StoreError
from scripts import kibana_objects
from tests.conftest import ROOT, free_port, need_program
from tests.support.kibana import KEY, KibanaDouble

FOLDER = ROOT / "deploy" / "kibana"


@pytest.fixture
def kibana(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KibanaDouble]:
    with KibanaDouble() as double:
        monkeypatch.setenv("MLIDS_KIBANA_URL", double.url)
        monkeypatch.setenv("MLIDS_KIBANA_API_KEY", KEY)
        yield double


def run(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines, or the error, of `mlids kibana …`."""
    done = CliRunner().invoke(app, ["kibana", *arguments])
    if isinstance(done.exception, MlidsError):
        return done.exception.exit_code, [str(done.exception)]
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output.splitlines()


def test_the_file_is_made_of_its_sources() -> None:
    assert kibana_objects.SOURCES_DIGEST.read_text().strip() == kibana_objects.sources_digest(), "run `make kibana`"
    objects = read_objects(FOLDER, "mlids")
    assert not objects.dangling()
    assert [o["id"] for o in objects.saved if o["type"] == "dashboard"] == ["mlids-health", "mlids-host", "mlids-overview"]
    assert all(VERSION_WORDS in o["attributes"]["description"] for o in objects.saved if o["type"] != "index-pattern")


def test_an_installation_is_whole_and_check_says_so(kibana: KibanaDouble) -> None:
    assert run("check") == (1, [*(f"{n}: not there; run `mlids kibana install`" for n in names())])
    assert run("install") == (0, [*(f"{n}: imported" for n in names()[:-1]), f"{names()[-1]}: made"])
    assert len(kibana.objects) == 9 and len(kibana.rules) == 1
    assert run("check") == (0, [f"{n}: there" for n in names()])
    assert all(part["well"] for part in json.loads("\n".join(run("check", "--json")[1])))


def names() -> list[str]:
    """Return the names of all parts, as the commands print them."""
    from mlids.alerts.kibana.install import name_of

    objects = read_objects(FOLDER, "mlids")
    return [*map(name_of, objects.saved), f"rule {objects.rule['name']}"]


def test_a_second_installation_names_each_conflict_and_changes_nothing(kibana: KibanaDouble) -> None:
    run("install")
    kibana.objects["dashboard", "mlids-host"]["attributes"]["title"] = "edited"
    next(iter(kibana.rules.values()))["actions"] = [{"id": "mail"}]
    code, lines = run("install")
    assert code == 1 and all("conflict: it is there already; `mlids kibana install --overwrite` replaces it" in ln for ln in lines)
    assert len(lines) == 10 and kibana.objects["dashboard", "mlids-host"]["attributes"]["title"] == "edited"
    code, lines = run("install", "--overwrite")
    assert code == 0 and all(ln.endswith(": overwritten") for ln in lines[:-1]) and lines[-1].endswith("overwritten; its actions stay")
    assert kibana.objects["dashboard", "mlids-host"]["attributes"]["title"] == "[mlids] Host"
    assert next(iter(kibana.rules.values()))["actions"] == [{"id": "mail"}]


def test_one_conflict_keeps_all_others_out_and_they_say_so(kibana: KibanaDouble) -> None:
    objects = read_objects(FOLDER, "mlids")
    kibana.objects["index-pattern", "mlids"] = objects.saved[0]
    code, lines = run("install", "--no-rule")
    assert code == 1 and len(kibana.objects) == 1 and len(lines) == 9
    assert [ln for ln in lines if "conflict" in ln] == [lines[0]]
    assert all(ln.endswith("not imported, because others were refused") for ln in lines[1:])


def test_missing_references_are_named(kibana: KibanaDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlids.alerts.kibana import install as module
    from mlids.alerts.kibana.client import connect_to_kibana
    from mlids.settings import load_settings

    objects = read_objects(FOLDER, "mlids")
    without = module.Objects([o for o in objects.saved if o["id"] != "mlids-health"], objects.rule)
    client = connect_to_kibana(load_settings())
    parts = install(client, without)
    assert [p.name for p in parts] == ["saved search [mlids] Faults of the pipeline"] and not kibana.requests, (
        "found before anything is sent"
    )
    assert "missing_references: index-pattern mlids-health is not there" in parts[0].done
    # And what Kibana itself says of such objects.
    monkeypatch.setattr(module.Objects, "dangling", lambda self: [])
    found = {p.name: p.done for p in install(client, without, with_rule=False)}
    client.close()
    assert found["saved search [mlids] Faults of the pipeline"].startswith("missing_references: index-pattern mlids-health")
    assert found["dashboard [mlids] Host"] == "not imported, because others were refused" and not kibana.objects


def test_check_finds_what_was_removed_replaced_or_is_old(kibana: KibanaDouble) -> None:
    run("install")
    del kibana.objects["search", "mlids-cases"]
    del kibana.objects["search", "mlids-high-risk"]
    kibana.objects["dashboard", "mlids-health"]["attributes"]["description"] = "Version 0 of mlids' saved objects."
    kibana.objects["index-pattern", "mlids-health"]["attributes"]["title"] = "logs-*"
    next(iter(kibana.rules.values()))["enabled"] = False
    code, lines = run("check")
    found = dict(ln.split(": ", 1) for ln in lines)
    assert code == 1
    assert found["saved search [mlids] Cases"].startswith("not there")
    assert found["dashboard [mlids] Host"].startswith("missing_references: search mlids-cases is not there")
    assert found["dashboard [mlids] Pipeline health"].startswith("conflict: it is not of this version")
    assert found["data view mlids-health"] if "data view mlids-health" in found else "its pattern is logs-*" in "\n".join(lines)
    assert found["rule mlids"] == "risk of 80 or more: there, and switched off"


def test_data_views_and_rule_have_the_prefix_of_the_indices(kibana: KibanaDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLIDS_ELASTIC_PREFIX", "soc-zeek")
    assert run("install")[0] == 0
    titles = [o["attributes"]["title"] for (kind, _), o in kibana.objects.items() if kind == "index-pattern"]
    assert titles == ["soc-zeek-*", "soc-zeek.health-*"]
    assert next(iter(kibana.rules.values()))["params"]["index"] == ["soc-zeek-*"]


def test_a_space_and_a_password_are_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with KibanaDouble("soc") as double:
        for name, value in (("URL", double.url + "/"), ("SPACE", "soc"), ("PASSWORD", "right")):
            monkeypatch.setenv(f"MLIDS_KIBANA_{name}", value)
        assert run("install")[0] == 0 and double.requests[0] == "POST /s/soc/api/saved_objects/_import?overwrite=false"
        monkeypatch.setenv("MLIDS_KIBANA_SPACE", "none")
        assert "is there a space 'none' (MLIDS_KIBANA_SPACE)?" in run("install")[1][0]


def test_its_certificate_is_verified_by_a_ca_file_or_not_at_all_with_a_warning(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = tmp_path / "http.crt"
    subject = [
        "-subj",
        "/CN=kibana",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        str(certificate.with_suffix(".key")),
        "-out",
        str(certificate),
    ]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([need_program("openssl", "openssl"), "req", "-x509", *kind, *subject], check=True, capture_output=True)
    with KibanaDouble(certificate=certificate) as double:
        monkeypatch.setenv("MLIDS_KIBANA_URL", double.url)
        monkeypatch.setenv("MLIDS_KIBANA_API_KEY", KEY)
        code, lines = run("check")
        assert (
            code == StoreError.exit_code and "its certificate is not accepted: set MLIDS_KIBANA_CA_FILE" in lines[0] and not double.requests
        )
        monkeypatch.setenv("MLIDS_KIBANA_CA_FILE", str(certificate))
        assert run("install")[0] == 0 and "VERIFY" not in caplog.text
        monkeypatch.delenv("MLIDS_KIBANA_CA_FILE")
        monkeypatch.setenv("MLIDS_KIBANA_VERIFY", "false")
        assert run("check")[0] == 0 and "whoever is on the way to Kibana can steal the login" in caplog.text and KEY not in caplog.text


def test_a_rule_that_is_refused_leaves_the_dashboards(kibana: KibanaDouble) -> None:
    kibana.encryption_key = False
    code, lines = run("install")
    assert code == 1 and len(kibana.objects) == 9 and "rules need xpack.encryptedSavedObjects.encryptionKey" in lines[-1]
    kibana.encryption_key, kibana.denied = True, {"/api/alerting"}
    code, lines = run("install", "--overwrite")
    assert code == 1 and "refused: Kibana" in lines[-1] and "Stack Rules" in lines[-1]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"API_KEY": "d3Jvbmc="}, DeniedError, "does not accept the login; check MLIDS_KIBANA_API_KEY"),
        ({"API_KEY": ""}, SettingsError, "there is no login for Kibana"),
        ({"URL": ""}, SettingsError, "MLIDS_KIBANA_URL is ''"),
        ({"URL": "http://elastic:secret@127.0.0.1:1"}, SettingsError, "MLIDS_KIBANA_URL holds a login"),
        ({"URL": f"http://127.0.0.1:{free_port()}"}, StoreError, "does not answer"),
        ({"URL": f"https://127.0.0.1:{free_port()}", "CA_FILE": "/nowhere"}, SettingsError, "/nowhere: there is no such file"),
        ({"SPACE": "../x"}, SettingsError, "kibana_space"),
    ],
)
def test_what_is_wrong_is_named(
    kibana: KibanaDouble, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], error: type[MlidsError], words: str
) -> None:
    for name, value in settings.items():
        monkeypatch.delenv(f"MLIDS_KIBANA_{name}", raising=False)
        if value:
            monkeypatch.setenv(f"MLIDS_KIBANA_{name}", value)
    code, lines = run("install")
    assert code == error.exit_code and words in lines[0] and "secret" not in lines[0] and "d3Jvbmc" not in lines[0]
    assert not kibana.objects


def test_a_key_without_the_right_is_told_which_one(kibana: KibanaDouble) -> None:
    kibana.denied = {"/api/saved_objects"}
    code, lines = run("install")
    assert code == DeniedError.exit_code and "needs all rights to Saved Objects Management" in lines[0] and not kibana.rules


def test_a_server_that_is_not_kibana_is_refused(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server
    import threading

    class Other(http.server.BaseHTTPRequestHandler):
        answers = iter([(200, "<html>\x1b[31m", ""), (302, "", "https://sso.example/login"), (200, '{"success": "maybe"}', "")])

        def do_POST(self) -> None:  # the name is http.server's
            self.rfile.read(int(self.headers["content-length"]))
            code, text, location = next(self.answers)
            self.send_response(code)
            self.send_header("location", location)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            """Do nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLIDS_KIBANA_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("MLIDS_KIBANA_API_KEY", KEY)
        for words in ("with JSON; is MLIDS_KIBANA_URL the address of Kibana?", "https://sso.example/login", "neither success nor failure"):
            code, lines = run("install")
            assert code == StoreError.exit_code and words in lines[0]
        server.shutdown()
