"""Alerts: grouped behaviour, one document each, kept in one or more sinks."""
