-- One server, two databases: `airflow` is made by the image, this one holds alerts, verdicts, audit and ledger.
CREATE DATABASE mlids OWNER mlids;
