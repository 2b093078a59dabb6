"""Assets that tie nights and weeks together: days by date, models and drift by the first day of their week.

A week's training and drift start when its seven days are announced, its report when both are. No DAG waits for a time of day.
"""

from typing import Any

from airflow.sdk import Asset, IdentityMapper, PartitionedAssetTimetable, RollupMapper, StartOfWeekMapper, WeekWindow, task
from airflow.sdk.exceptions import AirflowSkipException

DAYS = Asset("mlids_days")
MODEL = Asset("mlids_model")
DRIFT = Asset("mlids_drift")
_DATE = "%Y-%m-%d"


def after_seven_days() -> PartitionedAssetTimetable:
    """Return the schedule of a DAG that runs once the days of a week, Monday to Sunday, are announced."""
    of_week = StartOfWeekMapper(input_format=_DATE, output_format=_DATE)
    return PartitionedAssetTimetable(assets=DAYS, default_partition_mapper=RollupMapper(upstream_mapper=of_week, window=WeekWindow()))


def after_model_and_drift() -> PartitionedAssetTimetable:
    """Return the schedule of a DAG that runs once model and drift of a week are announced."""
    return PartitionedAssetTimetable(assets=MODEL & DRIFT, default_partition_mapper=IdentityMapper())


def announce_week(asset: Asset) -> Any:
    """Return a task that announces that a week is done with, whether it succeeded or not: the report says which."""

    @task(
        task_id="announce_week",
        outlets=[asset],
        trigger_rule="all_done",
        retries=0,
        doc_md="Tells the DAGs that wait for this week; a run by hand is of none.",
    )
    def announce(outlet_events: Any = None, dag_run: Any = None) -> str:
        if dag_run.partition_key is None:
            raise AirflowSkipException("a run by hand is of no week: nothing waits for it")
        outlet_events[asset].add_partitions(dag_run.partition_key)
        return str(dag_run.partition_key)

    return announce()
