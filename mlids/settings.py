"""Every setting, with its type, range and a sentence. Read from the environment (`MLIDS_…`) and `sensors.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from mlids.errors import SettingsError, os_fault

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


# Days that something is kept; 0: for ever. `mlids housekeeping` removes what is older.
Days = Annotated[int, Field(ge=0, le=36_500)]


class Sensor(BaseModel):
    """One Zeek machine, or a folder that holds its logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="Name of the sensor; part of every path and alert.")
    kind: Literal["sftp", "folder"] = Field("sftp", description="Pull over SFTP, or read a local or mounted folder.")
    host: str = Field("", description="Host name or address (sftp).")
    port: int = Field(22, ge=1, le=65535, description="SSH port.")
    user: str = Field("zeek", description="Account on the sensor; read access to the logs is enough.")
    key_file: Path | None = Field(None, description="Private key; without one the SSH agent is tried, then the password.")
    password: SecretStr | None = Field(None, description="Password, used when no key is accepted.")
    logs: str = Field("/opt/zeek/logs", description="Folder with one sub-folder per day (zeekctl's archive).")
    current: str = Field("", description="Folder of the growing logs; default: `logs`/current.")
    zone: str = Field("UTC", description="Time zone of the sensor's folders and file names.")
    types: tuple[str, ...] = Field(("conn", "dns", "http", "ssl", "ssh", "notice"), description="Log types to pull, as globs.")
    max_file_gib: int = Field(64, ge=1, le=1 << 20, description="GiB; a larger file is not pulled, but named as a problem.")
    timeout_s: float = Field(20.0, gt=0, le=600, description="Seconds to wait for the sensor.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "sftp" and not self.host:
            raise ValueError("an sftp sensor needs `host`")
        return self

    @property
    def current_folder(self) -> str:
        """Folder of the growing logs."""
        return self.current or f"{self.logs.rstrip('/')}/current"


class Settings(BaseSettings):
    """All settings. Defaults run the embedded stack below `home`."""

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
        ("sqlite", "jsonl"), description="Where alerts go: sqlite (always), jsonl, elasticsearch, or a sink of another package."
    )
    elastic_url: str = Field("", description="Elasticsearch, for example https://es.example:9200.")
    elastic_api_key: SecretStr | None = Field(
        None, description="API key with index and auto_configure on PREFIX-*; with create_doc instead of index, counts do not grow there."
    )
    elastic_ca_file: Path | None = Field(None, description="CA certificate that signed the server's certificate.")
    elastic_prefix: str = Field(
        "mlids",
        description="Index prefix: PREFIX-YYYY.MM.DD; lower-case letters, digits, `_`, `.`, `-`, from a letter or digit on, 63 at most.",
    )
    jsonl_mode: Literal["0600", "0640", "0644"] = Field(
        "0600", description="Mode of the JSON lines, octal: 0640 lets the group of the folder `alerts` (with setgid) read them."
    )
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
        """Return what settings are read from, first come first: arguments, variables, files of `secrets_dir` if it is there."""
        folder = env_settings().get("secrets_dir", cls.model_fields["secrets_dir"].default)
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if Path(folder).is_dir() else ()
        return init_settings, env_settings, *files

    @field_validator("elastic_prefix")
    @classmethod
    def _index_prefix(cls, prefix: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", prefix):
            raise ValueError(
                f"{prefix!r} is no prefix of an Elasticsearch index: use lower-case letters, digits, `_`, `.` and `-`, "
                "beginning with a letter or digit, 63 at most"
            )
        return prefix

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: dict[str, object]) -> dict[str, object]:
        for name in ("networks", "sinks"):
            if isinstance(text := values.get(name), str):
                values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
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
        """Return the sensors of `sensors.toml`; an absent file means none.

        Raises SettingsError naming the entry that is wrong.
        """
        path = self.sensors_file or self.home / "sensors.toml"
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8")).get("sensor", [])
            sensors = [Sensor.model_validate(entry) for entry in entries]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SettingsError(os_fault(error, path)) from error
        except TypeError as error:
            raise SettingsError(f"{path}: `sensor` is not a list of tables; begin each sensor with [[sensor]]") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path}: not TOML: {error}") from error
        except ValidationError as error:
            raise SettingsError(f"{path}: {_first(error)}") from error
        names = [s.name for s in sensors]
        if len(set(names)) < len(names):
            raise SettingsError(f"{path}: two sensors share a name")
        return sensors

    def sensor(self, name: str) -> Sensor:
        """Return the sensor of that name. Raises SettingsError listing those that exist."""
        for sensor in self.sensors():
            if sensor.name == name:
                return sensor
        known = ", ".join(s.name for s in self.sensors()) or "none"
        raise SettingsError(
            f"no sensor is called {name!r} (there are: {known}); add it to {self.sensors_file or self.home / 'sensors.toml'}"
        )


def load_settings(**overrides: object) -> Settings:
    """Return the settings of this process. Raises SettingsError with the setting, its value's fault and its meaning."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_first(error)) from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else str(found["msg"])
