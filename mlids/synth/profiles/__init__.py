"""Attacks of known tools and families as conns and as rows of Zeek's other logs. What a real capture showed does not belong here as such: only its form."""
