"""The demo: a simulated sensor, a local Airflow and MLflow, and a run of the whole pipeline over them. Production code does not import it."""
