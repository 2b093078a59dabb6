-- One server, two databases: the image creates `airflow`; this one holds alerts, verdicts, audit and ledger.
CREATE DATABASE mlids OWNER mlids;
