"""Synthetic traffic and attacks, written as Zeek logs. Code that reads or scores logs does not belong here."""
