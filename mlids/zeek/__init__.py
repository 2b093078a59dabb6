"""The Zeek log format: types, headers, readers and the writer. Sensors, features and models do not belong here."""
