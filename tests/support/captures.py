"""Labelled captures among the real logs, by their path below the folder of real logs."""

C2 = "stratosphere/001-zeek-scenario-malicious/labeled-conn.log"
MIXED = "stratosphere/008-zeek-mixed/data/conn.log.labeled"
MIRAI = "iot23/CTU-IoT-Malware-Capture-34-1.conn.log.labeled"
QUIET = "iot23/CTU-Honeypot-Capture-4-1.conn.log.labeled"
PIPES = "iot23/CTU-IoT-Malware-Capture-8-1conn.log.labeled.csv"  # columns separated by |
