"""Makes the pool of the pulls when scheduler, DAG processor or triggerer start, so that a fresh Airflow needs no set-up by hand.

A task whose pool is missing waits for ever. Who changes the number of slots in the UI keeps it.
"""

from contextlib import suppress
from typing import Any

from airflow.listeners import hookimpl

POOL = "mlids_pull"
_SLOTS = 2
_ABOUT = "Pulls from sensors at the same time; of each sensor there is one at most in any case."


@hookimpl
def on_starting(component: Any) -> None:
    """Make the pool when a component with Airflow's database starts; tasks, which call this as well, have none."""
    if type(component).__name__ == "Job":
        make_pool()


def make_pool() -> None:
    """Make the pool unless it is there."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import IntegrityError

    with suppress(IntegrityError), create_session() as session:  # another component was first
        if session.scalar(select(Pool).where(Pool.pool == POOL)) is None:
            session.add(Pool(pool=POOL, slots=_SLOTS, description=_ABOUT, include_deferred=False))
