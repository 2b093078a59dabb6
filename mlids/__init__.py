"""mlids turns a Zeek sensor into an intrusion detection system that retrains itself."""

__version__ = "0.1.0"  # the only place that holds the version; pyproject.toml reads it from here
