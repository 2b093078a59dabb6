"""Every setting and sensor: where they are read from, their ranges, and what is said of a wrong one. Nothing that acts on them belongs here."""

from mlids.settings.sensors import Sensor
from mlids.settings.settings import SETTINGS_FILE, Settings, checked_networks, load_settings, settings_faults, source_of

__all__ = ["SETTINGS_FILE", "Sensor", "Settings", "checked_networks", "load_settings", "settings_faults", "source_of"]
