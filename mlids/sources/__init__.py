"""Where logs come from: archives over SFTP or in a folder, and logs that are still growing."""

import logging

# What paramiko logs of a connection that breaks comes to people as our own errors; without a log it would go to their terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
