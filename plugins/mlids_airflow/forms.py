"""Fields that the forms of several DAGs share: dates, a choice of the configured sensors, a dry run."""

from airflow.sdk import Param


def dates(first: str, last: str) -> dict[str, Param]:
    """Return the fields `start` and `end`; without both, a run takes its week, or by hand the last full one."""
    return {
        "start": Param(
            None, type=["null", "string"], format="date", title="First day", description=f"{first} Without dates: the last full week."
        ),
        "end": Param(None, type=["null", "string"], format="date", title="End", description=last),
    }


def sensors(description: str) -> dict[str, Param]:
    """Return the field `sensors`: a choice of those configured when the DAG was parsed; a run takes any that is configured then."""
    return {
        "sensors": Param(
            None, type=["null", "array"], items={"type": "string"}, examples=_configured(), title="Sensors", description=description
        )
    }


def dry_run(description: str) -> dict[str, Param]:
    """Return the field `dry_run`."""
    return {"dry_run": Param(False, type="boolean", title="Dry run", description=description)}


def _configured() -> list[str]:
    """Return the names of the sensors; none when the settings are wrong, which the first task of a run says in full."""
    from mlids.errors import MlidsError
    from mlids.settings import load_settings

    try:
        return [sensor.name for sensor in load_settings().sensors()]
    except MlidsError:
        return []
