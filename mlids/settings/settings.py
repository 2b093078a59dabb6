"""Every setting, with its type, range and a sentence. Read from the environment (`MLIDS_…`), `settings.toml` and `sensors.toml`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from mlids.errors import SettingsError
from mlids.settings.connections import in_use
from mlids.settings.gate import GateRules
from mlids.settings.notification import NotificationSettings
from mlids.settings.sensors import Name, Sensor, fault, line_of, read_sensors, read_toml, unknown
from mlids.settings.variables import (
    PREFIX,
    check_variables,
    sensor_of_environment,
    set_variable,
    sets_elasticsearch,
    threshold_note,
    variables_of,
)

# In home; variables and secrets go before it.
SETTINGS_FILE = "settings.toml"
_NOT_IN_FILE = ("home", "secrets_dir")  # they say where files are

# Days that something is kept; 0: for ever. `mlids housekeeping` removes what is older.
Days = Annotated[int, Field(ge=0, le=36_500)]


def checked_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return the networks. Raises ValueError naming the one that is no CIDR."""
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f"{network!r} is not a network: {error} (write it as 192.0.2.0/24)") from None
    return tuple(networks)


class _SiteSettings(BaseSettings):
    """Settings but for those of mail, notification and the gate."""

    model_config = SettingsConfigDict(env_prefix="MLIDS_", frozen=True, extra="forbid", populate_by_name=True)

    home: Path = Field(Path("mlids-home"), description="Folder of lake, landing, models, reports and databases.")
    secrets_dir: Path = Field(
        Path("/run/secrets"), description="Folder of files that each hold one setting, as `mlids_database_url`; variables go before."
    )
    sensors_file: Path | None = Field(None, description="TOML list of sensors; default: home/sensors.toml.")
    database_url: str = Field("", description="Alerts, verdicts, ledger (SQLAlchemy URL); default: SQLite in home.")
    mlflow_tracking_uri: str = Field("", description="MLflow server; default: the SQLite store in home/mlruns.")
    model_name: Name = Field("mlids-conn", description="Name of the registered model.")
    bundle_key: SecretStr | None = Field(
        None, description="Key of the models' seals, the same for training and scoring; default: `bundle_key_file`."
    )
    bundle_key_file: Path | None = Field(
        None, description="File with that key; default: home/bundle.key, made at its first use and readable by its owner alone."
    )
    networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Networks of the site, CIDR, comma-separated; default: the private ranges."
    )
    alert_budget_per_day: float = Field(
        20.0, gt=0, le=100_000, description="Alerts a day that analysts can read; the threshold is set to stay within it."
    )
    severity: Annotated[tuple[float, ...], NoDecode] = Field(
        (), description="Scores (0 to 100) from which a case is medium, high and critical; default: 50,75,92."
    )
    look_back_days: int = Field(14, ge=0, le=365, description="Days back that the nightly run takes up when the ledger lacks them.")
    wait_days: int = Field(
        1,
        ge=0,
        le=14,
        description="Nights that a week waits for a missing day; then training, drift and report go on without it, and say so.",
    )
    live_logs: Annotated[tuple[str, ...], NoDecode] = Field(
        ("dns", "http", "ssl", "x509", "ssh", "files", "notice", "rdp", "smb_files", "smb_mapping", "dce_rpc", "kerberos", "ntlm", "intel"),
        description="Logs that live scoring follows beside conn.log, where they exist, comma-separated; empty: none.",
    )
    threshold: float | None = Field(
        None, ge=0, le=100, validation_alias=AliasChoices("MLIDS_THRESHOLD", "IDS_THRESHOLD"),
        description="risk_score from which a conn alerts; overrides the threshold set from the alert budget.",
    )  # fmt: skip
    train_days: int = Field(7, ge=1, le=90, description="Days of traffic in a training snapshot.")
    train_rows: int = Field(200_000, ge=1_000, le=5_000_000, description="Rows sampled for training.")
    train_read_rows: int = Field(
        12_000_000, ge=100_000, description="Rows read for a training; from fuller weeks, a stretch of hours of each day."
    )
    sinks: Annotated[tuple[str, ...], NoDecode] = Field(
        ("sqlite", "jsonl"), description="Where alerts go: sqlite (always), jsonl, csv, elasticsearch, or a sink of another package."
    )
    elastic_url: str = Field(
        "", validation_alias=AliasChoices("MLIDS_ELASTIC_URL", "ES_URL"), description="Elasticsearch, for example https://es.example:9200."
    )
    elastic_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("MLIDS_ELASTIC_API_KEY", "ES_API_KEY"),
        description="API key of the writer, as `mlids elastic install` makes it; with create_doc instead of index, counts do not grow there.",
    )  # fmt: skip
    elastic_ca_file: Path | None = Field(
        None, validation_alias=AliasChoices("MLIDS_ELASTIC_CA_FILE", "REQUESTS_CA_BUNDLE"),
        description="CA certificate that signed the server's certificate.",
    )  # fmt: skip
    elastic_fingerprint: str = Field(
        "",
        description="SHA-256 of the server's certificate, 64 hexadecimal digits with or without colons; it is then accepted by this alone.",
    )
    elastic_verify: bool = Field(True, description="false accepts every certificate of the server, with a warning.")
    elastic_admin_user: str = Field("elastic", description="User of `mlids elastic install`; scoring never uses it.")
    elastic_admin_password: SecretStr | None = Field(None, description="Password of that user; set it for the installation only.")
    elastic_admin_password_file: Path | None = Field(None, description="File with that password.")
    elastic_admin_api_key: SecretStr | None = Field(
        None, description="API key of `mlids elastic install` instead of that user; it cannot make the writer's key (--no-key)."
    )
    elastic_keep_days: Days = Field(30, description="Days after its making that Elasticsearch deletes an index of alerts; 0: never.")
    elastic_cold_days: Days = Field(0, description="Days after its making that an index moves to cold nodes; 0: never.")
    elastic_prefix: str = Field(
        "mlids",
        description="Index prefix: PREFIX-YYYY.MM.DD; lower-case letters, digits, `_`, `.`, `-`, from a letter or digit on, 63 at most.",
    )
    kibana_url: str = Field("", description="Kibana, for `mlids kibana` and links on the pages: for example https://kibana.example:5601.")
    kibana_space: str = Field(
        "", pattern=r"^[a-z0-9_-]*$", description="Kibana's space, by the name in its address; default: the default space."
    )
    kibana_api_key: SecretStr | None = Field(None, description="API key of `mlids kibana`, encoded as Elasticsearch shows it.")
    kibana_user: str = Field("elastic", description="User of `mlids kibana` when there is no API key.")
    kibana_password: SecretStr | None = Field(None, description="Password of that user.")
    kibana_ca_file: Path | None = Field(None, description="CA certificate that signed Kibana's certificate; default: the system's.")
    kibana_verify: bool = Field(True, description="false accepts every certificate of Kibana, with a warning.")
    jsonl_mode: Literal["0600", "0640", "0644"] = Field(
        "0600", description="Mode of the JSON lines and the CSV, octal: 0640 lets the group of the folder `alerts` (with setgid) read them."
    )
    suppress_limit_percent: float = Field(
        20.0, ge=0, le=100,
        description="Percent of the alerts of the last 7 days that a suppression rule may cover; one that covers more, and more than one alert, needs --force.",
    )  # fmt: skip
    poll_interval_s: float = Field(
        0.25, gt=0, le=60, description="Seconds between two polls of a growing log; three times that while it is idle."
    )

    lag_bound_s: float = Field(300.0, gt=0, le=86_400, description="Seconds that live scoring may be behind before `live_watch` fails.")
    keep_landing_days: Days = Field(30, description="Days that pulled files are kept; 0: for ever.")
    keep_lake_days: Days = Field(
        180,
        description="Days that days of the lake are kept; 0: for ever. Not fewer than `train_days`, nor than the two weeks that drift compares.",
    )
    keep_quarantine_days: Days = Field(90, description="Days that rejected lines are kept in quarantine; 0: for ever.")
    keep_snapshot_days: Days = Field(90, description="Days that training snapshots are kept; 0: for ever.")
    keep_model_days: Days = Field(365, description="Days that MLflow runs, and model versions without an alias, are kept; 0: for ever.")
    keep_report_days: Days = Field(730, description="Days that reports and drift pages are kept; 0: for ever.")
    keep_alert_days: Days = Field(
        365,
        description="Days that alerts without a verdict are kept, in the database and as JSON lines; 0: for ever. Those with a verdict stay.",
    )
    keep_open_case_days: Days = Field(
        730, description="The same for open cases: alerts in the database with a risk_score of 90 or more and no verdict; 0: for ever."
    )
    keep_dead_letter_days: Days = Field(90, description="Days that dead letters are kept; 0: for ever.")
    keep_ledger_days: Days = Field(1_095, description="Days that the ledger is kept, at least as long as the day's data; 0: for ever.")
    metrics_host: str = Field("127.0.0.1", description="Address on which `mlids serve` offers /metrics and /healthz.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of /metrics and /healthz; 0 turns them off.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return what settings are read from, first come first: arguments, variables, files of `secrets_dir`, `settings.toml` of home."""
        folder = env_settings().get("secrets_dir", cls.model_fields["secrets_dir"].default)
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if Path(folder).is_dir() else ()
        home = Path(init_settings().get("home") or env_settings().get("home") or cls.model_fields["home"].default)
        given = {name: value for name, value in _settings_file(home).items() if set_variable(cls, name, folder) is None}
        return init_settings, env_settings, *files, InitSettingsSource(settings_cls, init_kwargs=given)

    @field_validator("networks")
    @classmethod
    def _cidr(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return checked_networks(networks)

    @field_validator("elastic_prefix")
    @classmethod
    def _index_prefix(cls, prefix: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", prefix):
            raise ValueError(
                f"{prefix!r} is no prefix of an Elasticsearch index: use lower-case letters, digits, `_`, `.` and `-`, "
                "beginning with a letter or digit, 63 at most"
            )
        return prefix

    @field_validator("elastic_fingerprint")
    @classmethod
    def _sha256(cls, fingerprint: str) -> str:
        if fingerprint and not re.fullmatch(r"[0-9A-Fa-f]{64}", fingerprint.replace(":", "")):
            raise ValueError(
                "it is no SHA-256 of a certificate: give 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256 -noout -in FILE` prints them"
            )
        return fingerprint

    @field_validator("severity")
    @classmethod
    def _levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if levels and (len(levels) != 3 or not all(0 < level <= 100 for level in levels) or sorted(set(levels)) != list(levels)):
            raise ValueError(f"{levels}: give three rising scores up to 100, for medium, high and critical, like 50,75,92")
        return levels

    def has_ca_of_all_programs(self) -> bool:
        """Return whether the CA of Elasticsearch is that of REQUESTS_CA_BUNDLE, which is set for all programs of a machine."""
        return self.elastic_ca_file is not None and str(self.elastic_ca_file) == os.environ.get("REQUESTS_CA_BUNDLE")

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("networks", "sinks", "severity", "live_logs"):
            if isinstance(text := values.get(name), str):
                values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
        if "sinks" not in values and sets_elasticsearch():
            values["sinks"] = (*cls.model_fields["sinks"].default, "elasticsearch")
        if threshold_note() is not None:  # of another scale
            for key in [k for k, v in values.items() if k.endswith("IDS_THRESHOLD") and v == os.environ["IDS_THRESHOLD"]]:
                values.pop(key)
        return values

    @model_validator(mode="after")
    def _keeps_what_it_needs(self) -> Self:
        needed = max(self.train_days, 14)
        if 0 < self.keep_lake_days < needed:
            raise ValueError(f"keep_lake_days is {self.keep_lake_days}: training and drift read {needed} days; give {needed} or more, or 0")
        if 0 < self.keep_open_case_days < self.keep_alert_days or (self.keep_open_case_days and not self.keep_alert_days):
            raise ValueError(
                f"keep_open_case_days is {self.keep_open_case_days}: give keep_alert_days ({self.keep_alert_days}) or more, or 0"
            )
        if 0 < self.elastic_keep_days <= self.elastic_cold_days:
            raise ValueError(
                f"elastic_cold_days is {self.elastic_cold_days}: give fewer than elastic_keep_days ({self.elastic_keep_days}), or 0"
            )
        if not self.elastic_verify and (self.elastic_fingerprint or (self.elastic_ca_file and not self.has_ca_of_all_programs())):
            raise ValueError("elastic_verify is false, but elastic_ca_file or elastic_fingerprint is set: remove one of both")
        return self

    @property
    def lake(self) -> Path:
        """Root of the Parquet lake."""
        return self.home / "lake"

    @property
    def landing(self) -> Path:
        """Where pulled files land."""
        return self.home / "landing"

    @property
    def reports(self) -> Path:
        """Where reports are filed."""
        return self.home / "reports"

    @property
    def state(self) -> Path:
        """Checkpoints, status files and the last good model."""
        return self.home / "state"

    @property
    def known_hosts(self) -> Path:
        """Host keys of sensors that a person has compared and added."""
        return self.home / "known_hosts"

    @property
    def database(self) -> str:
        """SQLAlchemy URL of alerts, verdicts, audit and ledger."""
        return self.database_url or f"sqlite:///{self.home.resolve()}/mlids.db"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.resolve()}/mlruns/mlflow.db"

    def sensors(self) -> list[Sensor]:
        """Return the sensors of `sensors.toml`; without that file the one of ZEEK_HOST, or none.

        Raises SettingsError naming file, line and what is wrong.
        """
        try:
            return read_sensors(self.sensors_path, in_use().sensors)
        except FileNotFoundError:
            found = sensor_of_environment()
            return [found] if found is not None else []

    @property
    def sensors_path(self) -> Path:
        """The file that lists the sensors."""
        return self.sensors_file or self.home / "sensors.toml"

    def sensor(self, name: str) -> Sensor:
        """Return the sensor of that name. Raises SettingsError listing those that exist."""
        for sensor in self.sensors():
            if sensor.name == name:
                return sensor
        known = ", ".join(s.name for s in self.sensors()) or "none"
        raise SettingsError(f"no sensor is called {name!r} (there are: {known}); add it to {self.sensors_path}")


class Settings(GateRules, NotificationSettings, _SiteSettings):
    """All settings. Defaults run the embedded stack below `home`."""


def load_settings(**overrides: object) -> Settings:
    """Return the settings of this process. Raises SettingsError with the setting, its value's fault and where it is set."""
    check_variables(Settings)
    try:
        return Settings(**{**in_use().settings, **overrides})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_with_source(error.errors(include_input=False, include_url=False)[0])) from error


def settings_faults() -> Iterator[str]:
    """Yield a sentence for each fault of variables, `settings.toml` and `sensors.toml`; nothing is yielded when all are right."""
    try:
        check_variables(Settings)
    except SettingsError as error:
        yield str(error)
    try:
        settings = Settings()
    except SettingsError as error:
        yield str(error)
        return
    except ValidationError as error:
        for found in error.errors(include_input=False, include_url=False):
            yield _with_source(found)
        return
    try:
        settings.sensors()
    except SettingsError as error:
        yield str(error)


def source_of(name: str, settings: Settings) -> str:
    """Return where a setting comes from: the variable, the file (with its line), or `default`."""
    variable = set_variable(Settings, name, settings.secrets_dir)
    if variable is not None:
        return variable
    return _place_in_file(name, settings.home) or "default"


def _settings_file(home: Path) -> dict[str, Any]:
    """Return what `settings.toml` of a home sets; nothing when there is none. Raises SettingsError for a key that is not known."""
    path = home / SETTINGS_FILE
    try:
        content, text = read_toml(path)
    except FileNotFoundError:
        return {}
    for key in content:
        if key in _NOT_IN_FILE:
            raise SettingsError(f"{path}:{line_of(text, key)}: {key} says where this file is; set MLIDS_{key.upper()} instead")
        if key not in Settings.model_fields:
            known = [n for n in Settings.model_fields if n not in _NOT_IN_FILE]
            raise SettingsError(f"{path}:{line_of(text, key)}: {unknown('setting', key, known)}")
    return {key: value for key, value in content.items() if value != ""}


def _place_in_file(name: str, home: Path) -> str | None:
    """Return the file and line where `settings.toml` of a home sets a setting, or None."""
    try:
        content, text = read_toml(home / SETTINGS_FILE)
    except (FileNotFoundError, SettingsError):
        return None
    return f"{home / SETTINGS_FILE}:{line_of(text, name)}" if name in content else None


def _with_source(found: ErrorDetails) -> str:
    """Return a fault of settings as a sentence that begins with where the setting is set."""
    loc = str(next(iter(found["loc"]), ""))
    name = next((n for n in Settings.model_fields if loc == n or loc in variables_of(Settings, n)), None)
    if name is None:
        return fault(found)
    home = Path(os.environ.get("MLIDS_HOME", "") or Settings.model_fields["home"].default)
    folder = Path(os.environ.get("MLIDS_SECRETS_DIR", "") or Settings.model_fields["secrets_dir"].default)
    where = set_variable(Settings, name, folder) or _place_in_file(name, home)
    text = fault(found).partition(": ")[2]
    return f"{where}: {name}: {text}" if where and where != f"{PREFIX}{name}".upper() else f"{name}: {text}"
