"""Makes the pool of the pulls when the scheduler starts, so that a fresh Airflow needs no set-up by hand.

A task whose pool is missing waits for ever. Who changes the number of slots in the UI keeps it.
"""

from typing import Any

from airflow.listeners import hookimpl

POOL = "mlids_pull"
_SLOTS = 2
_ABOUT = "Pulls from sensors at the same time; of each sensor there is one at most in any case."


@hookimpl
def on_starting(component: Any) -> None:
    """Make the pool, when it is the scheduler that starts."""
    if getattr(component, "job_type", None) == "SchedulerJob":
        make_pool()


def make_pool() -> None:
    """Make the pool unless it is there."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        if session.scalar(select(Pool).where(Pool.pool == POOL)) is None:
            session.add(Pool(pool=POOL, slots=_SLOTS, description=_ABOUT, include_deferred=False))
