"""mlids inside the Airflow UI: one signed-in page with alerts, model, ledger and links to reports."""
