"""Synthetic traffic and attacks, written as Zeek logs. Nothing that reads or scores logs enters."""
