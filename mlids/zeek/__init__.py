"""Zeek logs as they really are: types, headers, reading, writing."""
