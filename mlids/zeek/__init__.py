"""The Zeek log format: types, headers, readers and the writer. It knows nothing of sensors, features or models."""
