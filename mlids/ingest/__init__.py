"""From the sensor to the lake: archives over SFTP or in a folder, growing logs, and Parquet by day. No features and no models enter."""

import logging

# paramiko logs broken connections to stderr when no handler is set; callers get them as SourceError instead.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
