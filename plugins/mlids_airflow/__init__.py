"""mlids inside the Airflow UI: one page for signed-in users with alerts, model, ledger and links to reports."""
