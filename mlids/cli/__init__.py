"""The command line: `mlids …`."""
